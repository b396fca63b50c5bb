"""What a text may name, and how its names are read with ast. Runs nothing of it."""

import ast
import importlib.util
import operator
import sys
import types

import torch

CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}
# Methods of a tensor that are no operators.
QUERIES = {
    "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "element_size",
    "is_floating_point", "is_complex", "is_contiguous", "get_device", "item", "tolist", "type", "float", "half",
    "double", "bfloat16", "int", "long", "short", "bool", "byte", "cpu", "cuda", "register_buffer", "dtype",
    "requires_grad_", "apply", "values", "index", "copy", "get",
}
IMPORTS = {
    "torch", "__future__", "abc", "base64", "collections", "contextlib", "copy", "dataclasses", "enum", "functools",
    "itertools", "math", "numbers", "operator", "sys", "traceback", "typing", "warnings", "zlib",
}
# A parent finds its children beside itself.
PARENT_IMPORTS = {"children", "argparse", "os", "pathlib"}
# What of these two a file may touch.
SYS_NAMES = {"sys.exit", "sys.path", "sys.stderr", "sys.stdout", "sys.argv", "sys.float_info", "sys.maxsize"}
OS_NAMES = {"os.path"}
TRACEBACK_NAMES = {"traceback.print_exc", "traceback.format_exc"}
WARNINGS_NAMES = {"warnings.warn", "warnings.simplefilter", "warnings.filterwarnings", "warnings.catch_warnings"}
# They find an attribute by a name that no text shows.
# What calls others by name or evaluates text.
CLOSED_NAMES = {
    "operator.attrgetter", "operator.methodcaller", "typing.get_type_hints", "typing.ForwardRef", "string.Formatter",
    "functools.singledispatch", "functools.singledispatchmethod", "dataclasses.make_dataclass",
}
GETTERS = (operator.attrgetter, operator.methodcaller)
TEST_FUNCTIONS = {"get_inputs", "get_input_kwargs", "get_init_inputs", "get_expected_output_shape", "run_tests", "main"}

SEEDS = {"manual_seed", "cuda.manual_seed", "cuda.manual_seed_all", "random.manual_seed", "Generator"}

BUILTINS = {
    "eval", "exec", "open", "compile", "__import__", "globals", "locals", "vars", "setattr", "delattr", "input",
    "breakpoint", "memoryview",
}
# Of torch: what reads files, talks to others, changes torch, or asks for what a model cannot know.
TORCH_PREFIXES = (
    "load", "save", "from_file", "from_numpy", "from_dlpack", "hub", "jit", "package", "serialization",
    "ops.load_library", "ops.loaded_libraries", "classes", "distributed", "multiprocessing", "futures", "library",
    "overrides", "utils", "_C", "_dynamo", "_inductor", "_ops", "fx", "func.functional_call", "manual_seed", "seed",
    "initial_seed", "get_rng_state", "set_rng_state", "random", "cuda.manual_seed", "cuda.get_rng_state", "Generator",
    "cuda.set_rng_state", "cuda.Stream", "cuda.stream", "compile", "nn.modules.module", "nn.utils", "testing",
    "profiler", "autograd.profiler", "monitor", "set_num_threads", "set_default_device", "set_default_dtype",
    "set_default_tensor_type", "use_deterministic_algorithms", "set_printoptions", "storage", "UntypedStorage",
    "TypedStorage", "nn.parallel", "fork", "wait", "_tensor", "_utils",
)
# Of these a child may use what the original uses; torch.nn.utils and torch.utils are closed to it otherwise.
CHILD_UTILS = (
    "nn.utils.rnn", "nn.utils.parametrizations", "nn.utils.weight_norm", "nn.utils.spectral_norm",
    "nn.utils.parametrize", "utils.checkpoint.checkpoint", "utils.checkpoint.checkpoint_sequential",
)
# How the process is set up: a model that asks may work for its judge only.
SETTINGS = {
    "is_grad_enabled", "is_inference_mode_enabled", "is_inference", "get_num_threads", "get_num_interop_threads",
    "default_generator", "cuda.default_generators", "are_deterministic_algorithms_enabled", "is_autocast_enabled",
    "is_autocast_cpu_enabled", "is_anomaly_enabled",
}
# The same of a tensor.
TENSOR_SETTINGS = {"requires_grad", "grad_fn", "grad", "is_leaf", "is_inference", "_version", "_base"}
HOOKS = {"_backward_hooks", "_post_accumulate_grad_hooks"} | {
    name for owner in (torch.nn.Module(), torch.nn.modules.module) for name in vars(owner)
    if name.startswith("_") and "hooks" in name}
METHODS = {
    "numpy", "__array__", "data_ptr", "storage", "untyped_storage", "share_memory_", "apply_", "map_", "map2_", "set_",
    "register_hook", "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_state_dict_pre_hook", "register_load_state_dict_post_hook", "register_module_forward_hook",
    "register_buffer_registration_hook", "__dlpack__", "resize_", "load_state_dict", "register_parametrization",
    "gi_frame", "cr_frame", "ag_frame", "tb_frame", "f_back", "f_locals", "f_globals", "f_code",
}
DUNDERS = {
    "__init__", "__name__", "__file__", "__doc__", "__len__", "__iter__", "__getitem__", "__call__", "__class__",
    "__post_init__", "__version__", "__annotations__", "__future__", "__all__", "__main__", "__repr__", "__str__",
    "__contains__", "__enter__", "__exit__", "__eq__", "__add__", "__mul__", "__sub__", "__neg__",
}
# What a file or class may say of itself under such a name.
DUNDERS_GIVEN = DUNDERS | {"__slots__", "__constants__", "__author__", "__license__", "__match_args__", "__test__", "__hash__"}
# nn.Module's own, by which others look at it.
MODULE_METHODS = {
    "_load_from_state_dict", "_save_to_state_dict", "state_dict", "load_state_dict", "parameters", "named_parameters",
    "buffers", "named_buffers", "modules", "named_modules", "children", "named_children", "_apply", "_call_impl", "eval",
    "train", "register_parameter", "get_parameter", "get_buffer", "_named_members",
}
CHANGES = {"append", "extend", "insert", "update", "setdefault", "pop", "popitem", "clear", "remove", "add", "discard"}


def dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return ".".join([node.id] + parts[::-1])
    return ""


def root(node):
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def place_root(node):
    """As root(), of what is no result of a call."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def walk(full):
    """(module, name in it, its object) at each step of a dotted name, as far as modules lead that are loaded already.
    Imports, calls and asks nothing."""
    module, steps = sys.modules.get(full.split(".")[0]), []
    for name in full.split(".")[1:]:
        if not isinstance(module, types.ModuleType):
            break
        value = vars(module).get(name)
        steps.append((module, name, value))
        module = value
    return steps


def aliases(tree):
    """Local name -> what it was imported as: F -> torch.nn.functional. A module under another name is one too."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                names[item.asname or item.name.split(".")[0]] = item.name if item.asname else item.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            for item in node.names:
                names[item.asname or item.name] = f"{node.module or ''}.{item.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            head, dot, rest = dotted(node.value).partition(".")
            if head in names and is_module(names[head] + dot + rest):
                names.setdefault(node.targets[0].id, names[head] + dot + rest)
    return names


def is_module(full):
    steps = walk(full)
    value = steps[-1][2] if steps else sys.modules.get(full)
    return len(steps) == full.count(".") and isinstance(value, types.ModuleType)


def assigned(node):
    """The targets of a statement that binds or changes something."""
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.For)):
        targets = [node.target]
    elif isinstance(node, ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.With):
        targets = [item.optional_vars for item in node.items if item.optional_vars]
    else:
        targets = []
    for target in targets:
        yield from target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def is_main_block(node):
    return isinstance(node, ast.If) and any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test))


def runs_as_main(node):
    """if __name__ == "__main__", and nothing else."""
    if not (isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and len(node.test.ops) == 1):
        return False
    sides = [node.test.left, node.test.comparators[0]]
    return isinstance(node.test.ops[0], ast.Eq) and any(isinstance(n, ast.Name) and n.id == "__name__" for n in sides) \
        and any(isinstance(n, ast.Constant) and n.value == "__main__" for n in sides)


def of_classes(tree):
    """The names of the functions that the file's classes lead to."""
    functions = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    found, todo = set(), [node for node in tree.body if isinstance(node, ast.ClassDef)]
    while todo:
        names = {n.id for n in ast.walk(todo.pop()) if isinstance(n, ast.Name)} & set(functions)
        todo += [functions[name] for name in names - found]
        found |= names
    return found


def changed(node, name, is_call):
    """Whether a statement or call changes what `name` holds; `is_call` where a call made it, a tensor perhaps."""
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and place_root(node.func.value) == name:
        method = node.func.attr
        return method in CHANGES or (is_call and method.endswith("_") and not method.endswith("__"))
    return any(isinstance(t, (ast.Attribute, ast.Subscript)) and place_root(t) == name for t in assigned(node))


def map_names(statement):
    """Names that a statement of the file's top level binds."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield ast.Name(id=statement.name)
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node


def mentioned(node):
    """Names that may be functions of the file or methods of self."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def builders(tree):
    """Functions and methods that only __init__ leads to: they may compute the original's buffers."""
    functions = {}
    for node in tree.body:
        for item in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(item, ast.FunctionDef):
                functions.setdefault(item.name, []).append(item)
    found, used = {"__init__"}, None
    while used != found:
        used = set(found)
        for name in set(functions) - found - {"forward"}:
            callers = {other for other, items in functions.items() if other != name and any(name in mentioned(i) for i in items)}
            if callers and callers <= found:
                found.add(name)
    return found


def is_own(name):
    """A file beside the text, not a package that happens to have its name. importlib is no file: it was asked for."""
    if name == "importlib":
        return True
    return name.isidentifier() and name not in sys.stdlib_module_names and importlib.util.find_spec(name) is None
