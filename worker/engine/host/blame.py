"""Says what went wrong in a user's file: what, where, what to do. State of one runner process."""

import os
import sys
import traceback

import torch

user_file = ""   # the file of the request
stage = "start"  # where the runner stands
fallback = None  # what was called, for errors that no user frame saw (wrong argument counts)

MAX_TEXT = 8000
MAX_FRAMES = 40

WHERE = {
    "load": "importing {file}", "init": "building the model", "weights": "loading the weights",
    "inputs": "get_inputs()", "forward": "forward()", "save": "saving the results", "main": "running {file}",
}


class UserError(Exception):
    """A finding of the runner's own about the user's file; its text is complete."""

    def __init__(self, message, line=0, function="", error_type="InvalidFile"):
        super().__init__(message)
        self.line, self.function, self.error_type = line, function, error_type


def describe(error):
    """The result message for `error`."""
    result = {"status": "raised", "error_type": type_name(error), "file": "", "line": 0, "traceback": "",
              "exit_code": 1 if stage == "main" else 0}
    if isinstance(error, UserError):
        result.update(error_type=error.error_type, message=text_of(error), file=os.path.basename(user_file),
                      line=error.line or function_line(error.function))
        return result
    frames = user_frames(error)
    result["file"], result["line"] = position(error, frames)
    result["traceback"] = user_traceback(error, frames)
    if isinstance(error, SystemExit):
        code = error.code
        result["status"] = "exited"
        result["exit_code"] = 0 if code is None else code & 0xFF if isinstance(code, int) else 1
    elif is_out_of_memory(error):
        result["status"] = "memory"
    elif not frames and is_ours(error):
        result["status"] = "internal"
        result["traceback"] = clip("".join(traceback.format_exception(error)))
    result["message"] = message_for(error, result)
    return result


def message_for(error, result):
    name = os.path.basename(user_file)
    at = f"{result['file'] or name}:{result['line']}" if result["line"] else result["file"] or name
    text = text_of(error)
    if result["status"] == "exited":
        return f"{where()} ended the process with sys.exit({error.code!r}) at {at}; a model must return"[:MAX_TEXT]
    if isinstance(error, SyntaxError):
        source = (error.text or "").strip()
        return f"{at} is not valid Python: {error.msg}" + (f": `{source[:200]}`" if source else "")
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (f"{at} imports '{error.name}', which is not installed here; inline what is needed from it, or "
                "install it into the worker's environment")
    if result["status"] == "internal":
        return f"the runner itself failed in {where()}: {type_name(error)}: {text}"
    return f"{where()} raised {type_name(error)} at {at}: {text}"


def where():
    return WHERE.get(stage, stage).format(file=os.path.basename(user_file))


def type_name(error):
    return type(error).__name__[:200]


def text_of(error):
    try:
        text = str(error)
    except BaseException:  # a user's __str__
        text = "(its text cannot be printed)"
    return clip(text.replace(os.path.dirname(user_file) + "/", ""))


def clip(text):
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT // 2] + "\n[...]\n" + text[-MAX_TEXT // 2:]


def is_out_of_memory(error):
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # torch's CPU allocator has no exception type of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in text_of(error)


def is_ours(error):
    """True if the innermost frame is the runner's or the recorder's, other than a call of the user's."""
    innermost = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        innermost = frame
    if innermost is None:
        return True
    module = innermost.f_globals.get("__name__") or ""
    return module.startswith("strata_") and innermost.f_code.co_name != "call_user"


def user_frames(error):
    """(relative file, line, function, source) of every frame below the user's folder, outermost first."""
    root = os.path.dirname(user_file) + "/"
    frames = []
    for entry in traceback.extract_tb(error.__traceback__):
        if entry.filename.startswith(root) and "/site-packages/" not in entry.filename:
            frames.append((entry.filename[len(root):], entry.lineno or 0, entry.name, entry.line or ""))
    return frames


def position(error, frames):
    """Base name and line where it went wrong."""
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(os.path.dirname(user_file)):
        return os.path.basename(error.filename), error.lineno or 0
    if frames:
        return os.path.basename(frames[-1][0]), frames[-1][1]
    code = getattr(getattr(fallback, "__init__", None) if isinstance(fallback, type) else fallback, "__code__", None)
    if code is not None and code.co_filename.startswith(os.path.dirname(user_file)):
        return os.path.basename(code.co_filename), code.co_firstlineno
    return os.path.basename(user_file), 0


def function_line(name):
    module = sys.modules.get(os.path.splitext(os.path.basename(user_file))[0])
    code = getattr(getattr(module, name, None), "__code__", None) if name else None
    return code.co_firstlineno if code is not None else 0


def user_traceback(error, frames):
    lines = ["Traceback (user code only):"]
    for file, line, function, source in frames[-MAX_FRAMES:]:
        lines.append(f'  File "{file}", line {line}, in {function}')
        if source:
            lines.append(f"    {source[:400]}")
    lines.append(f"{type_name(error)}: {text_of(error)}")
    cause = error.__cause__
    if cause is not None and cause is not error:
        lines.append(f"caused by {type_name(cause)}: {text_of(cause)}")
    return clip("\n".join(lines) + "\n")
