#include "torch/csrc/autograd/python_variable.h"  // first: it includes Python.h

#include <cstring>
#include <iterator>
#include <string>

#include "worker/engine/host/python_module.h"
#include "worker/engine/host/tensor_file.h"

namespace strata::host {
namespace {

volatile uint8_t* stage_page = nullptr;

PyObject* Raise(const absl::Status& status) {
  PyErr_SetString(absl::IsInvalidArgument(status) ? PyExc_ValueError : PyExc_OSError,
                  std::string(status.message()).c_str());
  return nullptr;
}

// (path, names, tensors, trees_json); false with a Python error set where they do not fit.
bool ParseFile(PyObject* args, const char** path, TensorFile& file) {
  const char* trees = nullptr;
  PyObject *names = nullptr, *tensors = nullptr;
  if (!PyArg_ParseTuple(args, "sO!O!s", path, &PyList_Type, &names, &PyList_Type, &tensors, &trees))
    return false;
  file.trees = nlohmann::json::parse(trees, nullptr, /*allow_exceptions=*/false);
  if (!file.trees.is_object() || PyList_GET_SIZE(names) != PyList_GET_SIZE(tensors)) {
    PyErr_SetString(PyExc_TypeError, "(path, names, tensors, trees): the arguments do not fit");
    return false;
  }
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(names); ++i) {
    const char* name = PyUnicode_AsUTF8(PyList_GET_ITEM(names, i));
    PyObject* tensor = PyList_GET_ITEM(tensors, i);
    if (name == nullptr) return false;
    if (!THPVariable_Check(tensor)) {
      PyErr_Format(PyExc_TypeError, "%s is no tensor", name);
      return false;
    }
    file.tensors.emplace_back(name, THPVariable_Unpack(tensor));
  }
  return true;
}

PyObject* Save(PyObject*, PyObject* args) {
  const char* path = nullptr;
  TensorFile file;
  if (!ParseFile(args, &path, file)) return nullptr;
  const absl::Status status = WriteTensorFile(path, file);
  if (!status.ok()) return Raise(status);
  Py_RETURN_NONE;
}

PyObject* Same(PyObject*, PyObject* args) {
  const char* path = nullptr;
  TensorFile file;
  if (!ParseFile(args, &path, file)) return nullptr;
  const absl::StatusOr<bool> same = SameAsTensorFile(path, file);
  if (!same.ok()) return Raise(same.status());
  return PyBool_FromLong(*same);
}

PyObject* Load(PyObject*, PyObject* args) {
  const char* path = nullptr;
  int restore_devices = 0;
  if (!PyArg_ParseTuple(args, "sp", &path, &restore_devices)) return nullptr;
  absl::StatusOr<TensorFile> file = ReadTensorFile(path);
  if (file.ok() && restore_devices) file = RestoreDevices(*std::move(file));
  if (!file.ok()) return Raise(file.status());
  PyObject* names = PyList_New(0);
  PyObject* tensors = PyList_New(0);
  bool ok = names != nullptr && tensors != nullptr;
  for (auto& [name, tensor] : file->tensors) {
    if (!ok) break;
    PyObject* text = PyUnicode_DecodeUTF8(name.data(), static_cast<Py_ssize_t>(name.size()), "replace");
    PyObject* wrapped = THPVariable_Wrap(tensor);
    ok = text != nullptr && wrapped != nullptr && PyList_Append(names, text) == 0 &&
         PyList_Append(tensors, wrapped) == 0;
    Py_XDECREF(text);
    Py_XDECREF(wrapped);
  }
  PyObject* result = ok ? Py_BuildValue("OOs", names, tensors, file->trees.dump().c_str()) : nullptr;
  Py_XDECREF(names);
  Py_XDECREF(tensors);
  return result;
}

PyObject* Stage(PyObject*, PyObject* name) {
  const char* text = PyUnicode_AsUTF8(name);
  if (text == nullptr) return nullptr;
  for (size_t i = 0; i < std::size(kStages); ++i) {
    if (stage_page != nullptr && strcmp(kStages[i], text) == 0) *stage_page = static_cast<uint8_t>(i);
  }
  Py_RETURN_NONE;
}

PyMethodDef kMethods[] = {
    {"save", Save, METH_VARARGS, nullptr}, {"same", Same, METH_VARARGS, nullptr},
    {"load", Load, METH_VARARGS, nullptr}, {"stage", Stage, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef kModule = {
    PyModuleDef_HEAD_INIT, "_strata_host", nullptr, -1, kMethods, nullptr, nullptr, nullptr, nullptr};

PyObject* Init() { return PyModule_Create(&kModule); }

}  // namespace

void RegisterHostModule() { PyImport_AppendInittab("_strata_host", Init); }

void SetStagePage(volatile uint8_t* page) { stage_page = page; }

}  // namespace strata::host
