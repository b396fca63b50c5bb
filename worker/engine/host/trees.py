"""Arguments and outputs as trees over tensor files (the format is in tensor_file.h)."""

import ast
import contextlib
import dataclasses
import enum
import os
import types
from json import dumps, loads

import torch

import _strata_host
from strata_blame import UserError

MAX_DEPTH = 64
# What torch and its users' libraries note on a tensor.
NOTED = {"_is_buffer", "persistent", "_is_param", "_is_hf_initialized"}


class Flattener:
    def __init__(self, extras=False):
        self.names, self.tensors, self.seen, self.extras = [], [], {}, extras

    def flatten(self, value, name, depth=0):
        """A node; where `extras` are wanted, with the attributes that its kind does not have."""
        node = self.node(value, name, depth)
        found = extras_of(value) if self.extras and value is not None and node["kind"] != "opaque" else []
        return node | {"extra": found} if found else node

    def node(self, value, name, depth):
        if depth > MAX_DEPTH:
            raise UserError(f"{name[:80]} is nested deeper than {MAX_DEPTH} levels, or contains itself")
        if torch.is_tensor(value):
            return {"kind": "tensor", "index": self.index_of(value, name)}
        if value is None:
            return {"kind": "none"}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self.dataclass(value, name, depth)
        if isinstance(value, dict):
            keys = list(value)
            return {"kind": "dict", "class": type(value).__name__, "keys": [repr(key) for key in keys],
                    "items": [self.flatten(value[key], f"{name}[{key!r}]", depth + 1) for key in keys]}
        if isinstance(value, (tuple, list)):
            return {"kind": "tuple" if isinstance(value, tuple) else "list", "class": type(value).__name__,
                    "items": [self.flatten(item, f"{name}[{i}]", depth + 1) for i, item in enumerate(value)]}
        text = literal(value)
        if text is not None:
            return {"kind": "literal", "value": text}
        return {"kind": "opaque", "class": f"{type(value).__module__}.{type(value).__qualname__}"}

    def dataclass(self, value, name, depth):
        keys = [field.name for field in dataclasses.fields(value)]
        if isinstance(value, dict):  # a ModelOutput of transformers: fields that are None are not in it
            keys = [key for key in keys if key in value]
        return {"kind": "dataclass", "class": type(value).__qualname__, "keys": keys,
                "items": [self.flatten(getattr(value, key), f"{name}.{key}", depth + 1) for key in keys]}

    def index_of(self, tensor, name):
        index = self.seen.get(id(tensor))
        if index is None:
            index = self.seen[id(tensor)] = len(self.tensors)
            self.names.append(name)
            self.tensors.append(tensor)
        return index


def extras_of(value):
    """Names of what an object carries beside its items, fields or text; a subclass of Tensor is one by itself."""
    kind, found = type(value), {}
    if issubclass(kind, enum.Enum):
        return []
    if issubclass(kind, torch.Tensor) and kind not in (torch.Tensor, torch.nn.Parameter):
        return [kind.__qualname__]
    for base in kind.__mro__:
        if "__slots__" in vars(base):
            found.update((name, getattr(value, name)) for name, item in vars(base).items()
                         if type(item) is types.MemberDescriptorType and hasattr(value, name))
    found.update(getattr(value, "__dict__", {}))
    if issubclass(kind, torch.Tensor):
        return sorted(found.keys() - NOTED)
    is_record = dataclasses.is_dataclass(kind)
    fields = {field.name for field in dataclasses.fields(kind)} if is_record else set()
    items = value if issubclass(kind, dict) else {}
    # A ModelOutput of transformers has each of its items as an attribute too.
    extra = {name for name, item in found.items() if name not in fields and not (name in items and items[name] is item)}
    if is_record:
        extra |= {str(key) for key, item in items.items() if key not in fields or found.get(key) is not item}
        extra |= {"its items"} if issubclass(kind, (list, tuple)) and len(value) else set()
    return sorted(extra)


def literal(value):
    for kind in (bool, int, float, complex, str, bytes):
        if isinstance(value, kind):
            return repr(kind(value))
    return str(value) if isinstance(value, (torch.dtype, torch.device)) else None


def save(path, values, unless_as=None):
    """Writes {tree name: value} as one tensor file; a link to the file `unless_as` where that has the same bytes."""
    flattener = Flattener("output" in values)
    found = {name: flattener.flatten(value, name) for name, value in values.items()}
    content = (flattener.names, flattener.tensors, dumps(found))
    try:
        if unless_as and _strata_host.same(unless_as, *content):
            with contextlib.suppress(OSError):  # on another file system
                return os.link(unless_as, path)
        _strata_host.save(path, *content)
    except ValueError as error:
        raise UserError(str(error)) from error


def load(path, restore_devices):
    """The reverse of save()."""
    _, tensors, text = _strata_host.load(path, restore_devices)
    return {name: unflatten(tree, tensors) for name, tree in loads(text).items()}


def unflatten(tree, tensors):
    kind = tree["kind"]
    if kind == "tensor":
        return tensors[tree["index"]]
    if kind == "none":
        return None
    if kind in ("tuple", "list"):
        items = [unflatten(item, tensors) for item in tree["items"]]
        return tuple(items) if kind == "tuple" else items
    if kind == "dict":
        return {ast.literal_eval(key): unflatten(item, tensors) for key, item in zip(tree["keys"], tree["items"])}
    if kind == "literal":
        return from_literal(tree["value"])
    raise UserError(f"an argument of class {tree.get('class', '?')} cannot be handed to another process; "
                    "pass tensors, numbers, tuples, lists or dicts")


def from_literal(text):
    if text.startswith("torch."):
        return getattr(torch, text[len("torch."):])
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    try:
        return float(text)  # inf, nan
    except ValueError:
        return torch.device(text)
