"""How a process is set up, as far as a text can ask for it: a model that asks may work for its judge only."""

import ast

from strata_source_names import dotted, map_names, place_root, runs_as_main

# Of torch: these modules, and functions whose names ask, but for those that ask a tensor.
MODULES = ("backends", "cuda", "mps", "xpu", "cpu", "mtia", "accelerator", "compiler", "onnx", "__config__",
           "version", "__version__")
ASKING = ("get_", "is_", "are_", "has_")
OF_TENSORS = {
    "is_tensor", "is_floating_point", "is_complex", "is_nonzero", "is_same_size", "is_signed", "is_conj", "is_neg",
    "get_device",
}
TORCH_NAMES = ("cuda.amp",)
OF_FILES = {"__file__", "__spec__", "__name__", "__package__", "__loader__", "__path__", "__cached__", "__debug__"}
# Of sys a model may name these, and its streams in print(…, file=…).
SYS_NAMES = ("sys.float_info", "sys.maxsize", "sys.exit")
STREAMS = {f"sys.{stream}.{method}" for stream in ("stdout", "stderr") for method in ("write", "flush")}
OF_PROCESS = ("os", "pathlib", "argparse", "traceback")


def below(full, names):
    return any(full == name or full.startswith(name + ".") for name in names)


def is_setting(full):
    if full.startswith("torch."):
        rest = full[len("torch."):]
        if below(rest, MODULES):
            return not below(rest, TORCH_NAMES)
        last = rest.rsplit(".", 1)[-1]
        return last.startswith(ASKING) and last not in OF_TENSORS and not below(rest, ("nn", "Tensor", "ops"))
    if full.startswith("sys."):
        return not below(full, SYS_NAMES) and full not in STREAMS
    return full in OF_FILES or below(full, OF_PROCESS)


def streams_of(call):
    """The streams that a print is given."""
    is_print = isinstance(call.func, ast.Name) and call.func.id == "print"
    return [item.value for item in call.keywords
            if is_print and item.arg == "file" and dotted(item.value).split(".")[-1] in ("stdout", "stderr")]


def parts_of(attribute):
    """a.b and a of a.b.c."""
    while isinstance(attribute, ast.Attribute):
        attribute = attribute.value
        yield attribute


def asked(node, names):
    """The settings that stand in a statement; `names`: what the text imports."""
    found, inner = set(), set()
    for item in ast.walk(node):
        if isinstance(item, ast.Call):
            inner |= {id(part) for stream in streams_of(item) for part in (stream, *parts_of(stream))}
        if not isinstance(item, (ast.Attribute, ast.Name)) or id(item) in inner:
            continue
        full = dotted(item)
        if full:
            inner |= {id(part) for part in parts_of(item)}
        head, dot, rest = full.partition(".")
        full = names.get(head, head) + dot + rest
        if is_setting(full):
            found.add(full)
        elif isinstance(item, ast.Attribute) and item.attr in OF_FILES - {"__name__"}:
            found.add(item.attr)
    return found


def bound(statement, names):
    """Names that a statement binds, or changes what they hold. An import under a condition counts where there is
    another under the same name."""
    found = {node.id for node in map_names(statement)}
    imported = {}
    for node in ast.walk(statement):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for item in node.names:
                imported.setdefault(item.asname or item.name, set()).add(f"{getattr(node, 'module', '')}.{item.name}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found.add(place_root(node.func.value))
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            found.add(place_root(node))
    return {name for name in found if name not in names} | {name for name, what in imported.items() if len(what) > 1}


def told(tree, names):
    """{name of the top level: settings that it depends on}."""
    statements = []
    for node in tree.body:
        if runs_as_main(node):
            statements += [ast.If(test=node.test, body=node.orelse, orelse=[])] if node.orelse else []
        elif not isinstance(node, (ast.ClassDef, ast.Import, ast.ImportFrom)):
            statements.append(node)
    rows = [(bound(node, names), asked(node, names), {n.id for n in ast.walk(node) if isinstance(n, ast.Name)})
            for node in statements]
    found, size = {}, -1
    while size != sum(map(len, found.values())):
        size = sum(map(len, found.values()))
        for targets, settings, mentions in rows:
            reasons = settings.union(*(found.get(name, ()) for name in mentions))
            for name in targets if reasons else ():
                found.setdefault(name, set()).update(reasons)
    return found
