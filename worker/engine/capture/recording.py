"""The Python half of the recorder: module scopes, the module table, argument trees.

    with record_construction() as built: model = Model(*init)
    output, program_bytes = record_forward(model, args, kwargs, source_file="mlp.py", built=built)
"""

import contextlib
import dataclasses
import inspect
import sys

import _strata_capture
import strata_capture_settings as settings
import strata_capture_sources as sources
import torch

_MAX_DEPTH = 24
_LITERALS = (bool, int, float, complex, str, bytes)


# ---- trees ----


def _class_name(value):
    return f"{type(value).__module__}.{type(value).__qualname__}"


def describe(value, depth=0):
    """A value as the nested tuples that _strata_capture reads."""
    if isinstance(value, torch.Tensor):
        return ("tensor", value)
    if value is None:
        return ("none",)
    if isinstance(value, (torch.dtype, torch.device)) or type(value) in _LITERALS:
        return ("literal", repr(value))
    if depth > _MAX_DEPTH:
        return ("opaque", _class_name(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # A ModelOutput of transformers is a dict too: fields that are None are not in it.
        names = [f.name for f in dataclasses.fields(value) if not isinstance(value, dict) or f.name in value]
        fields = [(name, getattr(value, name, None)) for name in names]
        return _keyed("dataclass", fields, value, depth)
    if isinstance(value, dict):
        return _keyed("dict", [(repr(key), item) for key, item in value.items()], value, depth)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _keyed("namedtuple", list(zip(value._fields, value)), value, depth)
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return (kind, [describe(item, depth + 1) for item in value], _class_name(value))
    return ("opaque", _class_name(value))


def _keyed(kind, pairs, value, depth):
    return (kind, [key for key, _ in pairs], [describe(item, depth + 1) for _, item in pairs], _class_name(value))


def _input_tensors(value, path):
    """(tensor, path) for every tensor in an argument, in order."""
    if isinstance(value, torch.Tensor):
        yield value, path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _input_tensors(item, f"{path}[{key!r}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _input_tensors(getattr(value, field.name, None), f"{path}.{field.name}")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _input_tensors(item, f"{path}[{index}]")


# ---- signatures ----

_KIND = inspect.Parameter


def _parameters(module):
    """forward's parameters without self, or None when it has no signature."""
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return None


def _parameter_names(module):
    stars = {_KIND.VAR_POSITIONAL: "*", _KIND.VAR_KEYWORD: "**"}
    return [stars.get(p.kind, "") + p.name for p in _parameters(module) or ()]


def _argument_paths(module, args, kwargs):
    """The name of each positional argument: "x", or "args[2]" where forward takes *args."""
    positional = [p for p in _parameters(module) or () if p.kind in (_KIND.POSITIONAL_ONLY, _KIND.POSITIONAL_OR_KEYWORD)]
    variadic = [p.name for p in _parameters(module) or () if p.kind is _KIND.VAR_POSITIONAL]
    rest = variadic[0] if variadic else "args"
    for index, value in enumerate(args):
        named = index < len(positional)
        yield value, positional[index].name if named else f"{rest}[{index - len(positional)}]"
    for name, value in kwargs.items():
        yield value, name


# ---- the module table ----


def _all_paths(model):
    """module -> every dotted path, in registration order; the model first."""
    paths = {}

    def visit(module, path, above):
        paths.setdefault(module, []).append(path)
        for name, child in module._modules.items():
            if child is not None and child not in above:
                visit(child, f"{path}.{name}" if path else name, above | {child})

    visit(model, "", {model})
    return paths


def _is_container(module):
    bases = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)
    return any(isinstance(module, base) and type(module).forward is base.forward for base in bases)


def _class_place(cls):
    forward = getattr(cls, "forward", None)
    code = getattr(inspect.unwrap(forward), "__code__", None) if forward else None
    try:
        file = inspect.getsourcefile(cls) or ""
    except (TypeError, OSError):
        file = ""
    if code is not None and not file:
        file = code.co_filename
    line = sources.class_line(file, cls.__qualname__) if file else 0
    return file, line or (code.co_firstlineno if code is not None else 0)


def _is_torch_nn(module):
    return type(module).__module__.split(".")[:2] == ["torch", "nn"]


class _ModuleTable:
    """Registers modules, parameters and buffers with a recorder. `ids`: id(module) -> ModuleId."""

    def __init__(self, recorder, model):
        self.paths = _all_paths(model)
        self.ids = {id(module): number for number, module in enumerate(self.paths)}
        rows = [self._row(module, paths, recorder) for module, paths in self.paths.items()]
        for row in rows:
            recorder.add_module(row)

    def _row(self, module, paths, recorder):
        file, line = _class_place(type(module))
        torch_nn = _is_torch_nn(module)
        return {
            "paths": paths,
            "class_name": type(module).__name__,
            "qualified_class": _class_name(module),
            "file": file,
            "line": line,
            "is_torch_nn": torch_nn,
            "is_container": _is_container(module),
            "training": bool(module.training),
            "parameters": self._parameters(module, paths, recorder),
            "buffers": self._buffers(module, paths, recorder, keep_data=not torch_nn),
            "children": [(n, self.ids[id(c)]) for n, c in module._modules.items() if c is not None],
            "settings": settings.of(module) if torch_nn else None,
        }

    @staticmethod
    def _parameters(module, paths, recorder):
        rows = []
        for name, tensor in module._parameters.items():
            if tensor is not None:
                ids = [recorder.add_parameter(tensor, f"{path}.{name}" if path else name) for path in paths]
                rows.append((name, ids[0]))
        return rows

    @staticmethod
    def _buffers(module, paths, recorder, keep_data):
        rows = []
        for name, tensor in module._buffers.items():
            if tensor is not None:
                persistent = name not in module._non_persistent_buffers_set
                ids = [
                    recorder.add_buffer(tensor, f"{path}.{name}" if path else name, persistent, keep_data)
                    for path in paths
                ]
                rows.append((name, ids[0]))
        return rows


# ---- recording ----


class _Built:
    """What record_construction() saw."""

    def __init__(self):
        self.recorder = _strata_capture.Recorder()


@contextlib.contextmanager
def record_construction():
    built = _Built()
    models = []
    original = torch.nn.Module.__init__

    def noticing(module, *args, **kwargs):
        original(module, *args, **kwargs)
        models.append(module)

    torch.nn.Module.__init__ = noticing
    built.recorder.start_construction()
    try:
        yield built
    finally:
        built.recorder.stop()
        torch.nn.Module.__init__ = original
    if models:
        # The first module to begin its __init__ is the model: its children are made inside.
        for path, tensor in models[0].named_buffers(remove_duplicate=False):
            built.recorder.remember_buffer(tensor, path)


@contextlib.contextmanager
def _scopes(recorder, table):
    """Module.__call__ reports to the recorder."""
    original = torch.nn.Module.__call__
    names = {}
    model_is_open = [True]  # record_forward opened the model's own invocation

    def call(module, *args, **kwargs):
        number = table.ids.get(id(module))
        if number is None:  # made inside forward: its operators are those of the scope around it
            return original(module, *args, **kwargs)
        if number == 0 and model_is_open:
            model_is_open.clear()
            return original(module, *args, **kwargs)
        if number not in names:
            names[number] = _parameter_names(module)
        _enter(recorder, number, args, kwargs, names[number])
        try:
            output = original(module, *args, **kwargs)
        except BaseException:
            recorder.abandon()
            raise
        if isinstance(output, torch.Tensor):
            twin = recorder.separate(output)
            output = output if twin is None else twin
        recorder.leave(describe(output), False)
        return output

    torch.nn.Module.__call__ = call
    try:
        yield
    finally:
        torch.nn.Module.__call__ = original


def _enter(recorder, number, args, kwargs, names):
    recorder.enter(number, [describe(a) for a in args], [(k, describe(v)) for k, v in kwargs.items()], names)


def _device_of(model, args, kwargs):
    tensors = [t for value in (*args, *kwargs.values()) for t, _ in _input_tensors(value, "")]
    tensors += list(model.parameters())[:1]
    return tensors[0].device.type if tensors else torch.get_default_device().type


def _eagerly():
    """Compiled modules run their Python: a compiled graph is not what the source says."""
    if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
        return torch.compiler.set_stance("force_eager")
    return contextlib.nullcontext()


def record_forward(model, args, kwargs=None, source_file="", built=None):
    """Runs model(*args, **kwargs) once and returns (output, encoded Program)."""
    kwargs = kwargs or {}
    lazy = [name for name, p in model.named_parameters() if torch.nn.parameter.is_lazy(p)]
    if lazy:
        raise ValueError(f"{lazy[0]} gets its shape in the first forward only; build the model without lazy modules")
    recorder = built.recorder if built else _strata_capture.Recorder()
    for value, name in _argument_paths(model, args, kwargs):
        for tensor, path in _input_tensors(value, name):
            recorder.add_input(tensor, path)
    table = _ModuleTable(recorder, model)
    device = _device_of(model, args, kwargs)
    names = _parameter_names(model)
    with _scopes(recorder, table), _eagerly():
        recorder.start_forward()
        try:
            _enter(recorder, 0, args, kwargs, names)
            output = model(*args, **kwargs)
            recorder.leave(describe(output), True)
        finally:
            recorder.stop()
    lines = {(file, line): sources.targets(file, line) for file, line in recorder.frame_lines()}
    lines = {place: names for place, names in lines.items() if names}
    version = torch.__version__.split("+")[0]
    return output, recorder.finish(source_file, version, device, lines)
