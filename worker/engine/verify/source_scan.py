"""Reads a refactored file with ast and lists what its methods use. Runs nothing of it.

scan() only says what stands in the text; which uses are violations is decided by the caller, from the one
table of operators.
"""

import ast
import json

import torch

CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}
# Methods of a tensor that are no operators.
QUERIES = {
    "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "element_size", "data_ptr",
    "is_floating_point", "is_complex", "is_contiguous", "get_device", "item", "tolist", "type", "float", "half",
    "double", "bfloat16", "int", "long", "short", "bool", "byte", "cpu", "cuda", "register_buffer", "dtype",
    "requires_grad_", "apply", "values", "index", "copy", "get",
}
IMPORTS = {
    "torch", "children", "__future__", "argparse", "collections", "dataclasses", "enum", "functools", "itertools", "math",
    "os", "pathlib", "sys", "traceback", "typing", "warnings",
}


def dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return ".".join([node.id] + parts[::-1])
    return ""


def aliases(tree):
    """Local name -> what it was imported as: F -> torch.nn.functional."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                names[item.asname or item.name.split(".")[0]] = item.name if item.asname else item.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            for item in node.names:
                names[item.asname or item.name] = f"{node.module or ''}.{item.name}"
    return names


class Uses(ast.NodeVisitor):
    def __init__(self, where, names):
        self.where, self.names, self.found = where, names, []

    def add(self, node, kind, name):
        self.found.append({"location": self.where, "line": node.lineno, "kind": kind, "name": name})

    def visit_Call(self, node):
        name = dotted(node.func)
        head, _, rest = name.partition(".")
        full = f"{self.names[head]}.{rest}".rstrip(".") if head in self.names else name
        if full.startswith("torch.nn.functional.") or full.startswith("torch.nn.init."):
            self.add(node, "functional", full.rsplit(".", 1)[1])
        elif full.startswith("torch.nn."):
            if full.rsplit(".", 1)[1] not in CONTAINERS:
                self.add(node, "construct", full)
        elif full.startswith("torch."):
            self.add(node, "torch", full[len("torch."):])
        elif full.startswith("math."):
            pass  # of numbers, not of tensors
        elif isinstance(node.func, ast.Attribute) and not name.startswith(("self.", "super.")):
            attribute = node.func.attr
            if attribute not in QUERIES and not attribute.startswith("__") and hasattr(torch.Tensor, attribute):
                self.add(node, "method", attribute)
        elif full in ("eval", "exec", "open", "compile", "__import__", "globals", "setattr", "vars"):
            self.add(node, "builtin", full)
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.MatMult):
            self.add(node, "torch", "matmul")
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        if isinstance(node.op, ast.MatMult):
            self.add(node, "torch", "matmul")
        self.generic_visit(node)


def scan(request, _):
    """`request`: JSON {source, class, imports}. Returns JSON; the second argument is not used."""
    request = json.loads(request)
    source, class_name, imports = request["source"], request["class"], IMPORTS | set(request["imports"])
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return json.dumps({"error": str(error), "line": getattr(error, "lineno", None) or 0})
    names = aliases(tree)
    uses = []
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "children"]
        for module in modules:
            if module.split(".")[0] not in imports:
                uses.append({"location": "import", "line": node.lineno, "kind": "import", "name": module})
    found_class = False
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found_class |= node.name == class_name
            for item in node.body:
                if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    visitor = Uses(f"{item.name}()", names)
                    for statement in item.body:
                        visitor.visit(statement)
                    uses += visitor.found
    has_main = any(
        isinstance(node, ast.If) and any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test))
        for node in tree.body)
    return json.dumps({"has_class": found_class, "has_main": has_main, "uses": uses})
