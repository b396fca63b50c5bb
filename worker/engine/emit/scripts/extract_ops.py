#!/usr/bin/env python3
"""Counts operators: does a decomposition execute what its original executes, each operator once?

    python extract_ops.py --decomp-dir BUNDLE [--model FILE] [--tree TREE.json] [--output SUMMARY.json]
    python extract_ops.py --step BUNDLE/steps/STEP [--output REPORT.json]

The first form holds the submitted model against the kernels (each counted times its instances) and the plumbing
of verification/composition_test.py; the second holds a step's original.py against its children and the plumbing
of its refactored.py. What ran is taken from PyTorch's execution trace: operators as the dispatcher was asked for
them, by name without overload, an in-place form as the operator itself. Shape and data movement, casts,
factories and operators whose result nothing reads are listed under "plumbing" and never counted.

Exit code: 0 full coverage, 1 something is missing or extra, 2 something could not be loaded or run. Needs PyTorch
and nothing else. Nothing is written unless --output names a file. The other scripts take their numeric setting,
their loading of files and the trace from here.
"""

import argparse
import collections
import dataclasses
import datetime
import importlib.util
import json
import math
import os
import sys
import tempfile
import traceback
from pathlib import Path

# ---- numeric setting: the same for both sides, and for every other script of this bundle ----
THREADS = 1
TF32 = False
CUDNN_DETERMINISTIC = True
CUDNN_BENCHMARK = False
CUBLAS_WORKSPACE_CONFIG = ":4096:8"
MHA_FASTPATH = False
DEFAULT_DTYPE = "float32"
SEEDS = (42, 43, 44)
BUILD_SEED = 42

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE_CONFIG)
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # the execution trace announces itself otherwise
sys.dont_write_bytecode = True  # a bundle stays as it was delivered

import torch  # noqa: E402

# Operators that may run outside the children, by name without overload and in-place underscore.
ARITHMETIC = frozenset("add div divide mul multiply neg negative rsub sub subtract true_divide".split())
PLUMBING = frozenset("""
    _local_scalar_dense _to_copy _unsafe_view alias arange broadcast_to cat chunk clone concat
    concatenate contiguous copy detach empty empty_like expand expand_as fill flatten flip full full_like hstack
    is_nonzero item lift lift_fresh mT moveaxis movedim narrow new_empty new_full new_ones new_zeros numpy_T ones
    ones_like permute repeat reshape reshape_as roll row_stack scalar_tensor select slice split
    split_with_sizes squeeze stack swapaxes swapdims t tensor_split tile to transpose type_as unbind unflatten
    unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze view view_as vstack zero zeros zeros_like
""".split())
# What may run there besides, see besides_of.
MASK_LOGIC = frozenset("""
    __and__ __or__ __xor__ bitwise_and bitwise_not bitwise_or bitwise_xor logical_and logical_not logical_or logical_xor
""".split())
MASKED_FILL = frozenset(["masked_fill"])
POWER = frozenset(["pow"])
INDEXING = frozenset("index index_put masked_select".split())
COMPARISON = frozenset("eq ge gt le lt ne".split())
# The types that a Python number has as a tensor.
NUMBERS = frozenset(f"Tensor({dtype})" for dtype in ("bool", "long int", "double", "c10::complex<double>"))
READ_BY_PYTHON = frozenset("item _local_scalar_dense is_nonzero equal".split())


class LoadError(Exception):
    """Something that cannot be loaded or judged; the message says what and where."""


# ---------------------------------------------------------------------------------- loading and running


def apply_numeric_setting():
    torch.set_num_threads(THREADS)
    torch.set_default_dtype(getattr(torch, DEFAULT_DTYPE))
    torch.backends.cuda.matmul.allow_tf32 = TF32
    torch.backends.cudnn.allow_tf32 = TF32
    torch.backends.cudnn.deterministic = CUDNN_DETERMINISTIC
    torch.backends.cudnn.benchmark = CUDNN_BENCHMARK
    torch.backends.mha.set_fastpath_enabled(MHA_FASTPATH)


def environment(device):
    """What a verdict holds for."""
    return {
        "torch": torch.__version__,
        "device": device,
        "numeric": {
            "threads": THREADS,
            "tf32": TF32,
            "cudnn_deterministic": CUDNN_DETERMINISTIC,
            "cudnn_benchmark": CUDNN_BENCHMARK,
            "cublas_workspace_config": os.environ["CUBLAS_WORKSPACE_CONFIG"],
            "mha_fastpath": MHA_FASTPATH,
            "default_dtype": f"torch.{DEFAULT_DTYPE}",
        },
        "isolation": "none: both sides ran in this process",
        "engine_version": "standalone",
    }


def load_file(path, name):
    """Executes a Python file as module `name`; its folder is importable while it loads and runs."""
    path = Path(path).resolve()
    if not path.is_file():
        raise LoadError(f"{path} does not exist")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise LoadError(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def build(module, class_name, device, init_inputs=None):
    """The module's model in eval mode, built under BUILD_SEED on `device`."""
    cls = getattr(module, class_name, None)
    if cls is None:
        raise LoadError(f"{module.__file__} has no class {class_name}")
    torch.manual_seed(BUILD_SEED)
    with torch.device(device):
        if init_inputs is None:
            init_inputs = getattr(module, "get_init_inputs", list)()
        return cls(*init_inputs).to(device).eval()


def workload_count(module):
    return max(1, len(getattr(module, "WORKLOADS", ())))


def draw_inputs(module, seed, workload, device):
    """(args, kwargs) of one trial."""
    torch.manual_seed(seed)
    with torch.device(device):
        args = module.get_inputs(workload=workload) if workload else module.get_inputs()
        kwargs = getattr(module, "get_input_kwargs", dict)()
    return map_tensors((list(args), dict(kwargs)), lambda tensor: tensor.to(device))


def call(model, args, kwargs, seed, device):
    torch.manual_seed(seed)
    with torch.no_grad(), torch.device(device):
        return model(*args, **kwargs)


def map_tensors(value, function):
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, dict):
        return type(value)((key, map_tensors(item, function)) for key, item in value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, function) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(item, function) for item in value)
    return value


# ---------------------------------------------------------------------------------- execution trace


@dataclasses.dataclass
class Operator:
    """One outermost operator of a trace, in execution order."""

    name: str  # without overload, in-place forms as the operator itself: "relu"
    schema: str
    inside: str  # file stem of the child it ran in, "" outside every child
    reads: set  # memory, see number_memory
    writes: set
    dtypes: set  # of its results, as the trace spells them
    besides: str = ""  # of compute that may run outside the children: which of the tables, see besides_of
    kind: str = "compute"  # or "arithmetic", or "plumbing"


@dataclasses.dataclass
class Trace:
    operators: list
    outputs: list  # per output tensor: its memory

    def reaching(self, memory):
        """The operators that the given memory depends on."""
        return self._backward(set(memory), lambda operator: False)

    def live(self):
        """The operators whose result something reads: an output, Python, or memory from before the forward."""
        made = set().union(*(operator.writes for operator in self.operators if "!" not in operator.schema), set())
        return self._backward(set(self.outputs), lambda operator: operator.name in READ_BY_PYTHON or (
            "!" in operator.schema and not operator.writes <= made))

    def _backward(self, wanted, is_sink):
        found = []
        for operator in reversed(self.operators):
            if operator.writes & wanted or is_sink(operator):
                found.append(operator)
                wanted |= operator.reads
        return found[::-1]


def child_stem(module, children_dir):
    """The file stem of a module whose class is defined in a file of children_dir, else ""."""
    file = getattr(sys.modules.get(type(module).__module__), "__file__", None)
    if file and Path(file).resolve().parent == children_dir:
        return Path(file).stem
    return ""


def record(model, args, kwargs, seed, device, children_dir=None):
    """Runs the model once under the execution trace.

    The trace holds what PyTorch's dispatcher was asked for; an operator that another operator calls
    (linear calls addmm) is not counted. Child calls are marked by hooks on the modules whose classes come
    from children_dir.
    """
    children_dir = children_dir and Path(children_dir).resolve()
    open_marks, handles = {}, []

    def enter(module, inputs, keywords):
        mark = torch.profiler.record_function(f"strata:child:{child_stem(module, children_dir)}")
        mark.__enter__()
        open_marks.setdefault(id(module), []).append(mark)

    def leave(module, inputs, keywords, output):
        open_marks[id(module)].pop().__exit__(None, None, None)

    for module in outermost_children(model, children_dir).values() if children_dir else ():
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, with_kwargs=True))

    handle, path = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    observer = torch.profiler.ExecutionTraceObserver().register_callback(path)
    try:
        observer.start()
        with torch.profiler.record_function("strata:forward"):
            output = call(model, args, kwargs, seed, device)
        for index, tensor in enumerate(leaf for _, leaf in leaves(output) if isinstance(leaf, torch.Tensor)):
            with torch.profiler.record_function(f"strata:output:{index}"):
                tensor.detach()
        observer.stop()
        observer.unregister_callback()  # closes the file
        nodes = json.loads(Path(path).read_text())["nodes"]
    finally:
        observer.unregister_callback()
        os.unlink(path)
        for hook in handles:
            hook.remove()
    return read_trace(nodes)


def read_trace(nodes):
    by_id = {node["id"]: node for node in nodes}
    operators, outputs = [], {}
    for node in sorted(nodes, key=lambda node: node_start(node)):
        if not schema_of(node) or node["name"].startswith("profiler::"):
            continue
        ancestors = ancestors_of(node, by_id)
        if any(schema_of(ancestor) for ancestor in ancestors):
            continue
        marks = [ancestor["name"] for ancestor in ancestors if ancestor["name"].startswith("strata:")]
        output = next((mark for mark in marks if mark.startswith("strata:output:")), None)
        if output:
            outputs[int(output.rsplit(":", 1)[1])] = next(iter(storages_of(node["inputs"])))
            continue
        inside = [mark.rsplit(":", 1)[1] for mark in marks if mark.startswith("strata:child:")]
        operators.append(operator_of(node, inside[-1] if inside else ""))
    current = number_memory(operators)
    outputs = {index: (storage, current.get(storage, 0)) for index, storage in outputs.items()}
    operators = without_literals(operators)
    for operator, following in zip(operators, operators[1:] + [None]):
        operator.kind = kind_of(operator, following)
    return Trace(operators, [outputs[index] for index in sorted(outputs)])


def without_literals(operators):
    """Less what torch.tensor([...]), x[[0, 3]] and x[mask] = 0 execute to make a tensor of numbers."""
    kept, literal = [], set()
    for operator in operators:
        if operator.name == "lift_fresh":
            literal = made = operator.writes
            while kept and kept[-1].name in ("to", "empty") and kept[-1].writes <= made:
                made = kept.pop().reads | made
        elif not (operator.schema.startswith("aten::detach_(") and operator.reads == literal):
            kept.append(operator)
            literal = set()
    return kept


def number_memory(operators):
    """Turns storages into (storage, use): the trace names a storage by its address, which is used again.

    A result in a storage that the operator did not read is freshly allocated. Returns the last uses.
    """
    uses = {}
    for operator in operators:
        reads = {(storage, uses.get(storage, 0)) for storage in operator.reads}
        for storage in operator.writes - operator.reads:
            uses[storage] = uses.get(storage, 0) + 1
        operator.writes = {(storage, uses.get(storage, 0)) for storage in operator.writes}
        operator.reads = reads
    return uses


def kind_of(operator, following):
    if operator.name in ARITHMETIC:
        return "arithmetic"
    if operator.name in PLUMBING or operator.schema.startswith("aten::repeat_interleave.self_int("):
        return "plumbing"
    # Python spells `a / x` as `x.reciprocal() * a`.
    if (operator.name == "reciprocal" and following is not None and following.name == "mul"
            and operator.inside == following.inside and operator.writes <= following.reads):
        return "arithmetic"
    return "compute"


def node_start(node):
    """Execution order: operators are numbered as they begin."""
    return next(item["value"] for item in node["attrs"] if item["name"] == "rf_id"), node["id"]


def schema_of(node):
    return next((item["value"] for item in node["attrs"] if item["name"] == "op_schema"), "")


def ancestors_of(node, by_id):
    """Innermost first."""
    found = []
    while node["ctrl_deps"] in by_id and node["ctrl_deps"] != node["id"]:
        node = by_id[node["ctrl_deps"]]
        found.append(node)
    return found


def storages_of(side):
    """The memory that a side of an operator names. What may be a Python number, traced as a tensor of no dimensions in
    memory that a freed result may have had, is told apart by its tensor."""
    found = set()

    def walk(value, type_name, shape):
        if type_name.startswith("Tensor("):
            found.add((value[1], value[0] if shape == [] and type_name in NUMBERS else 0))
        elif type_name.startswith("GenericList[") and isinstance(value, list):
            shapes = shape if isinstance(shape, list) and len(shape) == len(value) else [None] * len(value)
            for item, kind, inner in zip(value, type_name[len("GenericList["):-1].split(","), shapes):
                walk(item, kind, inner)

    for value, type_name, shape in zip(side["values"], side["types"], side["shapes"]):
        walk(value, type_name, shape)
    return found


def operator_of(node, inside):
    schema = schema_of(node)
    name = node["name"].split("::", 1)[1]
    reads, results = storages_of(node["inputs"]), storages_of(node["outputs"])
    writes = set(results)
    if "!" in schema:  # it mutates an argument; which one is not worth parsing
        writes |= reads
    if not name.startswith("_") and name.endswith("_"):
        name = name[:-1]
    dtypes = {kind[7:-1] for kind in node["outputs"]["types"] if kind.startswith("Tensor(")}
    return Operator(name, schema, inside, reads, writes, dtypes, besides_of(name, schema, node["inputs"]))


def besides_of(name, schema, inputs):
    """Which compute operator it is that may run outside the children all the same; "" where it may not."""
    if not schema.startswith("aten::"):
        return ""
    if name in MASK_LOGIC:
        tensors = {kind for kind in inputs["types"] if kind.startswith("Tensor(")}
        return "mask logic" if tensors == {"Tensor(bool)"} else ""
    if name in MASKED_FILL:
        return "masked fill" if ".Scalar(" in schema else ""
    if name in POWER:
        scalar = schema.startswith("aten::pow.Tensor_Scalar(")
        return "power" if scalar and float(inputs["values"][1]).is_integer() else ""
    return "indexing" if name in INDEXING else "comparison" if name in COMPARISON else ""


def outermost_children(model, children_dir):
    """{path: module} of the modules from children_dir that lie in no other such module."""
    found = {}
    for path, module in model.named_modules(remove_duplicate=False):
        inner = any(path == outer or path.startswith(outer + ".") for outer in found)
        if path and not inner and child_stem(module, children_dir):
            found[path] = module
    return found


def leaves(value, path="output"):
    """(path, leaf) for every leaf of a result; containers and classes of containers are named in the path."""
    if isinstance(value, (dict, list, tuple)) and type(value) not in (dict, list, tuple) or dataclasses.is_dataclass(value):
        path = f"{path}:{type(value).__name__}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        kind = "()" if isinstance(value, tuple) else "[]"
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}{kind[0]}{index}{kind[1]}")
        if not value:
            yield path + kind, None
    else:
        yield path, value


# ---------------------------------------------------------------------------------- counting


@dataclasses.dataclass
class Count:
    counted: collections.Counter
    plumbing: collections.Counter

    def __iadd__(self, other):
        self.counted += other.counted
        self.plumbing += other.plumbing
        return self


def count(trace, keep=lambda operator: True):
    """What the kept operators of a trace add up to."""
    result = Count(collections.Counter(), collections.Counter())
    alive = {id(operator) for operator in trace.live()}
    for operator in filter(keep, trace.operators):
        counts = operator.kind != "plumbing" and id(operator) in alive
        (result.counted if counts else result.plumbing)[operator.name] += 1
    return result


def count_file(path, device):
    """The Count of each of a component's workloads, run alone."""
    module = load_file(path, f"strata_component_{Path(path).stem}")
    model, result = build(module, "Model", device), []
    for workload in range(workload_count(module)):
        args, kwargs = draw_inputs(module, SEEDS[0], workload, device)
        result.append(count(record(model, args, kwargs, SEEDS[0], device)))
    return result


def report(original, plumbing_trace, kernels, model_file):
    """The common part of coverage_report.json and coverage_summary.json.

    `plumbing_trace`: of ComposedModel (or RefactoredModel); its arithmetic outside the children is the parent's
    and is taken off the original's count. `kernels`: [(file, Count)], already times their runs.
    """
    outside = collections.Counter()
    for trace in plumbing_trace:
        outside += count(trace, lambda operator: not operator.inside and operator.kind == "arithmetic").counted
    expected, plumbing = original.counted - outside, original.plumbing + outside
    executed = sum((counted.counted for _, counted in kernels), outside - original.counted)  # the parent's surplus too
    details = []
    for name in sorted(expected.keys() | executed.keys()):
        status = ("extra" if expected[name] < executed[name] else "covered" if expected[name] == executed[name]
                  else "partial" if executed[name] else "missing")
        details.append({"op_type": name, "original_count": expected[name], "decomposed_count": executed[name],
                        "status": status, "kernel_files": [file for file, has in kernels if has.counted[name]]})
    total, covered = sum(expected.values()), sum((expected & executed).values())
    percent = math.floor(1000.0 * covered / total) / 10.0 if total else 100.0
    full = all(detail["status"] == "covered" for detail in details)
    return {
        "timestamp": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "model_file": model_file,
        "status": "FULL_COVERAGE" if full else "LOW_COVERAGE" if percent < 80 else "PARTIAL_COVERAGE",
        "extraction_method": "dispatcher_trace",
        "coverage": {
            "total_original_ops": total,
            "total_decomposed_ops": sum(executed.values()),
            "covered_op_count": covered,
            "coverage_pct": percent,
            "missing_op_types": sorted((expected - executed).keys()),
            "extra_op_types": sorted((executed - expected).keys()),
            "op_details": details,
        },
        "plumbing": dict(sorted(plumbing.items())),
    }


def coverage_of_step(step_dir, device="cpu"):
    """coverage_report.json: original.py against what the children execute inside of refactored.py."""
    step_dir = Path(step_dir).resolve()
    children_dir = step_dir / "children"
    original_module = load_file(step_dir / "original.py", "strata_original")
    refactored = build(load_file(step_dir / "refactored.py", "strata_refactored"), "RefactoredModel", device)
    original_model = build(original_module, "Model", device)
    original, traces = Count(collections.Counter(), collections.Counter()), []
    for workload in range(workload_count(original_module)):
        args, kwargs = draw_inputs(original_module, SEEDS[0], workload, device)
        original += count(record(original_model, args, kwargs, SEEDS[0], device))
        args, kwargs = draw_inputs(original_module, SEEDS[0], workload, device)
        traces.append(record(refactored, args, kwargs, SEEDS[0], device, children_dir))
    kernels = []
    for file in sorted(children_dir.glob("*.py")):
        total = Count(collections.Counter(), collections.Counter())
        for trace in traces:
            total += count(trace, lambda operator, stem=file.stem: operator.inside == stem)
        kernels.append((path_in_bundle(file), total))
    return report(original, traces, kernels, path_in_bundle(step_dir / "original.py"))


def path_in_bundle(path):
    """As the JSON files of a bundle name it; of a step outside of any bundle its path in the step."""
    for folder in path.parents:
        if (folder / "decomposition_tree.json").is_file():
            return path.relative_to(folder).as_posix()
    return f"children/{path.name}" if path.parent.name == "children" else path.name


def root_of(tree):
    """The node that no other holds."""
    called = {child for node in tree["nodes"].values() for child in node["children"]}
    return next(node for node in tree["nodes"].values() if node["id"] not in called)


def submitted_model(bundle, tree):
    """The file that stands for the submitted model: the root, or its source where the model is one kernel."""
    root = root_of(tree)
    return bundle / (tree["metadata"]["source_file"] if root["level"] == "kernel" else root["path"])


def coverage_of_bundle(bundle, model_file=None, tree_file=None, device="cpu"):
    """coverage_summary.json: the submitted model against its kernels, each times its instances."""
    bundle = Path(bundle).resolve()
    tree = json.loads(Path(tree_file or bundle / "decomposition_tree.json").read_text(encoding="utf-8"))
    nodes = list(tree["nodes"].values())
    model_file = Path(model_file or submitted_model(bundle, tree)).resolve()

    module = load_file(model_file, "strata_original")
    args, kwargs = draw_inputs(module, SEEDS[0], 0, device)
    original = count(record(build(module, "Model", device), args, kwargs, SEEDS[0], device))
    composition = load_file(bundle / "verification" / "composition_test.py", "strata_composition")
    composed = build(composition, "ComposedModel", device, init_inputs=())
    args, kwargs = draw_inputs(module, SEEDS[0], 0, device)
    trace = record(composed, args, kwargs, SEEDS[0], device, bundle / "level_0_kernel")

    kernels, described = [], []
    for node in sorted((node for node in nodes if node["level"] == "kernel"), key=lambda node: node["path"]):
        total = Count(collections.Counter(), collections.Counter())
        runs = [workload["count"] for workload in node.get("workloads", ())] or [node["instance_count"]]
        for counted, number in zip(count_file(bundle / node["path"], device), runs, strict=True):
            total += Count(*(collections.Counter({name: value * number for name, value in part.items()})
                             for part in (counted.counted, counted.plumbing)))
        kernels.append((node["path"], total))
        described.append({"file": node["path"], "op_types": sorted(total.counted),
                          "instance_count": node["instance_count"]})
    inside = bundle in model_file.parents
    summary = report(original, [trace], kernels, str(model_file.relative_to(bundle) if inside else model_file.name))
    details = summary["coverage"]["op_details"]
    summary["unique_op_types_original"] = sum(detail["original_count"] > 0 for detail in details)
    summary["unique_op_types_kernels"] = sum(detail["decomposed_count"] > 0 for detail in details)
    summary["kernels"] = described
    return summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--decomp-dir", help="a bundle")
    what.add_argument("--step", help="a step folder of a bundle")
    parser.add_argument("--model", help="default: the root of the tree")
    parser.add_argument("--tree", help="default: decomposition_tree.json of the bundle")
    parser.add_argument("--output", help="write the JSON here")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    apply_numeric_setting()
    try:
        if arguments.step:
            result = coverage_of_step(arguments.step, arguments.device)
        else:
            result = coverage_of_bundle(arguments.decomp_dir, arguments.model, arguments.tree, arguments.device)
    except LoadError as error:
        print(f"ERROR: {error}")
        return 2
    except Exception:  # user code may raise anything
        traceback.print_exc()
        return 2
    coverage = result["coverage"]
    for detail in coverage["op_details"]:
        print(f"  {detail['op_type']:32} original {detail['original_count']:5} kernels {detail['decomposed_count']:5} "
              f"{detail['status']}")
    print(f"{result['status']}: {coverage['covered_op_count']} of {coverage['total_original_ops']} operators "
          f"({coverage['coverage_pct']} %), missing {coverage['missing_op_types']}, extra {coverage['extra_op_types']}")
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if result["status"] == "FULL_COVERAGE" else 1


if __name__ == "__main__":
    sys.exit(main())
