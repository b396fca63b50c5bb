"""The Python half of a runner: loads one user file and does what the request says.

Runs in a forked child, beside user code. Whatever it reports is a claim; the parent parses it as hostile.
"""

import contextlib
import faulthandler
import functools
import importlib.machinery
import importlib.util
import inspect
import os
import random
import runpy
import signal
import sys
import tempfile
import threading
from json import dumps, loads

import torch
import torch.utils._device  # not during the first run

import _strata_host
import strata_blame as blame
import strata_kept as kept
import strata_trees as trees

MAX_SOURCE_BYTES = 64 << 20


def call_user(function, *args, **kwargs):
    """Everything of the user's is called through here: an error raised by this very frame is the user's."""
    return function(*args, **kwargs)


def stage(name):
    blame.stage = name
    _strata_host.stage(name)


def name_of(request):
    return os.path.basename(request["file"])


# ---- loading -------------------------------------------------------------------------------------------


def compile_user_file(path):
    name = os.path.basename(path)
    size = os.path.getsize(path)
    if size > MAX_SOURCE_BYTES:
        raise blame.UserError(f"{name} has {size:,} bytes, more than the {MAX_SOURCE_BYTES:,} that a source file "
                              "may have; keep data out of it")
    with open(path, "rb") as file:
        text = file.read()
    if not text.strip():
        raise blame.UserError(f"{name} is empty; it must define a class Model, get_inputs() and get_init_inputs()", line=1)
    if b"\0" in text:
        line = text[:text.index(b"\0")].count(b"\n") + 1
        raise blame.UserError(f"{name} is not Python source: it contains zero bytes; submit a text file", line=line,
                              error_type="SyntaxError")
    return call_user(compile, text, path, "exec", dont_inherit=True)


class TextLoader(importlib.machinery.SourceFileLoader):
    """Runs the text, never bytecode that lies beside it."""

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_text_only():
    """Outside of Python and its packages a module is the text of a .py file: what is read is what runs."""
    known = tuple({os.path.realpath(path) + os.sep for path in (*sys.path, sys.prefix, sys.base_prefix) if path})

    def finder(path):
        if not os.path.isdir(path or os.curdir) or (os.path.realpath(path or os.curdir) + os.sep).startswith(known):
            raise ImportError(path)
        return importlib.machinery.FileFinder(path, (TextLoader, [".py"]))

    sys.path_hooks.insert(0, finder)


def load_module(path):
    """The file as a module under its stem, so that classes and pickles name it as anyone would."""
    stem = os.path.splitext(os.path.basename(path))[0]
    name = stem if stem not in sys.modules else "_strata_user_" + stem
    code = compile_user_file(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise blame.UserError(f"{os.path.basename(path)} has no .py at its end; name it NAME.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    call_user(exec, code, module.__dict__)
    return module


def wanted(module, request, name, what):
    """The callable `name` of the user's file, or an error that says what to write."""
    found = getattr(module, name, None)
    if callable(found):
        return found
    file = name_of(request)
    if found is not None:
        raise blame.UserError(f"{name} in {file} is a {type(found).__name__}; it must be {what}")
    own = [key for key, value in vars(module).items()
           if inspect.isclass(value) and value.__module__ == module.__name__]
    hint = f" (it defines {', '.join(own[:8])})" if own and name[0].isupper() else ""
    raise blame.UserError(f"{file} defines no {name}{hint}; it must define {what}")


def as_list(value, function, request):
    if isinstance(value, (list, tuple)):
        return list(value)
    raise blame.UserError(f"{function}() in {name_of(request)} returned a {type(value).__name__}; "
                          "it must return a list of arguments", function=function)


# ---- the model -----------------------------------------------------------------------------------------


def seed_everything(seed):
    torch.manual_seed(seed)
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def build_model(module, request):
    """The module in eval mode on the device, and what the recorder saw of its construction (or None)."""
    stage("init")
    model_class = wanted(module, request, request["class_name"], f"a class {request['class_name']}(nn.Module)")
    blame.fallback = model_class
    init = as_list(call_user(module.get_init_inputs), "get_init_inputs", request) \
        if hasattr(module, "get_init_inputs") else []
    recording = contextlib.nullcontext()
    if request["record_init"]:
        import strata_capture
        recording = strata_capture.record_construction()
    seed_everything(request["build_seed"])
    with recording as built:
        model = call_user(model_class, *init)
    if not isinstance(model, torch.nn.Module):
        raise blame.UserError(f"{request['class_name']} in {name_of(request)} is no torch.nn.Module; derive it from nn.Module")
    if request["device"] != "cpu" and any(t.device.type == "cpu" for t in (*model.parameters(), *model.buffers())):
        model.to(request["device"])
    return call_user(model.eval), built


def owned_tensors(model):
    """state_dict key -> the tensor itself; what a user's state_dict() hook returns may be a copy."""
    owned = dict(model.named_parameters(remove_duplicate=False))
    owned.update(model.named_buffers(remove_duplicate=False))
    return {key: owned.get(key, value) for key, value in model.state_dict().items() if torch.is_tensor(value)}


def identity(tensor):
    return (tensor.device, tensor.data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


def load_weights(model, request, path, mapping, whole=True):
    """Gives `model` the tensors of the file at `path`; `whole`: those that the map does not name keep their key."""
    stage("weights")
    names, tensors, _ = _strata_host.load(path, False)
    source = dict(zip(names, tensors))
    own = owned_tensors(model)
    given = {}  # identity of the target -> (original key, its value): tied keys are one target
    for key, value in source.items():
        targets = mapping.get(key, key if whole else [])
        for target in targets if isinstance(targets, list) else [targets]:
            if target not in own:
                if key in mapping:
                    raise blame.UserError(f"weight_map.json maps '{key}' to '{target}', which {type(model).__name__} "
                                          f"in {name_of(request)} does not have")
                continue
            place(own[target], target, key, value, given)
    missing = [key for key, tensor in own.items() if tensor.numel() and identity(tensor) not in given]
    if missing and not request["allow_unmapped"]:
        shown = ", ".join(f"'{key}' {list(own[key].shape)}" for key in missing[:8])
        raise blame.UserError(f"{len(missing)} of {len(own)} weights of {type(model).__name__} in {name_of(request)} get no "
                              f"value: {shown}; map an original key to each in weight_map.json")


def read_weight_map(path):
    with open(path, "rb") as file:
        mapping = loads(file.read())
    good = isinstance(mapping, dict) and all(
        isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))
        for value in mapping.values())
    if not good:
        raise blame.UserError(f"{os.path.basename(path)} must be one object {{original key: refactored key}}")
    return mapping


def place(target, target_key, key, value, given):
    if target.shape != value.shape:
        raise blame.UserError(f"weight '{key}' {list(value.shape)} does not fit '{target_key}' {list(target.shape)}")
    if target.dtype != value.dtype:
        raise blame.UserError(f"weight '{key}' is {value.dtype}, '{target_key}' is {target.dtype}")
    first_key, first_value = given.setdefault(identity(target), (key, value))
    if first_value is not value and not same_bits(first_value, value):
        raise blame.UserError(f"'{target_key}' is tied to a weight that already has the value of '{first_key}'; "
                              f"'{key}' differs from it, so the two cannot be one")
    with torch.no_grad():
        target.copy_(value)


def same_bits(a, b):
    return identity(a) == identity(b) or torch.equal(a.contiguous().reshape(-1).view(torch.uint8),
                                                     b.contiguous().reshape(-1).view(torch.uint8))


# ---- trials --------------------------------------------------------------------------------------------


def on_device(value, device):
    """The same structure with every CPU tensor moved: a source may name no device in get_inputs()."""
    if torch.is_tensor(value):
        return value.to(device) if value.device.type == "cpu" else value
    if type(value) in (list, tuple):
        return type(value)(on_device(item, device) for item in value)
    if type(value) is dict:
        return {key: on_device(item, device) for key, item in value.items()}
    return value


def call_with_workload(function, workload):
    if workload == 0:
        return call_user(function)
    if "workload" not in inspect.signature(function).parameters:
        raise blame.UserError(f"{function.__name__}() takes no `workload`, and workload {workload} was asked for; "
                              f"define {function.__name__}(workload=0)", function=function.__name__)
    return call_user(function, workload=workload)


def draw_inputs(module, request, workload):
    get_inputs = wanted(module, request, "get_inputs", "get_inputs(), which returns the list of forward's arguments")
    blame.fallback = get_inputs
    args = as_list(call_with_workload(get_inputs, workload), "get_inputs", request)
    kwargs = {}
    get_kwargs = getattr(module, "get_input_kwargs", None)
    if get_kwargs is not None:
        takes = "workload" in inspect.signature(get_kwargs).parameters
        kwargs = call_with_workload(get_kwargs, workload if takes else 0)
        if not isinstance(kwargs, dict):
            raise blame.UserError(f"get_input_kwargs() in {name_of(request)} returned a {type(kwargs).__name__}; "
                                  "it must return a dict of keyword arguments", function="get_input_kwargs")
    return args, kwargs


def make_inputs(module, request, trial):
    stage("inputs")
    seed_everything(trial["seed"])
    if trial["inputs_path"]:
        file = trees.load(trial["inputs_path"], request["device"] != "cpu")
        args, kwargs = list(file.get("args", ())), dict(file.get("kwargs", {}))
    else:
        args, kwargs = draw_inputs(module, request, trial["workload"])
    if request["device"] != "cpu":
        args, kwargs = on_device(args, request["device"]), on_device(kwargs, request["device"])
    return args, kwargs


def forward(model, built, args, kwargs, request, program_path=""):
    """The output; where `program_path` is named, what ran is written there."""
    stage("forward")
    blame.fallback = type(model).forward
    with torch.no_grad():
        if program_path:
            import strata_capture
            output, program = strata_capture.record_forward(
                model, args, kwargs, source_file=name_of(request), built=built)
            with open(program_path, "wb") as file:
                file.write(program)
        else:
            output = call_user(model, *args, **kwargs)
    if request["device"] != "cpu":
        call_user(torch.cuda.synchronize)  # so that a failed kernel is reported as forward's
    return output


def run_trial(module, model, built, request, trial):
    args, kwargs = make_inputs(module, request, trial)
    suffix = f"_{trial['seed']}_{trial['workload']}.bin"
    program_path = os.path.join(request["out_dir"], "program" + suffix) if request["record"] else ""
    if request["save_inputs"]:
        save(request, "inputs" + suffix, args=tuple(args), kwargs=kwargs)
    if trial["inputs_only"]:
        return
    # Drawing inputs used the generator; reading them from a file did not. Both sides start forward alike.
    seed_everything(trial["seed"])
    before = state_of(model) if request["save_outputs"] else {}
    held = kept.Snapshot(model, os.path.dirname(request["file"])) if request["save_outputs"] else None
    output = forward(model, built, args, kwargs, request, program_path)
    if request["save_outputs"]:
        save_kept(held, model, request, "kept" + suffix.replace(".bin", ".json"))
        save_changed_state(model, before, os.path.join(request["out_dir"], "state" + suffix))
        save(request, "outputs" + suffix, output=output)
        # Inputs can be gigabytes and are seldom changed: then this is one file with two names.
        before = os.path.join(request["out_dir"], "inputs" + suffix) if request["save_inputs"] else trial["inputs_path"]
        save(request, "after" + suffix, before, args=tuple(args), kwargs=kwargs)
    if trial["again"]:
        call_again(module, model, request, trial, "again" + suffix)


def state_of(model):
    """A copy of each buffer; of a parameter, which may be large, the count of writes to it."""
    found = {key: tensor.clone() for key, tensor in model.named_buffers(remove_duplicate=False)}
    return found | {key: tensor._version for key, tensor in model.named_parameters(remove_duplicate=False)}


def save_changed_state(model, before, path):
    changed = {}
    for key, tensor in owned_tensors(model).items():
        was = before.get(key)
        if was is None:
            continue
        same = tensor._version == was if isinstance(was, int) else (
            tensor.shape == was.shape and tensor.dtype == was.dtype and same_bits(tensor, was))
        if not same:
            changed[key] = tensor
    if changed:
        _strata_host.save(path, list(changed), list(changed.values()), "{}")


def save_kept(before, model, request, name):
    stage("save")
    changed = kept.changed(before, kept.Snapshot(model, os.path.dirname(request["file"])))
    if changed:
        with open(os.path.join(request["out_dir"], name), "w", encoding="utf-8") as file:
            file.write(dumps(changed))


def call_again(module, model, request, trial, name):
    args, kwargs = make_inputs(module, request, trial)
    seed_everything(trial["seed"])
    try:
        output = forward(model, None, args, kwargs, request)
    except Exception:
        return  # which the missing file says
    save(request, name, output=output)


def save(request, name, unless_as=None, **values):
    stage("save")
    trees.save(os.path.join(request["out_dir"], name), values, unless_as)


def run_trials(request):
    stage("load")
    module = load_module(request["file"])
    made = note_constructions(request["children_dir"]) if request["children_dir"] else {}
    model, built = build_model(module, request)
    if request["children_dir"]:
        save_constructions(model, made, os.path.join(request["out_dir"], "children.json"))
    stage("weights")
    mapping = read_weight_map(request["weight_map_path"]) if request["weight_map_path"] else {}
    if request["weights_path"]:
        load_weights(model, request, request["weights_path"], mapping)
    if request["save_weights"]:
        stage("save")
        own = owned_tensors(model)
        _strata_host.save(os.path.join(request["out_dir"], "weights.bin"), list(own), list(own.values()), "{}")
    for number, trial in enumerate(request["trials"]):
        if number and request["afresh"]:
            model, _ = build_model(module, request)
            stage("weights")
            if request["weights_path"]:
                load_weights(model, request, request["weights_path"], mapping)
        if trial["weights_path"]:
            load_weights(model, request, trial["weights_path"], mapping)
        run_trial(module, model, built, request, trial)
        built = None
    if request["draws"]:
        stage("inputs")
        rows = [{"inputs": own_inputs(module, request, workload), "outputs": own_shapes(module, workload)}
                for workload in range(request["draws"])]
        with open(os.path.join(request["out_dir"], "draws.json"), "w", encoding="utf-8") as file:
            file.write(dumps(rows))
    return 0


# ---- what a file says of itself ------------------------------------------------------------------------


def own_inputs(module, request, workload):
    """dtype and sizes of each tensor that get_inputs() draws, the values of all else; see RunRequest::draws."""
    if not callable(getattr(module, "get_inputs", None)):
        return None
    seed_everything(request["build_seed"])
    try:
        return list(leaves(draw_inputs(module, request, workload)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def leaves(value):
    if torch.is_tensor(value):
        yield f"{value.dtype}{list(value.shape)}"
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield repr(value) if value is None or isinstance(value, (bool, int, str)) else type(value).__name__


def own_shapes(module, workload):
    function = getattr(module, "get_expected_output_shape", None)
    if not callable(function):
        return None
    try:
        return list(shapes_in(call_with_workload(function, workload)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def shapes_in(value):
    """One shape, a list of them, or a structure as forward returns it."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, int) for item in value):
            yield list(value)
        else:
            for item in value:
                yield from shapes_in(item)


# ---- children ------------------------------------------------------------------------------------------


def note_constructions(folder):
    """Lets the module classes of the files in `folder` say how they are made: {id: (module, args, kwargs)}."""
    made = {}

    def noting(init):
        @functools.wraps(init)
        def wrapper(self, *args, **kwargs):
            made.setdefault(id(self), (self, args, kwargs))
            init(self, *args, **kwargs)
        return wrapper

    for child in list(sys.modules.values()):
        file = getattr(child, "__file__", None)
        if not isinstance(file, str) or os.path.dirname(os.path.abspath(file)) != folder:
            continue
        for value in list(vars(child).values()):
            if inspect.isclass(value) and issubclass(value, torch.nn.Module) and value.__module__ == child.__name__:
                value.__init__ = noting(value.__init__)
    return made


def save_constructions(model, made, path):
    found = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if id(module) in made:
            _, args, kwargs = made[id(module)]
            flattener = trees.Flattener()
            found[name] = {"args": flattener.flatten(args, name), "kwargs": flattener.flatten(kwargs, name)}
    with open(path, "w", encoding="utf-8") as file:
        file.write(dumps(found))


def run_calls(request):
    stage("load")
    module = load_module(request["file"])
    for call in request["calls"]:
        run_call(module, request, call)
    return 0


def run_call(module, request, call):
    stage("init")
    child_class = module
    for name in call["class_name"].split("."):
        child_class = getattr(child_class, name, None)
    if not inspect.isclass(child_class):
        raise blame.UserError(f"{name_of(request)} defines no class {call['class_name']}")
    args, kwargs = (trees.unflatten(call["init"][key], []) if key in call["init"] else empty
                    for key, empty in (("args", ()), ("kwargs", {})))
    seed_everything(request["build_seed"])
    child = call_user(call_user(child_class, *args, **kwargs).eval)
    if request["device"] != "cpu":
        child.to(request["device"])
    if call["weights_path"]:
        load_weights(child, request, call["weights_path"], call["weight_map"], whole=False)
    stage("inputs")
    inputs = trees.load(call["inputs_path"], request["device"] != "cpu")
    seed_everything(call["seed"])
    if call["generator_path"]:
        _, (state,), _ = _strata_host.load(call["generator_path"], False)
        torch.set_rng_state(state) if request["device"] == "cpu" else torch.cuda.set_rng_state(state)
    args, kwargs = list(inputs.get("args", ())), dict(inputs.get("kwargs", {}))
    output = forward(child, None, args, kwargs, request)
    save(request, f"outputs_{call['name']}.bin", output=output)
    save(request, f"after_{call['name']}.bin", call["inputs_path"], args=tuple(args), kwargs=kwargs)


# ---- whole files ---------------------------------------------------------------------------------------


def exit_code_of(error):
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def run_as_main(request):
    stage("main")
    compile_user_file(request["file"])  # for its messages
    sys.argv = [request["file"], *request["argv"]]
    seed_everything(request["build_seed"])
    code = 0
    try:
        call_user(runpy.run_path, request["file"], run_name="__main__")
    except SystemExit as error:
        code = exit_code_of(error)
    # What the interpreter does at its end, which a runner never reaches.
    threading._shutdown()
    with contextlib.suppress(ImportError, AttributeError):
        import atexit
        atexit._run_exitfuncs()
    return code


def call_run_tests(request):
    stage("load")
    module = load_module(request["file"])
    stage("main")
    run_tests = wanted(module, request, "run_tests", "run_tests(), which returns True when the file's own test passes")
    blame.fallback = run_tests
    seed_everything(request["build_seed"])
    try:
        return 0 if call_user(run_tests) else 1
    except SystemExit as error:
        return exit_code_of(error)


# ---- the protocol --------------------------------------------------------------------------------------


def prepare_process(request, trace_fd):
    # Where the runner stands when it crashes, hangs or leaves: the parent reads it from this pipe.
    faulthandler.enable(file=trace_fd, all_threads=False)
    faulthandler.register(signal.SIGUSR1, file=trace_fd, all_threads=False)
    really_exit, runner = os._exit, os.getpid()

    def exit_with_trace(status):
        if os.getpid() == runner:
            with contextlib.suppress(Exception):
                faulthandler.dump_traceback(file=trace_fd, all_threads=False)
        really_exit(status)

    os._exit = exit_with_trace
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    tempfile.tempdir = os.environ["TMPDIR"] = os.getcwd()
    import_text_only()
    if request["import_dir"]:
        sys.path.insert(0, request["import_dir"])
    sys.path.insert(0, os.path.dirname(request["file"]))
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    if request["device"] != "cpu":
        torch.set_default_device(request["device"])


def flush():
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(BaseException):
            stream.flush()


def main(request_text, trace_fd):
    """Does the request; returns the result message as JSON text."""
    request = loads(request_text)
    blame.user_file = request["file"]
    try:
        prepare_process(request, trace_fd)
        work = (run_as_main if request["as_main"] else call_run_tests if request["call_run_tests"] else
                run_calls if request["calls"] else run_trials)
        result = {"status": "ok", "exit_code": work(request)}
    except BaseException as error:  # whatever user code raises, KeyboardInterrupt included
        result = blame.describe(error)
    flush()
    return dumps(result)
