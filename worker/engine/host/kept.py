"""What Python keeps from call to call: a digest of all that a model and the user's files hold.

Weights and buffers are compared otherwise. Of the user's classes nothing is called, not even an attribute is asked.
"""

import collections
import functools
import hashlib
import itertools
import os
import sys
import types
import warnings

import torch

MAX_VALUES = 1000000
MAX_DEPTH = 100
MAX_NAMES = 20

# Not the user's: what is loaded when the first runner is forked, and what lies where that came from.
AT_START = set(sys.modules)
KNOWN = tuple({os.path.realpath(path) + os.sep for path in (*sys.path, sys.prefix, sys.base_prefix) if path})

# Of these a module's names are looked at; hooks no text may touch.
REGISTERED = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
OF_MODULES = {name for name in vars(torch.nn.Module()) if "hooks" in name} | set(REGISTERED)
OF_TORCH = {"_flat_weights", "_flat_weight_refs", "_flat_weights_names"}  # of recurrent modules
OF_PYTHON = {"__builtins__", "__warningregistry__", "__loader__", "__spec__", "__cached__", "__dict__", "__weakref__"}

OF_DYNAMO = ("__dynamo", "_torchdynamo")

ATOMS = {type(None), bool, float, complex, str, bytes, range, type(...), torch.dtype, torch.device, torch.Size}
BASES = (bool, int, float, complex, str, bytes)
ITERATORS = {"builtins", "itertools", "_collections", "collections", "operator"}
Cached = type(functools.lru_cache(lambda: None))


@functools.cache
def is_own(file):
    return type(file) is str and file.endswith(".py") and not os.path.realpath(file).startswith(KNOWN)


def own_modules():
    """(module, its file) of each file of the user's that is imported."""
    for name in sys.modules.keys() - AT_START:
        module = sys.modules[name]
        file = vars(module).get("__file__") if type(module) is types.ModuleType else None
        if file is not None and is_own(file):
            yield module, file


def fields(value):
    """What an object has set, by name."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


class Snapshot:
    """`found`: {(file, name): digest}. Objects live as long as it does, so that each is known by its address."""

    def __init__(self, model, folder):
        self.found, self.known, self.held, self.left = {}, {}, [], MAX_VALUES
        own = sorted(own_modules(), key=lambda pair: pair[1])
        self.imported = len(sys.modules)
        self.files = {module.__name__: os.path.relpath(file, folder) for module, file in own}
        modules = list(torch.nn.Module.named_modules(model))
        self.paths = {id(module): path for path, module in modules}
        filters = warnings.filters
        with torch._C.DisableTorchFunctionSubclass(), warnings.catch_warnings():
            self.add("", "sys.path", sys.path)
            self.add("", "sys.argv", sys.argv)
            self.add("", "warnings.filters", filters)
            warnings.simplefilter("ignore")  # iterators that warn of being copied
            self.add_modules(modules)
            for module, _ in own:
                self.add_globals(module)

    def add(self, file, name, value):
        self.found[file, name] = self.digest(value, 0)

    # ---- where to begin

    def add_modules(self, modules):
        owners = {}  # path -> (file, name) of the nearest module whose class is the user's
        for path, module in modules:
            file = self.files.get(type(module).__module__)
            above, _, last = path.rpartition(".")
            owner, name = owners.get(above, ("", ""))
            owners[path] = (file, type(module).__name__) if file else (owner, f"{name}.{last}" if name else last)
            owner, name = owners[path]
            values = fields(module)
            at = f" at '{path}'" if path else ""
            for kind in REGISTERED:
                self.found[owner, f"{name}.{kind}{at}"] = self.registered(values.get(kind))
            for key, value in values.items():
                if key not in OF_MODULES and not (key in OF_TORCH and isinstance(module, torch.nn.RNNBase)):
                    self.add(owner, f"{name}.{key}{at}", value)

    def registered(self, values):
        """Which names there are, and what is attached to them; not what is in them."""
        if not isinstance(values, dict):
            return " ".join(sorted(map(str, values or ())))
        return " ".join(f"{key} {value is None} " + ("" if isinstance(value, torch.nn.Module) else self.attached(value))
                        for key, value in values.items())

    def attached(self, tensor):
        return str(self.digest(fields(tensor), 0, True)) if fields(tensor) else ""

    def add_globals(self, module):
        file = self.files[module.__name__]
        for key, value in vars(module).items():
            if key in OF_PYTHON or isinstance(value, types.ModuleType):
                continue
            if isinstance(value, type) and value.__module__ in self.files:
                if self.files[value.__module__] == file:
                    for name, item in vars(value).items():
                        if name not in OF_PYTHON:
                            self.add(file, f"{key}.{name}", item)
                continue
            self.add(file, key, value)

    # ---- one value

    def digest(self, value, depth, fresh=False):
        """`fresh`: made for this look, with the lists in it, so that their addresses say nothing."""
        kind = type(value)
        self.left -= 1
        if kind is int:
            return hex(value)
        if kind in ATOMS:
            return f"{kind.__name__} {value!r}"
        if self.left < 0 or depth > MAX_DEPTH:
            return object()  # like nothing: what cannot be looked through may have changed
        key = id(value)
        if key in self.known and not fresh:
            return self.known[key]
        if not fresh:
            self.held.append(value)
            self.known[key] = f"{key:x}"  # where it leads back to itself
        parts = [kind.__name__] if fresh else [kind.__name__, f"{key:x}"]
        try:
            for part in self.parts(value, kind):
                made = type(part) is Fresh
                part = part.value if made else part
                parts.append(self.digest(part, depth + 1, made or (fresh and type(part) in (tuple, list))))
        except Exception as error:
            parts.append(type(error).__name__)
        if any(type(part) is not str for part in parts):
            text = object()
        else:
            text = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if not fresh:
            self.known[key] = text
        return text

    def parts(self, value, kind):
        """The values that it consists of."""
        if issubclass(kind, torch.Tensor):
            yield from self.parts_of_tensor(value)
        elif id(value) in self.paths:
            yield self.paths[id(value)]
            return
        elif issubclass(kind, type):
            yield value.__qualname__
            if value.__module__ in self.files:
                yield from (item for pair in vars(value).items() if pair[0] not in OF_PYTHON for item in pair)
            return
        elif issubclass(kind, types.ModuleType):
            yield str(vars(value).get("__name__"))
            return
        elif kind is types.FunctionType:
            yield from self.parts_of_function(value)
            return
        elif kind in (types.MethodType, types.BuiltinMethodType):
            yield value.__name__
            yield value.__self__
            if kind is types.MethodType:
                yield value.__func__
            return
        elif kind is types.CellType:
            held = value.cell_contents
            yield held.__qualname__ if issubclass(type(held), type) and held.__module__ in self.files else held
        elif issubclass(kind, dict):
            if kind is collections.defaultdict:
                yield value.default_factory
            yield from (item for pair in dict.items(value) for item in pair)
        elif issubclass(kind, (list, tuple, set, frozenset, collections.deque)):
            for base in (list, tuple, set, frozenset, collections.deque):
                if issubclass(kind, base):
                    yield from base.__iter__(value)
        elif issubclass(kind, BASES):
            yield next(base.__repr__(value) for base in BASES if issubclass(kind, base))
        elif kind is bytearray:
            yield bytes(value)
        elif kind in (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType):
            frame = next(getattr(value, name, None) for name in ("gi_frame", "cr_frame", "ag_frame") if hasattr(value, name))
            if frame is not None:
                yield frame.f_lasti
                yield Fresh(dict(frame.f_locals))
        elif kind in (staticmethod, classmethod):
            yield value.__func__
        elif kind is property:
            yield from (value.fget, value.fset, value.fdel)
        elif kind is types.MappingProxyType:
            yield Fresh(value.copy())
        elif kind is slice:
            yield from (value.start, value.stop, value.step)
        elif issubclass(kind, functools.partial):
            yield from (value.func, value.args, value.keywords)
        elif kind is Cached:
            yield str(Cached.cache_info(value))
        elif kind.__module__ == "zlib":
            yield value.copy().flush()
        elif kind.__module__ in ITERATORS and kind.__reduce__ is not object.__reduce__:
            yield Fresh(value.__reduce__())
        elif kind.__module__.startswith("torch._"):
            return
        yield from self.set_on(value, kind)

    def set_on(self, value, kind):
        yield from (item for pair in fields(value).items() for item in pair)
        if kind.__module__ not in self.files:
            return
        yield kind
        for base in kind.__mro__:
            for name, member in vars(base).items() if base.__module__ in self.files else ():
                if type(member) is types.MemberDescriptorType:
                    yield name
                    try:
                        yield member.__get__(value)
                    except AttributeError:
                        continue

    def parts_of_function(self, function):
        yield function.__qualname__
        if function.__globals__.get("__name__") in self.files:
            yield from (function.__code__.co_firstlineno, function.__defaults__, function.__kwdefaults__)
            yield from function.__closure__ or ()
        elif "__wrapped__" not in fields(function):  # what others keep is theirs
            return
        yield from (item for pair in fields(function).items() if not pair[0].startswith(OF_DYNAMO) for item in pair)

    @staticmethod
    def parts_of_tensor(tensor):
        yield from (tensor.dtype, tuple.__repr__(tuple(tensor.shape)))
        if not tensor.is_inference():
            yield tensor._version
        if tensor.device.type == "cpu" and tensor.layout is torch.strided:
            yield tensor.data_ptr()
            if tensor.numel() <= 16:
                yield repr(tensor.tolist())


class Fresh:
    def __init__(self, value):
        self.value = value


def changed(before, after):
    """[{file, name}] of what a call changed, made or removed. A file that it imported is new as a whole, and torch's
    own files change the interpreter when they are imported."""
    files = set(before.files.values()) | ({""} if before.imported == after.imported else set())
    names = sorted(key for key in before.found.keys() | after.found.keys()
                   if key[0] in files and before.found.get(key) != after.found.get(key))
    return [{"file": file, "name": name} for file, name in names[:MAX_NAMES]]
