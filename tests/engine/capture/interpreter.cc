#include <Python.h>

#include "tests/engine/capture/interpreter.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/engine/capture/replay.h"
#include "worker/engine/capture/capture.h"
#include "worker/engine/program/codec.h"

namespace strata::capture {
namespace {

constexpr char kRunner[] = R"py(
import importlib.util, inspect, sys
import torch
from strata_capture import record_construction, record_forward

torch.backends.mha.set_fastpath_enabled(False)
torch.set_num_threads(1)

def _equal(a, b):
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(_equal(x, y) for x, y in zip(a.values(), b.values()))
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b))
    return True

def capture_file(path, seed):
    spec = importlib.util.spec_from_file_location("model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    torch.manual_seed(42)
    with record_construction() as built:
        model = module.Model(*getattr(module, "get_init_inputs", list)())
    model.eval()
    def draw():
        torch.manual_seed(seed)
        return module.get_inputs(), getattr(module, "get_input_kwargs", dict)()
    with torch.no_grad():
        args, kwargs = draw()
        torch.manual_seed(seed)
        output, data = record_forward(model, args, kwargs, source_file=path.split("/")[-1], built=built)
        args, kwargs = draw()
        torch.manual_seed(seed)
        again = model(*args, **kwargs)
    if not _equal(output, again):
        raise AssertionError("the recorded forward returned other numbers than the same forward alone")
    global last
    last = (model, draw, seed, output)
    return data

def _leaves(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if hasattr(value, "__dataclass_fields__"):
        value = {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, (tuple, list)) else []

def check_replay():
    model, draw, seed, output = last
    args, kwargs = draw()
    bound = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    for name, parameter in inspect.signature(model.forward).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            bound.update(bound.pop(name, {}))
    torch.manual_seed(seed)
    with torch.no_grad():
        replayed = replay(model, dict(bound))
    expected = _leaves(output)
    assert len(expected) == len(replayed), f"{len(replayed)} outputs, {len(expected)} expected"
    for number, (a, b) in enumerate(zip(expected, replayed)):
        assert _equal(a, b), f"output {number} differs"
)py";

PyObject* Globals() {
  static PyObject* globals = PyDict_New();
  return globals;
}

absl::Status PythonError() {
  PyErr_Print();
  return absl::InternalError("Python raised; its traceback is on stderr");
}

absl::Status Execute(const char* text) {
  PyDict_SetItemString(Globals(), "__builtins__", PyEval_GetBuiltins());
  PyObject* result = PyRun_String(text, Py_file_input, Globals(), Globals());
  if (!result) return PythonError();
  Py_DECREF(result);
  return absl::OkStatus();
}

absl::Status Start() {
  RegisterPythonModule();
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  PyConfig_SetBytesString(&config, &config.executable, STRATA_TEST_PYTHON);
  const PyStatus status = Py_InitializeFromConfig(&config);
  PyConfig_Clear(&config);
  if (PyStatus_Exception(status))
    return absl::InternalError(status.err_msg ? status.err_msg : "Python did not start");
  if (absl::Status torch = Execute("import torch"); !torch.ok()) return torch;
  if (absl::Status half = InstallPythonHalf(); !half.ok()) return half;
  return Execute(kRunner);
}

}  // namespace

absl::Status StartInterpreter() {
  static const absl::Status status = Start();
  return status;
}

absl::StatusOr<program::Program> CaptureFile(const std::string& path, int seed) {
  if (absl::Status status = StartInterpreter(); !status.ok()) return status;
  PyObject* function = PyDict_GetItemString(Globals(), "capture_file");
  PyObject* data = PyObject_CallFunction(function, "si", path.c_str(), seed);
  if (!data) return PythonError();
  char* bytes = nullptr;
  Py_ssize_t size = 0;
  PyBytes_AsStringAndSize(data, &bytes, &size);
  auto program = program::Decode({bytes, static_cast<size_t>(size)});
  Py_DECREF(data);
  return program;
}

absl::StatusOr<program::Program> CaptureText(const std::string& text, int seed) {
  const char* tmp = std::getenv("TMPDIR");
  std::string dir = absl::StrCat(tmp ? tmp : "/tmp", "/strata_capture_XXXXXX");
  if (!mkdtemp(dir.data())) return absl::InternalError("mkdtemp failed");
  const std::string path = dir + "/model.py";
  std::ofstream(path) << text;
  auto program = CaptureFile(path, seed);
  unlink(path.c_str());
  rmdir(dir.c_str());
  return program;
}

absl::Status Replay(const program::Program& program) {
  if (absl::Status status = Execute(ReplayText(program).c_str()); !status.ok()) return status;
  return Execute("check_replay()");
}

absl::StatusOr<std::string> Evaluate(const std::string& setup, const std::string& expression) {
  if (absl::Status status = StartInterpreter(); !status.ok()) return status;
  if (absl::Status status = Execute(setup.c_str()); !status.ok()) return status;
  PyObject* value = PyRun_String(expression.c_str(), Py_eval_input, Globals(), Globals());
  PyObject* text = value ? PyObject_Str(value) : nullptr;
  Py_XDECREF(value);
  if (!text) return PythonError();
  std::string out = PyUnicode_AsUTF8(text);
  Py_DECREF(text);
  return out;
}

}  // namespace strata::capture
