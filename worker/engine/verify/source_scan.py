"""Reads a refactored file or a child with ast and lists what its text uses. Runs nothing of it.

scan() only says what stands in the text and of which kind; which operators are violations is decided by the
caller, from the one table of operators. What reaches beyond a model is a violation of its own kind, in a
parent and in a child alike.
"""

import ast
import json
import operator
import re
import sys
import types

import torch
import strata_source_settings as settings
from strata_source_names import (
    BUILTINS, CHANGES, CHILD_UTILS, CLOSED_NAMES, CONTAINERS, DUNDERS, DUNDERS_GIVEN, GETTERS, HOOKS, IMPORTS, METHODS,
    MODULE_METHODS, OS_NAMES, PARENT_IMPORTS, QUERIES, SEEDS, SETTINGS, SYS_NAMES, TENSOR_SETTINGS, TEST_FUNCTIONS, TORCH_PREFIXES,
    TRACEBACK_NAMES, WARNINGS_NAMES, aliases, assigned, builders, changed, dotted, is_main_block, is_own, map_names, mentioned, of_classes,
    place_root, root, runs_as_main, walk)

MAX_DEPTH = 20000  # of nested visits


class Reach(ast.NodeVisitor):
    """What reaches beyond a model, anywhere in a file."""

    def __init__(self, tree, imports, is_child):
        self.names, self.imports, self.found, self.where = aliases(tree), imports, [], ["file"]
        self.is_child, self.building, self.of_classes = is_child, builders(tree), of_classes(tree)
        self.scopes = []  # the classes and functions that a node stands in
        self.in_main = False
        self.top = {node.id for statement in tree.body for node in map_names(statement)}
        self.locals = [set()]
        self.told = settings.told(tree, self.names)
        self.inner = set()  # nodes that were read with those around them

    def add(self, node, kind, name):
        self.found.append({"location": self.where[-1], "line": node.lineno, "kind": kind, "name": name})

    def full(self, node):
        name = dotted(node)
        head, _, rest = name.partition(".")
        return f"{self.names[head]}.{rest}".rstrip(".") if head in self.names else name

    def in_test(self):
        """In what only runs where the file is tried: the main block, get_inputs() and its like."""
        if self.in_main or not self.scopes:
            return self.in_main
        outer = self.scopes[0]
        return not isinstance(outer, ast.ClassDef) and outer.name in TEST_FUNCTIONS - self.of_classes

    def in_model(self):
        """In a class or in what it leads to, or run when the file is imported."""
        if self.in_test() or not self.scopes:
            return not self.in_main
        return isinstance(self.scopes[0], ast.ClassDef) or self.scopes[0].name in self.of_classes

    def in_class(self):
        return any(isinstance(scope, ast.ClassDef) for scope in self.scopes)

    def in_init(self):
        """In __init__ or in what only it leads to."""
        functions = [scope for scope in self.scopes if not isinstance(scope, ast.ClassDef)]
        return self.in_class() and bool(functions) and functions[-1].name in self.building

    def visit_If(self, node):
        if self.scopes or not runs_as_main(node):
            return self.generic_visit(node)
        self.in_main = True
        for statement in [node.test, *node.body]:
            self.visit(statement)
        self.in_main = False
        for statement in node.orelse:
            self.visit(statement)
        return None

    def visit_ClassDef(self, node):
        self.scopes.append(node)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_Import(self, node):
        self.check_modules(node, [item.name for item in node.names])

    def visit_ImportFrom(self, node):
        module = node.module or ("children" if node.level else "")
        names = [f"{module}.{item.name}" for item in node.names]
        if not all(self.is_child_util(name) or self.leads_to_util(name) for name in names):
            self.check_modules(node, [module])
        for name in names:
            if name.endswith(".*") and module.split(".")[0] not in ("children", "typing"):
                self.add(node, "import", name)
            if not self.leads_to_util(name):
                self.check_path(node, name)

    def check_modules(self, node, modules):
        for module in modules:
            if module.split(".")[0] not in self.imports:
                self.add(node, "import", module)
            if not self.leads_to_util(module):
                self.check_path(node, module)

    def is_child_util(self, full):
        rest = full.removeprefix("torch.")
        return self.is_child and rest != full and "._" not in rest \
            and any((rest + ".").startswith(name + ".") for name in CHILD_UTILS)

    def leads_to_util(self, full):
        """torch.utils on the way to torch.utils.checkpoint: it may be imported."""
        return self.is_child and any(f"torch.{name}".startswith(full + ".") for name in CHILD_UTILS)

    def check_path(self, node, full):
        """An imported name, and where it leads from module to module: torch.os is os."""
        for module, name, value in walk(full):
            reached = f"{module.__name__}.{name}"
            if any(value is getter for getter in GETTERS):
                return self.add(node, "reach", full)
            if not isinstance(value, types.ModuleType) or reached in OS_NAMES:
                continue
            is_open = value.__name__.split(".")[0] in self.imports - {"os", "sys"}
            if not is_open and not value.__name__.startswith(module.__name__ + "."):
                return self.add(node, "reach", full)
        for module, name, _ in walk(full)[1:]:
            reached = f"{module.__name__}.{name}"
            if not full.startswith(reached) and self.check_name(node, reached):
                return None
        return self.check_name(node, full)

    def check_name(self, node, full):
        """Adds what is closed to a model. Returns whether it did."""
        closed = self.is_closed(full)
        if closed:
            self.add(node, "reach", full)
        elif settings.is_setting(full) and id(node) not in self.inner and self.may_not_ask(node, full):
            self.add(node, "setting", full)
            return True
        return closed

    def may_not_ask(self, node, full):
        """In a class or in what it leads to, which is neither imported nor tried there."""
        is_read = self.scopes and self.in_model() and not self.in_test()
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        return is_read and not is_import and not (full == "torch.get_default_dtype" and self.in_init())

    def is_closed(self, full):
        if full.startswith("torch."):
            rest = full[len("torch."):]
            if (rest in SEEDS and self.in_test()) or self.is_child_util(full):
                return False
            if (rest in SETTINGS or rest.startswith(("default_generator.", "cuda.default_generators."))):
                return not self.in_test()
            for prefix in TORCH_PREFIXES:
                if rest == prefix or rest.startswith(prefix + "."):
                    return True
        if full == "sys.argv" or full.startswith("sys.argv."):
            return bool(self.scopes) and self.in_model()
        for head, names in (("sys.", SYS_NAMES), ("os.", OS_NAMES), ("traceback.", TRACEBACK_NAMES),
                            ("warnings.", WARNINGS_NAMES)):
            if full.startswith(head):
                return not any(full == name or full.startswith(name + ".") for name in names)
        return full in CLOSED_NAMES

    def visit_Attribute(self, node):
        name = dotted(node)
        is_imported = name.split(".")[0] in self.names
        if node.attr in settings.OF_FILES - {"__name__"} and self.may_not_ask(node, node.attr):
            self.add(node, "setting", node.attr)
        if is_imported and self.is_child_util(self.full(node)):
            return self.check_path(node, self.full(node))
        if node.attr.startswith("__") and node.attr.endswith("__") and node.attr not in DUNDERS:
            self.add(node, "reach", node.attr)
        elif node.attr in METHODS or node.attr in HOOKS or (node.attr == "register" and place_root(node) != "self"):
            self.add(node, "reach", f".{node.attr}")
        elif is_imported and self.full(node) == "contextlib.suppress":
            self.check_catch(node, "contextlib.suppress")
        elif is_imported:
            self.check_path(node, self.full(node))
        elif not self.check_name(node, name) and self.asks_tensor(node):
            self.add(node, "reach", f".{node.attr}")
        if name:
            self.inner |= {id(part) for part in settings.parts_of(node)}
        return self.generic_visit(node)

    def asks_tensor(self, node):
        """Reads off a tensor how the process runs. self.grad is a module's own."""
        if node.attr not in TENSOR_SETTINGS or not isinstance(node.ctx, ast.Load):
            return False
        own = isinstance(node.value, ast.Name) and node.value.id == "self" and self.in_class()
        return not own and not self.in_init() and not self.in_test()

    def is_builtin(self, node, name):
        return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) \
            and name not in self.top and not any(name in names for names in self.locals[1:])

    def visit_Name(self, node):
        if self.is_builtin(node, "getattr"):  # called where it stands it does not get here
            self.add(node, "reach", "getattr as a value")
        elif self.is_builtin(node, "next") and self.in_model():
            self.add(node, "state", "next as a value")
        elif (self.is_builtin(node, "id") or self.is_builtin(node, "hash")) and self.in_model():
            self.add(node, "builtin", node.id)
        elif node.id in BUILTINS and isinstance(node.ctx, ast.Load):
            self.add(node, "builtin", node.id)
        elif node.id.startswith("__") and node.id.endswith("__") and node.id not in (
                settings.OF_FILES | DUNDERS if isinstance(node.ctx, ast.Load) else DUNDERS_GIVEN):
            self.add(node, "builtin", node.id)
        elif node.id in settings.OF_FILES:
            self.check_name(node, node.id)
        elif node.id in self.told and self.may_not_ask(node, "") and not any(node.id in names for names in self.locals[1:]):
            for reason in sorted(self.told[node.id]):
                self.add(node, "setting", reason)
        elif self.names.get(node.id) == "contextlib.suppress":
            self.check_catch(node, node.id)
        elif node.id in self.names:
            self.check_path(node, self.names[node.id])

    def visit_Call(self, node):
        is_known = False
        self.inner |= {id(stream) for stream in settings.streams_of(node)}
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            is_known = bool(node.args)
            name = node.args[1] if len(node.args) > 1 else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                if not node.args or place_root(node.args[0]) != "self":  # self.block0, self.blocks.part0, …
                    self.add(node, "builtin", "getattr by a name that is computed")
            elif name.value in HOOKS or (name.value in TENSOR_SETTINGS and not self.in_init() and not self.in_test()):
                self.add(node, "reach", f"getattr(…, '{name.value}')")
            elif root(node.args[0]) in self.names or name.value in METHODS or name.value.startswith("__"):
                self.add(node, "reach", f"getattr(…, '{name.value}')")
        if isinstance(node.func, ast.Name) and node.func.id == "setattr":
            is_known = self.sets_its_own(node)
        if self.is_builtin(node.func, "next") and node.args:
            is_known = True
            if self.in_model() and not self.is_fresh(node.args[0]):
                self.add(node, "state", "next of what is kept")
        if isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) == 3:
            self.add(node, "builtin", "type with three arguments")
        if isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
            self.check_change(node, node.func.value)
        elif self.full(node.func) in ("operator.setitem", "operator.delitem") and node.args:
            self.check_change(node, node.args[0])
        for child in [*([] if is_known else [node.func]), *node.args, *node.keywords]:
            self.visit(child)

    def check_change(self, node, target):
        if self.is_global(target):
            return self.add(node, "state", root(target))
        steps = walk(self.full(target)) if dotted(target).split(".")[0] in self.names else []
        if steps and isinstance(steps[-1][2], (dict, list, set)) and self.full(target) not in SYS_NAMES:
            return self.add(node, "patch", self.full(target))
        return None

    def sets_its_own(self, node):
        """setattr(self, name, …) while it is built: its children under names that are computed."""
        if len(node.args) != 3 or not self.in_init():
            return False
        if not (isinstance(node.args[0], ast.Name) and node.args[0].id == "self"):
            return False
        name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
        return name not in HOOKS and name != "forward" and not str(name).startswith("__")

    def is_fresh(self, node):
        """An iterator made where it is used: a call's result, or a local name of nothing else."""
        if isinstance(node, (ast.Call, ast.GeneratorExp)):
            return True
        if not isinstance(node, ast.Name) or not self.scopes:
            return False
        values = [n.value for n in ast.walk(self.scopes[-1]) if isinstance(n, ast.Assign)
                  and any(isinstance(t, ast.Name) and t.id == node.id for t in n.targets)]
        return bool(values) and all(isinstance(value, (ast.Call, ast.GeneratorExp)) for value in values)

    def is_on_argument(self, target):
        """An attribute set on what a method or function is given: it stays there when the call is over."""
        is_name = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
        if not is_name or not self.in_model() or not self.scopes or isinstance(self.scopes[-1], ast.ClassDef):
            return False
        given = self.scopes[-1].args
        names = [arg.arg for arg in [*given.posonlyargs, *given.args, *given.kwonlyargs]]
        is_method = len(self.scopes) > 1 and isinstance(self.scopes[-2], ast.ClassDef)
        return target.value.id in names[is_method:]

    def visit_Lambda(self, node):
        self.check_defaults(node)
        self.generic_visit(node)

    def check_defaults(self, node):
        """A default that is made once and changed in every call keeps something."""
        positional = [*node.args.posonlyargs, *node.args.args]
        pairs = [*zip(positional[::-1], node.args.defaults[::-1]), *zip(node.args.kwonlyargs, node.args.kw_defaults)]
        body = node.body if isinstance(node.body, list) else [node.body]
        kinds = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.Call)
        for arg, default in pairs:
            if isinstance(default, kinds) and any(
                    changed(n, arg.arg, isinstance(default, ast.Call)) for item in body for n in ast.walk(item)):
                self.add(node, "state", f"{arg.arg}={ast.unparse(default)}")

    def is_global(self, node):
        """Changed at run time, and not a local name, not self: kept from call to call."""
        name = root(node)
        return len(self.where) > 1 and name in self.top and not any(name in names for names in self.locals[1:])

    def visit_Try(self, node):
        self.check_catch(node, "try")
        self.generic_visit(node)

    def check_catch(self, node, name):
        """What a computation raises tells of its values."""
        if self.scopes and self.in_model() and not self.in_init() and not self.in_test():
            self.add(node, "catch", name)

    def visit_MatchClass(self, node):
        for name in node.kwd_attrs:  # case Tensor(requires_grad=True)
            if name in METHODS or name in HOOKS or name in TENSOR_SETTINGS or name.startswith("__"):
                self.add(node, "reach", f".{name}")
        self.generic_visit(node)

    def visit_Constant(self, node):
        """A template that reads attributes: "{0.requires_grad}"."""
        if isinstance(node.value, str) and self.in_model() and self.scopes and not self.is_docstring(node):
            for field in re.findall(r"{[^{}:!]*\.([A-Za-z_]\w*)", node.value):
                if field in METHODS or field in HOOKS or field in TENSOR_SETTINGS or field.startswith("_"):
                    self.add(node, "reach", f".{field} in a template")

    def is_docstring(self, node):
        return any(scope.body and isinstance(scope.body[0], ast.Expr) and scope.body[0].value is node for scope in self.scopes)

    def visit_Global(self, node):
        self.add(node, "state", ", ".join(node.names))

    def generic_visit(self, node):
        for target in assigned(node):
            if isinstance(target, (ast.Attribute, ast.Subscript)):
                if root(target) in self.names:
                    self.add(node, "patch", dotted(target) or root(target))
                elif self.is_global(target) or (root(target) == "type" and len(self.where) > 1):
                    self.add(node, "state", root(target))
                elif isinstance(target, ast.Attribute) and target.attr in ("__class__", "forward", "data"):
                    if target.attr != "data" or not self.in_init():
                        self.add(node, "patch", f".{target.attr}")
                elif self.is_on_argument(target):
                    self.add(node, "argument", dotted(target))
        super().generic_visit(node)

    def visit_FunctionDef(self, node):
        if node.name.startswith("__") and node.name.endswith("__") and node.name in (
                "__getattr__", "__getattribute__", "__setattr__", "__call__", "__torch_function__", "__torch_dispatch__",
                "__del__", "__reduce__", "__init_subclass__", "__instancecheck__", "__setstate__", "__new__"):
            self.add(node, "reach", f"def {node.name}")
        elif node.name in MODULE_METHODS and not (self.is_child and node.name == "train"):
            self.add(node, "reach", f"def {node.name}")
        self.check_defaults(node)
        inside = {arg.arg for arg in [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]}
        inside |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        inside |= {a.arg for a in (node.args.vararg, node.args.kwarg) if a}
        self.where.append(f"{node.name}()")
        self.locals.append(inside)
        self.scopes.append(node)
        self.generic_visit(node)
        self.scopes.pop()
        self.where.pop()
        self.locals.pop()

    visit_AsyncFunctionDef = visit_FunctionDef


class Uses(ast.NodeVisitor):
    """Which operators and modules a parent's text names."""

    def __init__(self, where, names):
        self.where, self.names, self.found = where, names, []

    def add(self, node, kind, name):
        self.found.append({"location": self.where, "line": node.lineno, "kind": kind, "name": name})

    def full(self, node):
        name = dotted(node)
        head, _, rest = name.partition(".")
        return f"{self.names[head]}.{rest}".rstrip(".") if head in self.names else name

    def visit_Call(self, node):
        full = self.full(node.func)
        if full.startswith("torch.nn.") and not full.startswith(("torch.nn.functional.", "torch.nn.init.")):
            if full.rsplit(".", 1)[1] not in CONTAINERS:
                self.add(node, "construct", full)
        elif isinstance(node.func, ast.Attribute) and not full.startswith(("self.", "super.", "math.", "torch.")):
            attribute = node.func.attr
            if attribute not in QUERIES and not attribute.startswith("__") and hasattr(torch.Tensor, attribute):
                self.add(node, "method", attribute)
        self.generic_visit(node)

    def visit_Attribute(self, node):
        self.check(node, self.full(node))
        if not dotted(node):
            self.visit(node.value)

    def visit_Name(self, node):
        if node.id in self.names:
            self.check(node, self.names[node.id])

    def check(self, node, full):
        """A mention is enough: an operator need not be called where it is named."""
        if full.startswith("torch.nn.functional.") or full.startswith("torch.nn.init."):
            self.add(node, "functional", full.rsplit(".", 1)[1])
        elif full.startswith("torch.Tensor."):
            self.add(node, "method", full.rsplit(".", 1)[1])
        elif full.startswith("torch.") and not full.startswith("torch.nn"):
            name = full[len("torch."):]
            target = torch
            for part in name.split("."):
                target = getattr(target, part, None)
            if callable(target) and not isinstance(target, (type, torch.dtype)):
                self.add(node, "torch", name)

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.MatMult):
            self.add(node, "torch", "matmul")
        self.generic_visit(node)

    visit_AugAssign = visit_BinOp


def place(node, building, outside):
    if not isinstance(node, ast.FunctionDef):
        return outside
    return "__init__()" if node.name in building else f"{node.name}()"


def keeps(tree):
    """What methods store in their own object once it is built: [{location, line, name}]."""
    found, building = [], builders(tree)
    for owner in ast.walk(tree):
        for method in owner.body if isinstance(owner, ast.ClassDef) else []:
            args = [*method.args.posonlyargs, *method.args.args] if isinstance(method, ast.FunctionDef) else []
            if not args or method.name in building:
                continue
            for node in ast.walk(method):
                for target in assigned(node) if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)) else []:
                    parts = []
                    while isinstance(target, (ast.Subscript, ast.Starred, ast.Attribute)):
                        parts += [target.attr] if isinstance(target, ast.Attribute) else []
                        target = target.value
                    if parts and isinstance(target, ast.Name) and target.id == args[0].arg:
                        name = ".".join(parts[::-1])
                        found.append({"location": f"{method.name}()", "line": node.lineno, "name": name})
    return found


def reachable(tree, name):
    """The classes that lead from `name`: its bases, what its text mentions, and so on."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found, todo = set(), [name]
    while todo:
        name = todo.pop()
        if name in classes and name not in found:
            found.add(name)
            todo += mentioned(classes[name])
    return found


def parent_uses(tree, names, only_classes):
    """Of all that may run in a forward: methods, functions, decorators, class bodies, defaults. `only_classes`: of a
    script, the names of those that are the model; None where everything is."""
    uses, building = [], builders(tree)
    for node in tree.body:
        if is_main_block(node) or (isinstance(node, ast.FunctionDef) and node.name in TEST_FUNCTIONS):
            continue
        if only_classes is not None and not (isinstance(node, ast.ClassDef) and node.name in only_classes):
            continue
        if not isinstance(node, ast.ClassDef):
            visitor = Uses(place(node, building, "file"), names)
            visitor.visit(node)
            uses += visitor.found
            continue
        for item in [*node.body, *node.decorator_list]:
            visitor = Uses(place(item, building, "class"), names)
            visitor.visit(item)
            uses += visitor.found
    return uses


def string_maps(tree):
    """Dicts of names that a script writes out, the likeliest weight map first."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or not isinstance(node.value, ast.Dict):
            continue
        keys, values = node.value.keys, node.value.values
        if keys and all(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in (*keys, *values) if n) and None not in keys:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = dotted(target).lower()
            found.append((-("weight" in name) - ("map" in name), {k.value: v.value for k, v in zip(keys, values)}))
    return [pairs for _, pairs in sorted(found, key=lambda item: item[0])]


def imported_children(tree):
    """{stem: line} of the files of children/ that the text imports."""
    found = {}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{item.name}" for item in node.names] if node.module == "children" else [node.module]
        elif isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        for name in names:
            if name.startswith("children.") and name.split(".")[1] != "*":
                found.setdefault(name.split(".")[1], node.lineno)
    return found


def workloads(tree):
    """How many shapes a component lists that runs at several (docs/bundle_format.md); 1 where it lists none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and dotted(node.targets[0]) == "WORKLOADS" and isinstance(node.value, ast.List):
            return max(1, len(node.value.elts))
    return 1


def strange_coding(source):
    """(line, coding) where the text says one by which Python would read other text than stands there."""
    for number, line in enumerate(source.split("\n", 2)[:2], 1):
        found = re.match(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", line)
        if found and found[1].lower().replace("_", "-") not in ("utf-8", "utf8", "ascii", "us-ascii"):
            return number, found[1]
    return None


def scan(request, _):
    """`request`: JSON {source, class, imports, role: parent|child|script}. Returns JSON; the second argument is not
    used. Of a script only the classes are a model."""
    request = json.loads(request)
    sys.setrecursionlimit(MAX_DEPTH)
    try:
        return json.dumps(scan_text(request))
    except RecursionError:
        use = {"location": "file", "line": 0, "kind": "depth", "name": "the text"}
        return json.dumps({"has_class": True, "uses": [use]})


def scan_text(request):
    imports = IMPORTS | {name for name in request["imports"] if is_own(name)} | (set() if request["role"] == "child" else PARENT_IMPORTS)
    try:
        tree = ast.parse(request["source"])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"error": str(error), "line": getattr(error, "lineno", None) or 0}
    reach = Reach(tree, imports, request["role"] == "child")
    if request["role"] == "script":
        reach.told = {}
    for node in tree.body:
        if request["role"] != "script" or isinstance(node, (ast.ClassDef, ast.Import, ast.ImportFrom)):
            reach.visit(node)
    uses = reach.found
    coding = strange_coding(request["source"])
    if coding:
        uses.append({"location": "file", "line": coding[0], "kind": "coding", "name": coding[1]})
    if request["role"] != "child":
        script = request["role"] == "script"
        uses += parent_uses(tree, reach.names, reachable(tree, request["class"]) if script else None)
    return {
        "has_class": any(isinstance(node, ast.ClassDef) and node.name == request["class"] for node in tree.body),
        "has_main": any(is_main_block(node) for node in tree.body),
        "uses": uses,
        "keeps": keeps(tree),
        "workloads": workloads(tree),
        "children": imported_children(tree),
        "maps": string_maps(tree),
    }
