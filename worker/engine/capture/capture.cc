#include <Python.h>

#include "worker/engine/capture/capture.h"

#include "absl/strings/str_cat.h"

namespace strata::embedded {
extern const char capture_recording[];
extern const char capture_settings[];
extern const char capture_sources[];
}  // namespace strata::embedded

namespace strata::capture {
namespace {

std::string TakePythonError() {
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyObject* text = value ? PyObject_Str(value) : nullptr;
  const char* utf8 = text ? PyUnicode_AsUTF8(text) : nullptr;
  const std::string message = utf8 ? utf8 : "unknown error";
  Py_XDECREF(text), Py_XDECREF(type), Py_XDECREF(value), Py_XDECREF(trace);
  PyErr_Clear();
  return message;
}

// A module of our own text, importable afterwards. Its file name is what frames:: leaves out.
absl::Status InstallModule(const char* name, const char* file, const char* text) {
  PyObject* code = Py_CompileString(text, file, Py_file_input);
  PyObject* module = code ? PyImport_ExecCodeModuleEx(name, code, file) : nullptr;
  Py_XDECREF(code);
  if (!module)
    return absl::InternalError(absl::StrCat("capture: cannot install ", file, ": ", TakePythonError()));
  Py_DECREF(module);
  return absl::OkStatus();
}

}  // namespace

absl::Status InstallPythonHalf() {
  struct Row {
    const char* name;
    const char* file;
    const char* text;
  };
  const Row rows[] = {
      {"strata_capture_sources", "strata_capture/sources.py", embedded::capture_sources},
      {"strata_capture_settings", "strata_capture/settings.py", embedded::capture_settings},
      {"strata_capture", "strata_capture/recording.py", embedded::capture_recording},
  };
  for (const Row& row : rows) {
    if (absl::Status status = InstallModule(row.name, row.file, row.text); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace strata::capture
