#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "worker/engine/host/interpreter.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata::host {
namespace {

struct Release {
  void operator()(PyObject* object) const { Py_XDECREF(object); }
};
using Object = std::unique_ptr<PyObject, Release>;

std::string TextOf(PyObject* object) {
  Object text(object == nullptr ? nullptr : PyObject_Str(object));
  const char* bytes = text ? PyUnicode_AsUTF8(text.get()) : nullptr;
  if (bytes == nullptr) PyErr_Clear();
  return bytes == nullptr ? "" : bytes;
}

// The pending exception with its traceback attached; clears it.
Object TakeException() {
#if PY_VERSION_HEX >= 0x030c0000
  return Object(PyErr_GetRaisedException());
#else
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value != nullptr && traceback != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return Object(value);
#endif
}

// The pending exception as `traceback.format_exception` prints it; clears it.
std::string TakeError() {
  const Object error = TakeException();
  if (!error) return "no error was set";
  const Object module(PyImport_ImportModule("traceback"));
  const Object lines(module ? PyObject_CallMethod(module.get(), "format_exception", "O", error.get())
                            : nullptr);
  const Object empty(PyUnicode_FromString(""));
  const Object joined(lines && empty ? PyUnicode_Join(empty.get(), lines.get()) : nullptr);
  if (joined) return TextOf(joined.get());
  PyErr_Clear();
  return TextOf(error.get());
}

// Set before anything can read it. One thread per library: a pool started here would be dead in every fork.
void PrepareEnvironment() {
  for (const char* name : {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"})
    setenv(name, "1", 1);
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 1);
  setenv("PYTHONHASHSEED", "0", 1);  // for what user code starts
  setenv("PYTHONNOUSERSITE", "1", 1);
}

absl::Status ToStatus(const PyStatus& status, const std::string& python) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the interpreter ", python, " cannot be started (", status.err_msg != nullptr ? status.err_msg : "?",
      "); name one that exists and has the version that this engine was built with, ", PY_VERSION));
}

absl::StatusOr<std::string> Call(const char* module, const char* function, PyObject* arguments) {
  const Object own_arguments(arguments);
  const Object imported(PyImport_ImportModule(module));
  const Object callable(imported ? PyObject_GetAttrString(imported.get(), function) : nullptr);
  const Object result(callable && arguments ? PyObject_CallObject(callable.get(), arguments) : nullptr);
  const char* text = result ? PyUnicode_AsUTF8(result.get()) : nullptr;
  if (text == nullptr) return absl::InternalError(absl::StrCat(module, ".", function, ": ", TakeError()));
  return std::string(text);
}

}  // namespace

absl::Status StartInterpreter(const std::string& python) {
  PrepareEnvironment();
  PyPreConfig preconfig;
  PyPreConfig_InitIsolatedConfig(&preconfig);
  preconfig.utf8_mode = 1;  // whatever the locale: text is UTF-8 and printing never fails
  if (const PyStatus status = Py_PreInitialize(&preconfig); PyStatus_Exception(status))
    return ToStatus(status, python);
  PyConfig config;
  PyConfig_InitIsolatedConfig(&config);
  config.use_hash_seed = 1;
  config.hash_seed = 0;
  config.write_bytecode = 0;
  config.parse_argv = 0;
  PyStatus status = PyConfig_SetBytesString(&config, &config.executable, python.c_str());
  if (!PyStatus_Exception(status)) {
    status = PyConfig_SetBytesString(&config, &config.program_name, python.c_str());
  }
  if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
  PyConfig_Clear(&config);
  return PyStatus_Exception(status) ? ToStatus(status, python) : absl::OkStatus();
}

absl::Status DefineModule(const std::string& name, const char* source) {
  const Object code(Py_CompileString(source, absl::StrCat("<strata ", name, ">").c_str(), Py_file_input));
  const Object module(code ? PyImport_ExecCodeModule(name.c_str(), code.get()) : nullptr);
  return module ? absl::OkStatus() : absl::InternalError(absl::StrCat("module ", name, ": ", TakeError()));
}

absl::StatusOr<std::string> CallText(const char* module, const char* function, const std::string& text,
                                     int number) {
  return Call(module, function,
              Py_BuildValue("(s#i)", text.data(), static_cast<Py_ssize_t>(text.size()), number));
}

absl::StatusOr<std::string> CallText(const char* module, const char* function) {
  return Call(module, function, PyTuple_New(0));
}

}  // namespace strata::host
