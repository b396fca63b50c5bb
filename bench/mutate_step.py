"""Every change of one place of a step: its calls, operands, settings, constants, sizes, dtypes, weight map and names.

What would change nothing that is claimed is left out; the docstring of bench/mutants lists it, with reasons.
"""

import ast
import collections
import itertools
import json
import re
from pathlib import Path

NOT_THE_MODEL = {"get_inputs", "get_init_inputs", "get_expected_output_shape", "run_tests"}

# What a constructor or function may be given besides.
SETTINGS_TO_ADD = {
    "nn.Conv2d": ("dilation=2", 'padding_mode="replicate"', "groups=2"),
    "nn.BatchNorm2d": ("eps=1e-3", "momentum=0.2", "affine=False", "track_running_stats=False"),
    "nn.Linear": ("bias=False",),
    "nn.MaxPool2d": ("ceil_mode=True", "dilation=2", "stride=1", "padding=1"),
    "nn.Dropout": ("p=0.1", "0.9"),
    "nn.Embedding": ("padding_idx=0", "max_norm=1.0"),
    "F.max_pool2d": ("ceil_mode=True", "dilation=2"),
    "F.softmax": ("dtype=torch.float64",),
}
OTHER_FUNCTIONS = {
    "F.relu": ("F.gelu", "F.relu6", "F.silu"), "nn.ReLU": ("nn.GELU", "nn.ReLU6", "nn.LeakyReLU"),
    "F.silu": ("F.gelu", "F.mish"), "F.softmax": ("F.log_softmax", "F.softmin"), "F.max_pool2d": ("F.avg_pool2d",),
    "nn.MaxPool2d": ("nn.AvgPool2d",), "nn.AdaptiveAvgPool2d": ("nn.AdaptiveMaxPool2d",),
    "nn.BatchNorm2d": ("nn.InstanceNorm2d",), "nn.Dropout": ("nn.Identity",), "math.sqrt": ("math.log",),
    "torch.rsqrt": ("torch.sqrt",), "torch.cos": ("torch.sin",), "torch.sin": ("torch.cos",),
    "torch.tril": ("torch.triu",),
}
OTHER_OPERATORS = {ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.Div: "*", ast.Pow: "*"}
WITH_DTYPE = ("nn.Linear", "nn.Conv2d", "nn.BatchNorm2d", "nn.Embedding")
# A kernel's stem begins with -> what its call is in the parent; {s} is the child, {0} {1} {2} its arguments.
IN_PARENT = {
    "relu": ("torch.relu({0})", "({0}).relu()", "torch.clamp({0}, min=0)"),
    "silu": ("nn.functional.silu({0})", "({0}) * torch.sigmoid({0})"),
    "linear": ("nn.functional.linear({0}, {s}.linear.weight, {s}.linear.bias)", "{s}.linear({0})"),
    "conv2d": ("{s}.conv({0})", "{s}.conv._conv_forward({0}, {s}.conv.weight, {s}.conv.bias)"),
    "batch_norm2d": (
        "nn.functional.batch_norm({0}, {s}.norm.running_mean, {s}.norm.running_var, {s}.norm.weight, {s}.norm.bias)",
        "{s}.norm({0})"),
    "dropout": ("nn.functional.dropout({0}, training=False)", "{s}.dropout({0})"),
    "max_pool2d_2x2_s2": ("nn.functional.max_pool2d({0}, 2)",),
    "max_pool2d_3x3_s2_p1": ("nn.functional.max_pool2d({0}, 3, 2, 1)",),
    "adaptive_avg_pool2d_1x1": ("({0}).mean((2, 3), keepdim=True)", "nn.functional.adaptive_avg_pool2d({0}, 1)"),
    "adaptive_avg_pool2d_2x2": ("nn.functional.adaptive_avg_pool2d({0}, 2)",),
    "embedding": ("nn.functional.embedding({0}, {s}.embedding.weight)", "{s}.embedding.weight[{0}]"),
    "rms_norm": ("({0}) * torch.rsqrt(({0}).pow(2).mean(-1, keepdim=True) + 1e-6) * {s}.weight",),
    "matmul": ("({0}) @ ({1})", "torch.matmul({0}, {1})"),
    "masked_softmax": ('torch.softmax(({0}).masked_fill(~{s}.mask, float("-inf")), dim=-1)',),
    "apply_rotary": (
        "({0}) * ({1}) + torch.cat([-({0}).chunk(2, dim=-1)[1], ({0}).chunk(2, dim=-1)[0]], dim=-1) * ({2})",),
}
CASTS_OF_DRAWS = {
    "torch.randn": (".double()", ".half()"), "torch.rand": (".double()", ".half()"), "torch.randint": (".int()",),
}
# Weights that may have the same shape.
ALIKE = ({"weight", "bias"}, {"running_mean", "running_var"}, {"weight", "running_var"}, {"bias", "running_mean"})
OTHER_OPERATIONS = {
    "relu": "gelu", "linear": "conv2d", "conv2d": "linear", "silu": "relu", "max_pool": "avg_pool",
    "batch_norm2d": "layer_norm", "rms_norm": "layer_norm", "masked_softmax": "log_softmax", "matmul": "linear",
    "embedding": "linear", "dropout": "relu", "linear_relu": "linear_gelu", "attention": "block", "swiglu": "attention",
}


class Text:
    """A Python file and its tree; `put` gives the file with nodes replaced."""

    def __init__(self, text):
        self.text = text
        self.tree = ast.parse(text)
        self.starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]

    def span(self, node):
        return (self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset)

    def of(self, node):
        begin, end = self.span(node)
        return self.text[begin:end]

    def put(self, *changes):
        text = self.text
        for (begin, end), new in sorted(((self.span(node), new) for node, new in changes), reverse=True):
            text = text[:begin] + new + text[end:]
        return text

    def function(self, class_name, name):
        for top in self.tree.body:
            if isinstance(top, ast.ClassDef) and top.name == class_name:
                return next((f for f in top.body if isinstance(f, ast.FunctionDef) and f.name == name), None)
        return None

    def model(self):
        """Every node of classes and helpers: what computes, without self-test and inputs."""
        for top in self.tree.body:
            if isinstance(top, ast.ClassDef) or (isinstance(top, ast.FunctionDef) and top.name not in NOT_THE_MODEL):
                yield from ast.walk(top)


class Work:
    """The files of a step or bundle, {path: text}, and the mutants found in it."""

    def __init__(self, bundle, step, files):
        self.bundle, self.step, self.files, self.found = bundle, step, files, []
        self.known = set()

    def add(self, kind, file, line, before, after, changed, removed=()):
        """`changed` are files with their new text."""
        key = (tuple(sorted(changed.items())), tuple(removed))
        if key in self.known or (not removed and all(self.files.get(path) == text for path, text in changed.items())):
            return
        self.known.add(key)
        for path, text in changed.items():
            if path.endswith(".py"):
                ast.parse(text)
        row = {"bundle": self.bundle, "step": self.step, "operator": kind, "file": file, "line": line,
               "before": before, "after": after}
        self.found.append((row, changed, tuple(removed), self))

    def edit(self, kind, file, source, node, new):
        self.add(kind, file, node.lineno, source.of(node), new, {file: source.put((node, new))})


def read(folder, paths):
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


# ---- calls of children ---------------------------------------------------------------------------------


class Parent:
    """refactored.py or composition_test.py: its children, and where forward calls them."""

    def __init__(self, text, class_name="RefactoredModel"):
        self.source = Text(text)
        self.init = self.source.function(class_name, "__init__")
        self.forward = self.source.function(class_name, "forward")
        self.stems, self.attributes = {}, {}
        for node in self.source.tree.body:
            if isinstance(node, ast.ImportFrom) and node.names[0].asname:
                self.stems[node.names[0].asname] = node.module.removeprefix("children.")
        for node in ast.walk(self.init):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            target = node.targets[0]
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                self.attributes[target.attr] = self.stems.get(self.source.of(node.value.func), "")
        loops = {node.target.id for node in ast.walk(self.forward)
                 if isinstance(node, ast.For) and isinstance(node.target, ast.Name)}
        self.calls = [node for node in ast.walk(self.forward) if isinstance(node, ast.Call) and (
            (isinstance(node.func, ast.Name) and node.func.id in loops) or self.attribute(node) is not None)]
        self.calls.sort(key=lambda node: (node.end_lineno, node.end_col_offset))
        self.sequences = [node for node in ast.walk(self.init) if isinstance(node, ast.Call)
                          and self.source.of(node.func) == "nn.Sequential" and len(node.args) > 1]

    def attribute(self, call):
        func = call.func
        known = (isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "self"
                 and func.attr in self.attributes)
        return func.attr if known else None

    def stem(self, call):
        return self.attributes.get(self.attribute(call) or "", "")

    def is_innermost(self, call):
        return not any(inner is not call and inner in self.calls for inner in ast.walk(call))


def statement_of(function, node):
    inside = [s for s in ast.walk(function) if isinstance(s, ast.stmt) and s is not function
              and any(inner is node for inner in ast.walk(s))]
    return inside[-1]


def mutate_calls(work, file, parent):
    source = parent.source
    for call in parent.calls:
        text, func = source.of(call), source.of(call.func)
        arguments = [source.of(a) for a in call.args]
        work.edit("call_dropped", file, source, call, f"({arguments[0]})" if " " in arguments[0] else arguments[0])
        work.edit("call_doubled", file, source, call, f"{func}({', '.join([text, *arguments[1:]])})")
        if parent.is_innermost(call):
            work.edit("call_doubled", file, source, call, f"(({text} + {text}) / 2)")
            before = source.text[:source.starts[statement_of(parent.forward, call).lineno - 1]]
            line = source.text[len(before):].split("\n", 1)[0]
            unused = line[:len(line) - len(line.lstrip())] + text + "\n"
            work.add("call_doubled", file, call.lineno, text, f"{text} once more, unused",
                     {file: before + unused + source.text[len(before):]})
        for a, b in itertools.combinations(range(len(call.args)), 2):
            if arguments[a] != arguments[b]:
                work.add("operands_swapped", file, call.lineno, text, f"arguments {a} and {b} swapped",
                         {file: source.put((call.args[a], arguments[b]), (call.args[b], arguments[a]))})
    for one, two in itertools.combinations(parent.calls, 2):
        a, b = source.of(one.func), source.of(two.func)
        if a != b:
            work.add("call_reordered", file, one.lineno, f"{a} and {b}", f"{b} and {a}",
                     {file: source.put((one.func, b), (two.func, a))})
    for sequence in parent.sequences:
        items = [source.of(a) for a in sequence.args]
        for i, item in enumerate(items):
            without, twice = items[:i] + items[i + 1:], items[:i + 1] + items[i:]
            for kind, rest in (("call_dropped", without), ("call_doubled", twice)):
                work.add(kind, file, sequence.args[i].lineno, item, f"element {i} {kind[5:]}",
                         {file: source.put((sequence, f"nn.Sequential({', '.join(rest)})"))})
        for a, b in itertools.combinations(range(len(items)), 2):
            if items[a] != items[b]:
                one, two = items[a], items[b]
                work.add("call_reordered", file, sequence.lineno, f"{one} and {two}", f"{two} and {one}",
                         {file: source.put((sequence.args[a], two), (sequence.args[b], one))})
    for node in ast.walk(parent.forward):
        if isinstance(node, ast.For):
            work.edit("call_reordered", file, source, node.iter, f"reversed({source.of(node.iter)})")


def mutate_operator_in_parent(work, file, parent):
    source = parent.source
    for call in parent.calls:
        stem, arguments = parent.stem(call), [source.of(a) for a in call.args]
        child = source.of(call.func)
        work.edit("operator_in_parent", file, source, call, f"{child}.forward({', '.join(arguments)})")
        for prefix, forms in IN_PARENT.items():
            if not stem.startswith(prefix + "_") or not stem.endswith("fp32"):
                continue
            for form in forms:
                work.edit("operator_in_parent", file, source, call, form.format(*arguments, s=child))
        # After a relu that is the same numbers.
        work.edit("operator_in_parent", file, source, call, f"torch.relu({source.of(call)})")


def mutate_imports(work, file, parent):
    """One child stands where another one is meant."""
    modules = [node for node in parent.source.tree.body if isinstance(node, ast.ImportFrom) and node.names[0].asname]
    for one, two in itertools.permutations(modules, 2):
        text = parent.source.of(one)
        work.edit("child_replaced", file, parent.source, one, text.replace(one.module, two.module))


# ---- operands, settings, constants, sizes, dtypes ------------------------------------------------------


def mutate_operands(work, file, source):
    for node in source.model():
        if isinstance(node, ast.BinOp):
            left, right = source.of(node.left), source.of(node.right)
            if isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult, ast.Pow)) and left != right:
                swapped = [f"({t})" if " " in t else t for t in (right, left)]
                work.add("operands_swapped", file, node.lineno, source.of(node), "operands swapped",
                         {file: source.put((node.left, swapped[0]), (node.right, swapped[1]))})
            sign = OTHER_OPERATORS.get(type(node.op))
            if sign:
                (begin, end), middle, after = source.span(node), source.span(node.left)[1], source.span(node.right)[0]
                was = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}[type(node.op)]
                text = source.text
                changed = text[begin:middle] + text[middle:after].replace(was, sign, 1) + text[after:end]
                work.edit("operator_changed", file, source, node, changed)
        elif isinstance(node, ast.List) and len(node.elts) == 2:
            a, b = (source.of(e) for e in node.elts)
            if a != b:
                work.edit("operands_swapped", file, source, node, f"[{b}, {a}]")
        elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
            work.edit("operator_changed", file, source, node, source.of(node.operand))
        elif isinstance(node, ast.Call):
            function = source.of(node.func)
            for other in OTHER_FUNCTIONS.get(function, ()):
                work.edit("operator_changed", file, source, node.func, other)
            if function == "torch.outer":
                swapped = ", ".join(source.of(a) for a in node.args[::-1])
                work.edit("operands_swapped", file, source, node, f"torch.outer({swapped})")


def mutate_names_read(work, file, source):
    """A forward reads another of its own values."""
    for function in [n for n in source.model() if isinstance(n, ast.FunctionDef) and n.name == "forward"]:
        known = {a.arg: 0 for a in function.args.args if a.arg != "self"}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.setdefault(node.id, node.lineno)
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in known:
                for other, line in known.items():
                    if other != node.id and line < node.lineno:
                        work.edit("operand_replaced", file, source, node, other)


def number_of(node):
    """The number that a literal is, with its sign; None where it is none."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = number_of(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    return None


def other_numbers(value):
    if isinstance(value, float):
        return [repr(value * 10), repr(value * 1.5)]
    others = [value - 1, value + 1]
    return [str(v) for v in others + ([value * 2, value // 2] if value >= 8 else [])]


def literals(nodes):
    """(parent, node) of each number; a sign belongs to it."""
    for parent in nodes:
        for _, child in ast.iter_fields(parent):
            for node in child if isinstance(child, list) else [child]:
                if isinstance(node, ast.AST) and number_of(node) is not None and not isinstance(parent, ast.UnaryOp):
                    yield parent, node


def is_same_range(source, call, node, new):
    """An arange of literals that gives the same values all the same."""
    if not (isinstance(call, ast.Call) and source.of(call.func) == "torch.arange"):
        return False
    numbers = [number_of(a) for a in call.args]
    if any(not isinstance(n, int) for n in numbers):
        return False
    changed = [int(new) if a is node else n for a, n in zip(call.args, numbers)]
    return 0 not in changed[2:] and list(range(*numbers)) == list(range(*changed))


def is_size(parent, value):
    return isinstance(value, int) and (value >= 8 or isinstance(parent, (ast.List, ast.Tuple, ast.arguments)))


def mutate_numbers(work, file, source):
    made = source.function("Model", "__init__")  # with get_init_inputs(), where it is the original
    given = made.args if file == "original.py" and made else None
    for parent, node in literals(source.model()):
        value = number_of(node)
        if parent is given:
            continue
        if isinstance(parent, ast.arguments):
            kind = "size" if isinstance(value, int) else "setting"
        elif isinstance(parent, ast.keyword):
            kind = "setting"
        else:
            kind = "size" if is_size(parent, value) else "constant"
        if isinstance(parent, ast.keyword) and parent.arg == "std":
            continue
        for new in other_numbers(value):
            if isinstance(parent, ast.Call) and is_same_range(source, parent, node, new):
                continue
            work.edit(kind, file, source, node, new)
    for node in source.model():
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant) and node.arg != "inplace":
            if isinstance(node.value.value, bool):
                work.edit("setting", file, source, node.value, str(not node.value.value))
        if isinstance(node, ast.Constant) and node.value == "-inf":
            for new in ('"-1e9"', '"-100"', '"inf"'):
                work.edit("constant", file, source, node, new)
        if isinstance(node, ast.Call):
            given = {k.arg for k in node.keywords}
            begun = source.of(node)[:-1] + (", " if node.args or node.keywords else "")
            for setting in SETTINGS_TO_ADD.get(source.of(node.func), ()):
                name = setting.split("=")[0]
                if name in given or (name == "padding_mode" and "padding" not in given):
                    continue
                if "=" in setting or not node.args:
                    work.edit("setting", file, source, node, f"{begun}{setting})")


def mutate_inputs(work, file, source, names):
    """Sizes of what is drawn, of what is expected and of what the model is made with."""
    for function in source.tree.body:
        if not (isinstance(function, ast.FunctionDef) and function.name in names):
            continue
        for parent, node in literals(ast.walk(function)):
            value = number_of(node)
            if isinstance(parent, (ast.BinOp, ast.Subscript, ast.arguments)):
                continue
            for new in other_numbers(value)[:2] if isinstance(value, int) else other_numbers(value)[:1]:
                work.edit("size" if isinstance(value, int) else "setting", file, source, node, new)
        if function.name == "get_inputs":
            for node in ast.walk(function):
                for cast in CASTS_OF_DRAWS.get(source.of(node.func), ()) if isinstance(node, ast.Call) else ():
                    work.edit("dtype", file, source, node, source.of(node) + cast)


def mutate_dtypes(work, file, source, parent=None):
    for node in source.model():
        if isinstance(node, ast.FunctionDef) and node.name == "forward":
            for statement in ast.walk(node):
                if isinstance(statement, ast.Return) and statement.value is not None:
                    for cast in (".double()", ".half()", ".bfloat16()", ".bfloat16().float()"):
                        work.edit("dtype", file, source, statement.value, f"({source.of(statement.value)}){cast}")
        if isinstance(node, ast.Call):
            function = source.of(node.func)
            if function.endswith(".float") and not node.args:
                work.edit("dtype", file, source, node, source.of(node)[:-len("float()")] + "double()")
            if function.endswith(".bool") and not node.args:
                work.edit("dtype", file, source, node, source.of(node)[:-len("bool()")] + "float()")
            if function == "nn.Parameter" and source.of(node.args[0]).startswith("torch.ones("):
                work.edit("dtype", file, source, node.args[0], source.of(node.args[0])[:-1] + ", dtype=torch.float64)")
            if function in WITH_DTYPE:
                work.edit("dtype", file, source, node, source.of(node)[:-1] + ", dtype=torch.float64)")
    for call in parent.calls if parent else ():
        for cast in (".half().float()", ".bfloat16().float()", ".double()"):
            work.edit("dtype", file, source, call, source.of(call) + cast)
        if call.args:
            work.edit("dtype", file, source, call.args[0], f"({source.of(call.args[0])}).half().float()")


# ---- weight map, names, levels, merged kernels ---------------------------------------------------------


def tied_keys(parent):
    """The weights that __init__ assigns to each other, as weight_map.json names them."""
    keys = set()
    for node in ast.walk(parent.init):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
            keys |= {parent.source.of(n).removeprefix("self.") for n in (node.targets[0], node.value)}
    return keys


def mutate_weight_map(work, parent):
    file = "weight_map.json"
    pairs = json.loads(work.files[file])
    tied = tied_keys(parent)
    line = {key: i + 2 for i, key in enumerate(pairs)}

    def put(kind_text, key, changed, before=None):
        work.add("weight_map", file, line[key], before or f"{key}: {pairs[key]}", kind_text,
                 {file: json.dumps(changed, indent=2) + "\n"})

    for key, target in pairs.items():
        if target in tied:
            continue
        if key != target:
            put("entry dropped", key, {k: v for k, v in pairs.items() if k != key})
        put("target that is none", key, {**pairs, key: target + "_"})
        put("source that is none", key, {(k + "_" if k == key else k): v for k, v in pairs.items()})
    for one, two in itertools.combinations(pairs, 2):
        if {pairs[one], pairs[two]} & tied or "num_batches_tracked" in one:
            continue
        names = {key.rsplit(".", 1)[-1] for key in (one, two)}
        if len(names) > 1 and names not in ALIKE:
            continue
        put(f"swapped with {two}: {pairs[two]}", one, {**pairs, one: pairs[two], two: pairs[one]})
        put(f"the target of {two}: {pairs[two]}", one, {**pairs, one: pairs[two]})


def other_names(stem):
    """(name, what it says wrongly): another operation, size, dtype or setting."""
    parts = stem.split("_")

    def put(i, new=None):
        return "_".join(parts[:i] + ([new] if new else []) + parts[i + 1:])

    for i, part in enumerate(parts[1:], 1):
        if re.fullmatch(r"\d+(x\d+)+", part):
            numbers = part.split("x")
            yield put(i, "x".join([str(int(numbers[0]) + 1), *numbers[1:]])), "size"
            yield put(i, "x".join([*numbers[:-1], str(int(numbers[-1]) * 2)])), "size"
            # Half of what a name tells about two operands contradicts nothing.
            yield put(i), "size" if sum("x" in p and p[0].isdigit() for p in parts) == 1 else "setting"
        elif part in ("fp32", "i64"):
            yield put(i, {"fp32": "fp16", "i64": "i32"}[part]), "dtype"
            yield put(i), "dtype"
        elif part == "nobias":
            yield put(i), "setting"
        elif re.fullmatch(r"(s|p|eps|dim)[a-z]*\d+(em\d+)?|\d+p\d+", part):
            yield put(i, re.sub(r"\d+$", lambda m: str(int(m[0]) + 1), part)), "setting"
            yield put(i), "setting"
        elif part.isdigit():
            yield put(i, str(int(part) + 1)), "size"
    for old, new in OTHER_OPERATIONS.items():
        if stem.startswith(old):
            yield new + stem.removeprefix(old), "operation"


def rename(files, old, new):
    """The files with a component renamed wherever its name stands: (changed, removed)."""
    begin = r"(?:(?<![A-Za-z0-9_])|(?<=step_\d_)|(?<=step_\d\d_))"  # names of steps hold it too
    word = re.compile(rf"{begin}{re.escape(old)}(?![A-Za-z0-9])")
    changed, removed = {}, []
    for path, text in files.items():
        if path.startswith("source/"):
            continue
        target = word.sub(new, path)
        told = word.sub(new, text)
        if target != path:
            removed.append(path)
        if target != path or told != text:
            changed[target] = told
    return changed, removed


def rename_in_step(files, old, new):
    return rename({path: text for path, text in files.items() if path != "original.py"}, old, new)


def mutate_names(work):
    """In a step alone a name is held to what it must not contradict; settings are told in a bundle only."""
    for path in [p for p in work.files if p.startswith("children/")]:
        stem = Path(path).stem
        if "fp32" not in stem:
            continue
        for new, wrong in sorted(set(other_names(stem))):
            if wrong != "setting" and f"children/{new}.py" not in work.files and new.isidentifier():
                changed, removed = rename_in_step(work.files, stem, new)
                work.add("name", path, 0, stem, new, changed, removed)


def mutate_levels_in_step(work):
    """In a step alone a level shows where something that is none says that it is a kernel."""
    for path, text in work.files.items():
        match = re.search(r"Abstraction Level: (fusion|layer)", text) if path.startswith("children/") else None
        if match:
            work.add("level", path, text[:match.start()].count("\n") + 1, match[0], "Abstraction Level: kernel",
                     {path: text[:match.start()] + "Abstraction Level: kernel" + text[match.end():]})


def class_block(text, new_name):
    """Class Model of a component file and what it needs, under another name."""
    source = Text(text)
    parts = [source.of(n) for n in source.tree.body
             if isinstance(n, ast.ClassDef) or (isinstance(n, ast.FunctionDef) and n.name not in NOT_THE_MODEL)]
    return re.sub(r"\bclass Model\(", f"class {new_name}(", "\n\n\n".join(parts))


MERGED = '''"""
Component: {name}
Abstraction Level: kernel
"""

import torch
import torch.nn as nn
import torch.nn.functional as F


{first}


{second}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = First()
        self.second = Second()

    def forward(self, {given}):
        return self.second(self.first({given}))


{workloads}{inputs}


def get_init_inputs():
    return []


{expected}


{run_tests}


if __name__ == "__main__":
    import sys

    sys.exit(0 if run_tests() else 1)
'''


def merged_file(name, first, second):
    """One component file that runs `first` and then `second`."""
    one, two = Text(first), Text(second)
    functions = {source: {n.name: source.of(n) for n in source.tree.body if isinstance(n, ast.FunctionDef)}
                 for source in (one, two)}
    inputs = [a.arg for a in one.function("Model", "forward").args.args if a.arg != "self"]
    workloads = next((one.of(n) + "\n\n\n" for n in one.tree.body if isinstance(n, ast.Assign)), "")
    return MERGED.format(name=name, first=class_block(first, "First"), second=class_block(second, "Second"),
                         given=", ".join(inputs), workloads=workloads, inputs=functions[one]["get_inputs"],
                         expected=functions[two]["get_expected_output_shape"], run_tests=functions[one]["run_tests"])


def follows(parent, first, second):
    """`second` takes what `first` returns and nothing else."""
    if len(second.args) != 1:
        return False
    if second.args[0] is first:
        return True
    one, two = statement_of(parent.forward, first), statement_of(parent.forward, second)
    body = parent.forward.body
    return (one in body and two in body and body.index(two) == body.index(one) + 1 and isinstance(one, ast.Assign)
            and one.value is first and isinstance(second.args[0], ast.Name) and isinstance(one.targets[0], ast.Name)
            and second.args[0].id == one.targets[0].id)


def mutate_merged(work, parent):
    for first, second in itertools.permutations(parent.calls, 2):
        stems = parent.stem(first), parent.stem(second)
        if not all(stems) or not all(stem.endswith("fp32") for stem in stems) or not follows(parent, first, second):
            continue
        texts = [work.files[f"children/{stem}.py"] for stem in stems]
        joined = f"{stems[0].removesuffix('_fp32')}_{stems[1]}"
        for name in (joined, stems[0], stems[1]):
            made = {"refactored.py": merged_parent(parent, first, second, name),
                    f"children/{name}.py": merged_file(name, *texts)}
            one, two = parent.attribute(first), parent.attribute(second)
            weights = {k: re.sub(rf"^{two}\.", f"{one}.second.", re.sub(rf"^{one}\.", f"{one}.first.", v))
                       for k, v in json.loads(work.files["weight_map.json"]).items()}
            made["weight_map.json"] = json.dumps(weights, indent=2) + "\n"
            # A stem that a further child has cannot stand for both.
            if sum(s == name for s in parent.attributes.values()) > 1:
                continue
            left = [f"children/{s}.py" for s in stems if s != name and list(parent.attributes.values()).count(s) == 1]
            work.add("kernels_merged", "refactored.py", first.lineno, " and ".join(stems), name, made, left)


def merged_parent(parent, first, second, name):
    """refactored.py with one child for both calls."""
    source = parent.source
    one, two = parent.attribute(first), parent.attribute(second)
    changes = [(second, f"self.{one}({', '.join(source.of(a) for a in first.args)})")]
    if second.args[0] is not first:
        changes.append((statement_of(parent.forward, first), "pass"))
    for node in parent.init.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            if node.targets[0].attr == one:
                changes.append((node, f"self.{one} = Merged()"))
            elif node.targets[0].attr == two:
                changes.append((node, "pass"))
    used = collections.Counter(parent.attributes.values())
    for node in source.tree.body:
        if isinstance(node, ast.ImportFrom) and node.names[0].asname:
            stem = node.module.removeprefix("children.")
            if stem in (parent.stem(first), parent.stem(second)) and used[stem] == 1:
                changes.append((node, "pass"))
    text = re.sub(r"\n *pass(?=\n| +#)[^\n]*", "", source.put(*changes))
    head = "\n\n\nclass RefactoredModel"
    return text.replace(head, f"\nfrom children.{name} import Model as Merged{head}", 1)


def step_mutants(bundle, step):
    own = [step / name for name in ("original.py", "refactored.py", "weight_map.json")]
    work = Work(bundle, step.name, read(step, own + sorted((step / "children").glob("*.py"))))
    parent = Parent(work.files["refactored.py"])
    mutate_calls(work, "refactored.py", parent)
    mutate_operator_in_parent(work, "refactored.py", parent)
    mutate_imports(work, "refactored.py", parent)
    mutate_names_read(work, "refactored.py", parent.source)
    mutate_dtypes(work, "refactored.py", parent.source, parent)
    mutate_merged(work, parent)
    for path in [p for p in work.files if p.endswith(".py")]:
        # The submission has code that no run reaches; inner originals are spelled by what ran.
        if path == "original.py" and "# ---- component self-test ----" in work.files[path]:
            continue
        source = Text(work.files[path])
        mutate_operands(work, path, source)
        mutate_numbers(work, path, source)
        if path.startswith("children/"):
            mutate_dtypes(work, path, source)
            mutate_names_read(work, path, source)
            mutate_inputs(work, path, source, NOT_THE_MODEL)
        elif path == "refactored.py":
            mutate_inputs(work, path, source, NOT_THE_MODEL)
    mutate_weight_map(work, parent)
    mutate_names(work)
    mutate_levels_in_step(work)
    return work
