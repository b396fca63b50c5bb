#include <Python.h>
#include <frameobject.h>

#include "worker/engine/capture/frames.h"

#include <string_view>

namespace strata::capture::frames {
namespace {

struct Activation {
  PyFrameObject* frame;  // borrowed: alive while it is on the stack
  int32_t serial;
};

std::vector<Activation> stack;
int32_t next_serial = 0;

int Profile(PyObject*, PyFrameObject* frame, int what, PyObject*) {
  if (what == PyTrace_CALL) {
    stack.push_back({frame, next_serial++});
  } else if (what == PyTrace_RETURN) {
    // Activations older than Install() return too; they are not on the stack.
    if (!stack.empty() && stack.back().frame == frame) stack.pop_back();
  }
  return 0;
}

std::string Text(PyObject* unicode) {
  const char* text = unicode ? PyUnicode_AsUTF8(unicode) : nullptr;
  if (!text) PyErr_Clear();
  return text ? text : "";
}

bool IsMachinery(std::string_view file, std::string_view function) {
  constexpr std::string_view kFiles[] = {
      "torch/nn/modules/module.py", "torch/utils/_device.py",      "torch/overrides.py",
      "torch/_jit_internal.py",     "torch/utils/_contextlib.py",  "torch/_functorch/apis.py",
      "torch/_functorch/vmap.py",   "strata_capture/recording.py",
  };
  for (std::string_view suffix : kFiles) {
    if (file.ends_with(suffix)) return true;
  }
  return file.ends_with("torch/_tensor.py") && function == "wrapped";
}

}  // namespace

void Install() {
  stack.clear();
  next_serial = 0;
  PyEval_SetProfile(Profile, nullptr);
}

void Uninstall() {
  PyEval_SetProfile(nullptr, nullptr);
  stack.clear();
}

size_t Depth() { return stack.size(); }

std::vector<program::Frame> Since(size_t depth) {
  std::vector<program::Frame> frames;
  bool after_machinery = false;
  const PyGILState_STATE gil = PyGILState_Ensure();
  for (size_t i = depth; i < stack.size(); ++i) {
    PyCodeObject* code = PyFrame_GetCode(stack[i].frame);
    program::Frame frame;
    frame.file = Text(code->co_filename);
    frame.function = Text(code->co_name);
    if (IsMachinery(frame.file, frame.function)) {
      after_machinery = true;
    } else {
      // A device mode enters a torch function a second time; it is one activation.
      const bool again = after_machinery && !frames.empty() && frames.back().function == frame.function &&
                         frames.back().file == frame.file && frame.file.find("/torch/") != std::string::npos;
      if (again) frames.pop_back();
      frame.line = PyFrame_GetLineNumber(stack[i].frame);
      frame.serial = stack[i].serial;
      frames.push_back(std::move(frame));
      after_machinery = false;
    }
    Py_DECREF(code);
  }
  PyGILState_Release(gil);
  return frames;
}

}  // namespace strata::capture::frames
