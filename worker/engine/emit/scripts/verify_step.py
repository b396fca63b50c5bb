#!/usr/bin/env python3
"""Checks one step of a decomposition: does refactored.py compute what original.py computes?

    python verify_step.py --original STEP/original.py --refactored STEP/refactored.py
                          [--weight-map STEP/weight_map.json] [--output RESULT.json] [--device cpu|cuda]

Three gates:
  1. anticheat: refactored.py and its children are read, and the refactored forward is executed once under
     PyTorch's execution trace: outside its children only plumbing may run, and every parameter is a child's.
  2. weight transfer: every weight of the refactored model is filled from the original.
  3. numerical comparison: seeds 42, 43 and 44 at every workload; each side gets its own copy of the inputs
     and the same generator state. Outputs are compared as the tree they are; so are the inputs afterwards.

Exit code: 0 PASS, 1 FAIL, 2 ERROR (something could not be loaded or run). Needs PyTorch and nothing else.
Nothing is written unless --output names a file.
"""

import argparse
import ast
import collections
import copy
import datetime
import json
import sys
import traceback
from pathlib import Path

sys.dont_write_bytecode = True  # a bundle stays as it was delivered

from extract_ops import (ARITHMETIC, COMPARISON, INDEXING, MASKED_FILL, MASK_LOGIC, PLUMBING, POWER, SEEDS, LoadError,
                         apply_numeric_setting, build, call, draw_inputs, environment, leaves, load_file,
                         outermost_children, path_in_bundle, record, workload_count)

import torch

TOLERANCE = {"half": (1e-3, 1e-3), "full": (1e-5, 1e-6)}  # (rtol, atol)
SELF_TEST_LINE = "# ---- component self-test ----"  # only the submitted model's file has it

# The same as Python spells them, for the source scan.
OPERATORS = ARITHMETIC | PLUMBING | MASK_LOGIC | MASKED_FILL | POWER | INDEXING | COMPARISON
TORCH_FUNCTIONS = OPERATORS | {"repeat_interleave", "tensor", "as_tensor", "is_tensor", "no_grad"}
IN_PLACE = frozenset(f"{name}_" for name in OPERATORS)
TENSOR_METHODS = IN_PLACE | (TORCH_FUNCTIONS - {"tensor", "no_grad"}) | frozenset("""
    size dim numel stride element_size is_contiguous bool byte char short int long half float double bfloat16
    cpu cuda type item tolist T mT append extend insert items keys values get pop copy index join format
    is_floating_point get_device expand_as data_ptr is_complex update split_with_sizes
""".split())
PYTHON_FUNCTIONS = frozenset("""
    abs all any bool dict enumerate float frozenset int isinstance len list max min range reversed set slice sorted
    str sum super tuple zip
""".split())
CHILD_IMPORTS = {"torch", "math", "typing", "dataclasses", "collections", "contextlib", "functools", "itertools",
                 "operator", "abc", "enum", "numbers", "base64", "zlib", "struct", "sys", "traceback", "__future__",
                 "warnings"}
REFACTORED_IMPORTS = CHILD_IMPORTS | {"argparse", "children", "os", "pathlib"}
SYS_NAMES = {"exit", "path", "stderr", "stdout", "argv", "float_info", "maxsize"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "open", "__import__", "globals", "locals", "vars", "setattr", "delattr",
                   "input", "breakpoint"}
CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}


# ---------------------------------------------------------------------------------- gate 1: anticheat


def violation(path, node, message):
    return {"file": path.name, "line_number": getattr(node, "lineno", 0), "message": message}


def parse(path):
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise LoadError(f"{path.name} is no Python: {error}") from error


def dotted(node):
    """["torch", "nn", "Linear"] of torch.nn.Linear; [] where it is no plain name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id] + parts[::-1] if isinstance(node, ast.Name) else []


def imported_roots(node):
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [(node.module or "").split(".")[0]] if node.level == 0 else []


def scan_refactored(path):
    """What refactored.py says that it may not say."""
    tree, found = parse(path), []
    siblings = {file.stem for file in (path.parent / "children").glob("*.py")}
    torch_names = {"F": ["torch", "nn", "functional"], "nn": ["torch", "nn"]}
    children = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            roots = imported_roots(node)
            for root in roots:
                if root not in REFACTORED_IMPORTS and root not in siblings:
                    found.append(violation(path, node, f"imports {root}; only torch and the children may be imported"))
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                if isinstance(node, ast.ImportFrom) and roots and (roots[0] == "children" or roots[0] in siblings):
                    children.add(name)
                elif roots and roots[0] == "torch":
                    prefix = [] if isinstance(node, ast.Import) else node.module.split(".")
                    torch_names[name] = prefix + (alias.name.split(".") if alias.asname or prefix else ["torch"])
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            found.append(violation(path, node, f"uses {node.id}()"))
    if not any(isinstance(node, ast.ClassDef) and node.name == "RefactoredModel" for node in tree.body):
        found.append(violation(path, tree, "has no class RefactoredModel"))
    local = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    forwards, helpers, inits, building = [], {}, [], builders(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    (inits if method.name in building else forwards).append(method)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith(("get_", "run_tests")):
            helpers[node.name] = node
    for method in forwards:  # grows: a helper that a forward calls is part of it
        forwards += [helpers.pop(name) for name in names_in(ast.walk(method)) if name in helpers]
    for method in forwards:
        found += scan_forward(path, method, torch_names, children, local)
    for method in inits:
        found += scan_init(path, method, torch_names, buffer_formulas(method))
    for helper in helpers.values():
        found += scan_init(path, helper, torch_names, set())
    return found


def builders(tree):
    """Names of the functions and methods that only __init__ leads to: they may compute the original's buffers."""
    functions = collections.defaultdict(list)
    for node in tree.body:
        for item in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(item, ast.FunctionDef):
                functions[item.name].append(item)
    mentioned = {name: {getattr(node, "id", getattr(node, "attr", "")) for item in items for node in ast.walk(item)}
                 for name, items in functions.items()}
    found, before = {"__init__"}, set()
    while found != before:
        before = set(found)
        for name in functions.keys() - found - {"forward"}:
            callers = {other for other in functions if other != name and name in mentioned[other]}
            if callers and callers <= found:
                found.add(name)
    return found


def resolve(parts, torch_names):
    """["F", "relu"] -> ["torch", "nn", "functional", "relu"]"""
    return torch_names[parts[0]] + parts[1:] if parts and parts[0] in torch_names else parts


def buffer_formulas(method):
    """The nodes of an __init__ that compute what its register_buffer calls are given."""
    found = {inner for node in ast.walk(method) if is_method_call(node, "register_buffer") for inner in ast.walk(node)}
    for node in reversed([node for node in ast.walk(method) if isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr))]):
        if isinstance(node, ast.Assign):
            changed = flat_targets(node.targets)
        else:
            changed = [node.target if isinstance(node, ast.AugAssign) else node.value]
        if {base_name(target) for target in changed} & names_in(found):
            found |= set(ast.walk(node))
    return found


def base_name(node):
    """The variable in table[0] or table[:, 0].mul_(2); "" where there is none, it is self, or an attribute of it."""
    while isinstance(node, ast.Subscript) or is_method_call(node):
        node = node.value if isinstance(node, ast.Subscript) else node.func.value
    return node.id if isinstance(node, ast.Name) and node.id != "self" else ""


def scan_init(path, method, torch_names, buffers):
    """`buffers`: the nodes that may compute; a helper function that no forward calls has none of its own."""
    found, helper = [], method.name != "__init__"
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and node not in buffers:
            name = resolve(dotted(node.func), torch_names)
            if name[:2] == ["torch", "nn"] and name[-1] not in CONTAINERS | {"Module"}:
                found.append(violation(path, node, f"__init__ constructs {'.'.join(name)}; it must come from a child"))
            elif name[:1] == ["torch"] and name[:2] != ["torch", "nn"] and not helper:
                found.append(violation(path, node, f"__init__ calls {'.'.join(name)} outside a buffer of the original"))
            elif is_method_call(node, "register_parameter"):
                found.append(violation(path, node, "__init__ registers a parameter; it must come from a child"))
        elif isinstance(node, ast.Assign):
            for target in flat_targets(node.targets):
                parts = dotted(target)
                if (node in buffers or helper) and base_name(target):
                    continue  # an element of a table that is being made
                deep = isinstance(target, ast.Subscript) or (isinstance(target, ast.Attribute) and len(parts) != 2)
                if deep and not isinstance(node.value, (ast.Attribute, ast.Subscript)):
                    found.append(violation(path, node, "__init__ changes a child; only a tie of two weights may do so"))
    return found


def is_method_call(node, name=None):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and name in (None, node.func.attr)


def names_in(nodes):
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def flat_targets(targets):
    for target in targets:
        yield from flat_targets(target.elts) if isinstance(target, (ast.Tuple, ast.List)) else [target]


def scan_forward(path, method, torch_names, children, local):
    found = []
    for node in ast.walk(method):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.MatMult):
            found.append(violation(path, node, "multiplies matrices with @; it must happen in a child"))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and not is_own_buffer(node):
            found.append(violation(path, node, f"forward assigns the attribute {node.attr}"))
        elif isinstance(node, (ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom)):
            found.append(violation(path, node, "forward imports or reaches for globals"))
        elif isinstance(node, ast.Call):
            message = judge_call(node, torch_names, children, local)
            if message:
                found.append(violation(path, node, message))
    return found


def is_own_buffer(node):
    """self.steps, which the forward may count up as the original does; what it becomes is compared."""
    return dotted(node)[:1] == ["self"] and len(dotted(node)) == 2 and node.attr not in ("forward", "data", "__class__")


def judge_call(node, torch_names, children, local):
    """What is wrong with a call in a forward, or ""."""
    if isinstance(node.func, ast.Name):
        name = node.func.id
        if name in children:
            return f"forward constructs {name}; children are built in __init__"
        full = torch_names.get(name)
        if full and full[0] == "torch" and full[-1] not in TORCH_FUNCTIONS and not is_plain_type(full):
            return f"calls {'.'.join(full)}; it must happen in a child"
        return ""  # a loop variable that holds a child, a local helper, Python: what runs is in the trace
    if not isinstance(node.func, ast.Attribute):
        return ""  # self.blocks[0](x)
    parts = dotted(node.func)
    name = resolve(parts, torch_names)
    if name[:3] == ["torch", "ops", "aten"]:
        operator = name[3] if len(name) > 3 else ""
        return "" if operator in OPERATORS else f"calls {'.'.join(name)}; it must happen in a child"
    if name[:2] == ["torch", "return_types"]:
        return ""  # a container
    if name[:1] == ["torch"]:
        plain = (len(name) == 2 and name[1] in TORCH_FUNCTIONS) or is_plain_type(name)
        return "" if plain else f"calls {'.'.join(name)}; it must happen in a child"
    if parts[:1] == ["self"] or parts[:1] == ["math"]:
        return ""  # a child, a method of this class (scanned too), a number
    if node.func.attr not in TENSOR_METHODS and node.func.attr not in local and hasattr(torch.Tensor, node.func.attr):
        return f"calls .{node.func.attr}(); it must happen in a child"
    return ""


def is_plain_type(name):
    """torch.finfo, torch.Size, torch.device"""
    return len(name) == 2 and isinstance(getattr(torch, name[1], None), type)


def scan_children(children_dir):
    found = []
    for path in sorted(children_dir.glob("*.py")):
        if path.name == "__init__.py":
            continue
        for node in ast.walk(parse(path)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for root in imported_roots(node):
                    if root not in CHILD_IMPORTS:
                        found.append(violation(path, node, f"imports {root}; a component needs torch alone"))
            elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
                found.append(violation(path, node, f"uses {node.id}()"))
            elif isinstance(node, ast.Attribute) and dotted(node)[:1] == ["sys"] and node.attr not in SYS_NAMES:
                found.append(violation(path, node, f"reads sys.{node.attr}"))
    return found


def check_parameters(refactored, original, children_dir):
    """Parameters, buffers and plain tensors of the refactored model that belong to no child."""
    children = outermost_children(refactored, children_dir)
    inside = {id(module) for child in children.values() for module in child.modules()}
    known = [buffer for _, buffer in original.named_buffers()]
    found = []
    for path, module in refactored.named_modules():
        if id(module) in inside:
            continue
        prefix = f"{path}." if path else ""
        for name, _ in module.named_parameters(recurse=False):
            found.append({"parameter": prefix + name, "reason": "belongs to no child"})
        for name, buffer in module.named_buffers(recurse=False):
            if not any(same_bits(buffer, other) for other in known):
                found.append({"parameter": prefix + name, "reason": "is a buffer that the original does not have"})
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                found.append({"parameter": prefix + name, "reason": "is a tensor that is neither buffer nor child's"})
        known_class = type(module) is type(refactored) or type(module).__name__ in CONTAINERS
        if not known_class and type(module).__module__ != type(refactored).__module__:
            found.append({"parameter": path, "reason": f"is a {type(module).__name__} from no file in children/"})
    return found


def check_executed(trace):
    """Operators that ran outside the children though they are compute; arithmetic with a comparison's result is."""
    counts, compared = collections.Counter(), set()
    for operator in trace.operators:
        if operator.inside:
            continue
        passes_on = operator.kind != "compute" or operator.besides == "mask logic"
        if operator.kind == "compute" and not operator.besides:
            counts[operator.name, ""] += 1
        elif operator.reads & compared and (operator.kind == "arithmetic" or operator.besides == "power"):
            counts[operator.name, " with the result of a comparison"] += 1
        if operator.besides == "comparison" or (passes_on and operator.reads & compared):
            compared |= operator.writes
    return [{"operator": name, "count": count, "message": f"{name}{of} ran {count} times outside the children"}
            for (name, of), count in sorted(counts.items())]


# ---------------------------------------------------------------------------------- gate 2: weights


def names_of(model):
    """(the state_dict's tensors by key, its keys in groups of one tensor each), in order of registration."""
    tensors, groups = model.state_dict(keep_vars=True), {}
    for key, tensor in tensors.items():
        groups.setdefault(id(tensor), []).append(key)
    return tensors, list(groups.values())


def check_map(given, old, new):
    """A weight map as its file has it, with a list of targets for each key."""
    result = {key: value if isinstance(value, list) else [value] for key, value in given.items()}
    for key, targets in result.items():
        for name, names in ((key, old), *((target, new) for target in targets)):
            if name not in names:
                raise LoadError(f"the weight map names {name!r}, which no state_dict has")
    return result


def complete_map(original, refactored, given):
    """{original key: [refactored keys]}; what is not given goes by name, and where nothing is, then by type in order."""
    (old, groups), (new, new_groups) = names_of(original), names_of(refactored)
    result = check_map(given or {}, old, new)
    by_name = [key for key in old if key not in result and key in new]
    if given is None:
        by_name = [key for key in by_name if type_of(old[key]) == type_of(new[key])]
        rest = [group[0] for group in groups if not set(group) & set(by_name)]
        for target in (group[0] for group in new_groups if not set(group) & set(by_name)):
            key = next((key for key in rest if type_of(old[key]) == type_of(new[target])), None)
            if key is not None:
                rest.remove(key)
                result[key] = [target]
    result.update((key, [key]) for key in by_name)
    return {key: result[key] for group in groups for key in group if key in result}


def type_of(tensor):
    return tensor.shape, tensor.dtype


def transfer(original, refactored, weight_map, may_miss=frozenset()):
    """Fills the refactored model, all but the keys that may miss a weight; returns the `weight_transfer` section."""
    (old, groups), (new, new_groups) = names_of(original), names_of(refactored)
    filled, problem = set(), ""
    with torch.no_grad():
        for key, targets in weight_map.items():
            for target in targets:
                if type_of(old[key]) != type_of(new[target]):
                    problem = problem or (f"{key} {list(old[key].shape)} {old[key].dtype} does not fit "
                                          f"{target} {list(new[target].shape)} {new[target].dtype}")
                    continue
                new[target].copy_(old[key])
                filled.add(id(new[target]))
    unfilled = [group[0] for group in new_groups if id(new[group[0]]) not in filled]
    needed = [key for key in unfilled if key not in may_miss]
    if needed and not problem:
        problem = f"no weight of the original is mapped to {needed[0]}"
    result = {
        "status": "FAIL" if problem else "OK",
        "mapped_count": len(weight_map),
        "unmapped_original": [group[0] for group in groups if not set(group) & weight_map.keys()],
        "unmapped_refactored": unfilled,
        "weight_map": {key: targets[0] if len(targets) == 1 else targets for key, targets in weight_map.items()},
    }
    if problem:
        result["message"] = problem
    return result


# ---------------------------------------------------------------------------------- gate 3: numbers


def same_bits(first, second):
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    first, second = (tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8) for tensor in (first, second))
    return torch.equal(first, second)


def compare_tensors(original, refactored, rtol, atol, inf_allowed):
    """One entry of output_details. max_diff is null where no number says how far apart they are."""
    detail = {"shape": list(original.shape), "dtype": str(original.dtype), "max_diff": None, "mean_diff": None,
              "matches": False, "bit_exact": False}
    if not isinstance(refactored, torch.Tensor):
        return {**detail, "message": f"the original returns a tensor, the refactored a {type(refactored).__name__}"}
    if original.shape != refactored.shape or original.dtype != refactored.dtype:
        return {**detail, "message": f"the refactored returns {list(refactored.shape)} {refactored.dtype}"}
    if original.numel() == 0:
        return {**detail, "max_diff": 0.0, "mean_diff": 0.0, "matches": True, "bit_exact": True}
    detail["bit_exact"] = same_bits(original, refactored)
    if original.is_complex():
        original, refactored = torch.view_as_real(original), torch.view_as_real(refactored)
    floating = original.is_floating_point()
    if floating and (original.isnan().any() or refactored.isnan().any()):
        return {**detail, "message": "has NaN"}
    if floating and not inf_allowed and (original.isinf().any() or refactored.isinf().any()):
        return {**detail, "message": "has Inf, which the submitted model's output may not have"}
    equal = original == refactored
    difference = (original.double() - refactored.double()).abs().masked_fill(equal, 0.0)
    if difference.isfinite().all():
        detail["max_diff"], detail["mean_diff"] = difference.max().item(), difference.mean().item()
    else:
        detail["message"] = "Inf does not stand in the same places"
    close = torch.isclose(original.double(), refactored.double(), rtol=rtol, atol=atol) if floating else equal
    detail["matches"] = bool((equal | close).all())
    return detail


def compare_trees(original, refactored, tolerances, inf_allowed):
    """output_details of two results; `tolerances` per tensor of the original, in order."""
    old, new = list(leaves(original)), list(leaves(refactored))
    if [path for path, _ in old] != [path for path, _ in new]:
        return [{"output_idx": 0, "shape": None, "dtype": None, "max_diff": None, "mean_diff": None, "matches": False,
                 "bit_exact": False, "message": f"structure differs: {[p for p, _ in old]} and {[p for p, _ in new]}"}]
    details, tolerances, index = [], iter(tolerances), 0
    for (path, first), (_, second) in zip(old, new):
        if isinstance(first, torch.Tensor):
            detail = compare_tensors(first, second, *next(tolerances), inf_allowed)
            details.append({"output_idx": index, "path": path, **detail})
            index += 1
        elif type(first) is not type(second) or first != second:
            details.append({"output_idx": index, "path": path, "shape": None, "dtype": type(first).__name__,
                            "max_diff": None, "mean_diff": None, "matches": False, "bit_exact": False,
                            "message": f"the original returns {first!r}, the refactored {second!r}"[:200]})
    return details


def output_tolerances(trace):
    """Per output tensor: half types anywhere on the way to it loosen the comparison."""
    result = []
    for memory in trace.outputs:
        dtypes = set().union(*(operator.dtypes for operator in trace.reaching([memory])), set())
        result.append(TOLERANCE["half" if dtypes & {"c10::Half", "c10::BFloat16"} else "full"])
    return result


def run_trial(original, refactored, module, trial, seed, workload, device, tolerances, inf_allowed):
    args, kwargs = draw_inputs(module, seed, workload, device)
    sides = []
    for model in (original, refactored):
        own_args, own_kwargs = copy.deepcopy((args, kwargs))
        output = call(model, own_args, own_kwargs, seed, device)
        sides.append((output, (own_args, own_kwargs)))
    details = compare_trees(sides[0][0], sides[1][0], tolerances, inf_allowed)
    after = compare_trees(sides[0][1], sides[1][1], [TOLERANCE["full"]] * count_tensors(sides[0][1]), True)
    details += [{**detail, "input_changed_differently": True} for detail in after if not detail["matches"]]
    differences = [detail["max_diff"] for detail in details]
    return {
        "trial": trial,
        "seed": seed,
        "workload": workload,
        "max_diff": None if None in differences else max(differences, default=0.0),
        "pass": all(detail["matches"] for detail in details),
        "output_details": details,
    }


def count_tensors(value):
    return sum(isinstance(leaf, torch.Tensor) for _, leaf in leaves(value))


def compare_numbers(original, refactored, module, device, inf_allowed):
    """The `numerical_comparison` section."""
    trials, loosest = [], TOLERANCE["full"]
    for workload in range(workload_count(module)):
        args, kwargs = draw_inputs(module, SEEDS[0], workload, device)
        tolerances = output_tolerances(record(original, args, kwargs, SEEDS[0], device))
        loosest = max([loosest, *tolerances])
        for seed in SEEDS:
            trials.append(run_trial(original, refactored, module, len(trials), seed, workload, device, tolerances,
                                    inf_allowed))
    differences = [trial["max_diff"] for trial in trials]
    dtypes = [leaf.dtype for _, leaf in leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    inexact = [dtype for dtype in dtypes if dtype.is_floating_point or dtype.is_complex]
    return {
        "status": "PASS" if all(trial["pass"] for trial in trials) else "FAIL",
        "rtol": loosest[0],
        "atol": loosest[1],
        "input_dtype": str((inexact + dtypes + ["none"])[0]),
        "num_trials": len(trials),
        "max_diff_across_trials": None if None in differences else max(differences),
        "bit_exact": all(detail["bit_exact"] for trial in trials for detail in trial["output_details"]),
        "trials": trials,
    }


# ---------------------------------------------------------------------------------- the step


def verify_step(original_path, refactored_path, weight_map_path=None, device="cpu"):
    """The verdict on one step, in the schema of verification_result.json."""
    original_path, refactored_path = Path(original_path).resolve(), Path(refactored_path).resolve()
    return verdict(original_path, refactored_path, device, judge, original_path, refactored_path, weight_map_path, device)


def verdict(original_path, refactored_path, device, check, *arguments):
    """A verification_result.json that check(result, *arguments) fills; what it raises makes it an ERROR."""
    apply_numeric_setting()
    result = {
        "timestamp": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "original_file": path_in_bundle(original_path),
        "refactored_file": path_in_bundle(refactored_path),
        "status": "ERROR",
        "anticheat": {"status": "NOT_RUN", "violations": [], "source_violations": [], "parameter_violations": [],
                      "executed_violations": []},
        "weight_transfer": {"status": "NOT_RUN", "mapped_count": 0, "unmapped_original": [],
                            "unmapped_refactored": [], "weight_map": {}},
        "numerical_comparison": {"status": "NOT_RUN", "rtol": None, "atol": None, "input_dtype": None,
                                 "num_trials": 0, "max_diff_across_trials": None, "bit_exact": False, "trials": []},
        "environment": environment(device),
    }
    try:
        check(result, *arguments)
    except LoadError as error:
        result["error"] = str(error)
    except Exception as error:  # user code may raise anything
        result["error"] = f"{type(error).__name__}: {error}"
        result["traceback"] = traceback.format_exc()[-4000:]
    return result


def judge(result, original_path, refactored_path, weight_map_path, device):
    anticheat, children_dir = result["anticheat"], refactored_path.parent / "children"
    anticheat["source_violations"] = scan_refactored(refactored_path) + scan_children(children_dir)

    original_module = load_file(original_path, "strata_original")
    refactored_module = load_file(refactored_path, "strata_refactored")
    original = build(original_module, "Model", device)
    refactored = build(refactored_module, "RefactoredModel", device)

    beside = refactored_path.parent / "weight_map.json"
    path = Path(weight_map_path) if weight_map_path else beside if beside.exists() else None
    given = json.loads(path.read_text(encoding="utf-8")) if path else None
    result["weight_transfer"] = transfer(original, refactored, complete_map(original, refactored, given))

    anticheat["parameter_violations"] = check_parameters(refactored, original, children_dir)
    for workload in range(workload_count(original_module)):
        args, kwargs = draw_inputs(original_module, SEEDS[0], workload, device)
        anticheat["executed_violations"] += check_executed(
            record(refactored, args, kwargs, SEEDS[0], device, children_dir))
    anticheat["violations"] = (anticheat["source_violations"] + anticheat["parameter_violations"]
                               + anticheat["executed_violations"])
    anticheat["status"] = "FAIL" if anticheat["violations"] else "PASS"

    submitted = SELF_TEST_LINE in original_path.read_text(encoding="utf-8")
    result["numerical_comparison"] = compare_numbers(original, refactored, original_module, device, not submitted)
    passed = (anticheat["status"] == "PASS" and result["weight_transfer"]["status"] == "OK"
              and result["numerical_comparison"]["status"] == "PASS")
    result["status"] = "PASS" if passed else "FAIL"


def report(result):
    numbers = result["numerical_comparison"]
    for entry in result["anticheat"]["violations"]:
        place = f"{entry['file']}:{entry['line_number']}: " if "file" in entry else ""
        print(f"  anticheat: {place}{entry.get('message') or entry['parameter'] + ' ' + entry['reason']}")
    if "message" in result["weight_transfer"]:
        print(f"  weights: {result['weight_transfer']['message']}")
    for trial in numbers["trials"]:
        if not trial["pass"]:
            bad = next(detail for detail in trial["output_details"] if not detail["matches"])
            print(f"  seed {trial['seed']}, workload {trial['workload']}: {bad.get('path')} max_diff "
                  f"{bad['max_diff']} {bad.get('message', '')}")
    if "error" in result:
        print(f"  {result['error']}")
        print(result.get("traceback", ""), end="")
    exact = ", bit-exact" if numbers["bit_exact"] else ""
    print(f"{result['status']}: anticheat {result['anticheat']['status']}, weights "
          f"{result['weight_transfer']['status']}, numbers {numbers['status']} "
          f"(max_diff {numbers['max_diff_across_trials']}{exact}, {numbers['num_trials']} trials)")


def write_verdict(result, path):
    Path(path).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--original", required=True)
    parser.add_argument("--refactored", required=True)
    parser.add_argument("--weight-map", help="default: weight_map.json beside the refactored file, if there is one")
    parser.add_argument("--output", help="write verification_result.json here")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    result = verify_step(arguments.original, arguments.refactored, arguments.weight_map, arguments.device)
    report(result)
    if arguments.output:
        write_verdict(result, arguments.output)
    return {"PASS": 0, "FAIL": 1}.get(result["status"], 2)


if __name__ == "__main__":
    sys.exit(main())
