// The builtin module `_strata_capture`: Recorder as Python sees it. Trees come as nested tuples:
//   ("tensor", t) | ("none",) | ("tuple"|"list", items, class) | ("dict"|"dataclass"|"namedtuple", keys,
//   items, class) | ("literal", text) | ("opaque", class)
#include <map>
#include <set>

#include "pybind11/stl.h"
#include "torch/csrc/utils/pybind.h"
#include "worker/engine/capture/assemble.h"
#include "worker/engine/capture/capture.h"
#include "worker/engine/capture/recorder.h"
#include "worker/engine/program/codec.h"

namespace py = pybind11;

namespace strata::capture {
namespace {

using program::Tree;

Tree ToTree(Recorder& recorder, const py::tuple& node, bool is_output) {
  static const std::map<std::string, Tree::Kind> kKinds = {
      {"tensor", Tree::Kind::kTensor},
      {"none", Tree::Kind::kNone},
      {"tuple", Tree::Kind::kTuple},
      {"list", Tree::Kind::kList},
      {"dict", Tree::Kind::kDict},
      {"dataclass", Tree::Kind::kDataclass},
      {"namedtuple", Tree::Kind::kNamedTuple},
      {"literal", Tree::Kind::kLiteral},
      {"opaque", Tree::Kind::kOpaque},
  };
  Tree tree;
  tree.kind = kKinds.at(node[0].cast<std::string>());
  size_t next = 1;
  switch (tree.kind) {
    case Tree::Kind::kTensor: {
      const auto tensor = node[1].cast<at::Tensor>();
      tree.value = is_output ? recorder.IdentifyOutput(tensor) : recorder.Identify(tensor);
      return tree;
    }
    case Tree::Kind::kNone:
      return tree;
    case Tree::Kind::kLiteral:
    case Tree::Kind::kOpaque:
      break;
    case Tree::Kind::kDict:
    case Tree::Kind::kDataclass:
    case Tree::Kind::kNamedTuple:
      tree.keys = node[next++].cast<std::vector<std::string>>();
      [[fallthrough]];
    default:
      for (const py::handle item : node[next++]) {
        tree.items.push_back(ToTree(recorder, item.cast<py::tuple>(), is_output));
      }
  }
  tree.text = node[next].cast<std::string>();
  return tree;
}

void Enter(Recorder& recorder, program::ModuleId module, const py::list& args, const py::list& kwargs,
           std::vector<std::string> parameter_names) {
  program::Invocation invocation;
  invocation.module = module;
  for (const py::handle arg : args) invocation.args.push_back(ToTree(recorder, arg.cast<py::tuple>(), false));
  for (const py::handle item : kwargs) {
    const auto pair = item.cast<py::tuple>();
    invocation.kwargs.emplace_back(pair[0].cast<std::string>(),
                                   ToTree(recorder, pair[1].cast<py::tuple>(), false));
  }
  invocation.parameter_names = std::move(parameter_names);
  recorder.Enter(std::move(invocation));
}

void Leave(Recorder& recorder, const py::tuple& output, bool is_model) {
  recorder.Leave(ToTree(recorder, output, is_model));
}

template <class T>
std::vector<std::pair<std::string, T>> Pairs(const py::dict& row, const char* key) {
  return row[key].cast<std::vector<std::pair<std::string, T>>>();
}

void AddModule(Recorder& recorder, const py::dict& row) {
  program::Module module;
  module.id = static_cast<program::ModuleId>(recorder.program().modules.size());
  module.paths = row["paths"].cast<std::vector<std::string>>();
  module.class_name = row["class_name"].cast<std::string>();
  module.qualified_class = row["qualified_class"].cast<std::string>();
  module.file = row["file"].cast<std::string>();
  module.line = row["line"].cast<int32_t>();
  module.is_torch_nn = row["is_torch_nn"].cast<bool>();
  module.is_container = row["is_container"].cast<bool>();
  module.training = row["training"].cast<bool>();
  module.parameters = Pairs<program::ValueId>(row, "parameters");
  module.buffers = Pairs<program::ValueId>(row, "buffers");
  module.children = Pairs<program::ModuleId>(row, "children");
  module.settings_known = !row["settings"].is_none();
  if (module.settings_known) {
    for (const auto& [name, value, is_default] :
         row["settings"].cast<std::vector<std::tuple<std::string, std::string, bool>>>()) {
      module.settings.push_back({name, value, is_default});
    }
  }
  recorder.program().modules.push_back(std::move(module));
}

std::vector<std::pair<std::string, int32_t>> FrameLines(Recorder& recorder) {
  std::set<std::pair<std::string, int32_t>> lines;
  for (const auto* calls : {&recorder.program().calls, &recorder.program().init_calls}) {
    for (const program::Call& call : *calls) {
      for (const program::Frame& frame : call.frames) lines.emplace(frame.file, frame.line);
    }
  }
  return {lines.begin(), lines.end()};
}

py::bytes Finish(Recorder& recorder, const std::string& source_file, const std::string& torch_version,
                 const std::string& device, const LineTargets& targets) {
  program::Program raw = std::move(recorder.program());
  raw.source_file = source_file;
  raw.torch_version = torch_version;
  raw.device = device;
  return py::bytes(program::Encode(Assemble(std::move(raw), recorder.unseen_storages(), targets)));
}

void Define(py::module_& m) {
  py::class_<Recorder>(m, "Recorder")
      .def(py::init<>())
      .def("start_construction", [](Recorder& r) { r.Start(Recorder::Phase::kInit); })
      .def("start_forward", [](Recorder& r) { r.Start(Recorder::Phase::kForward); })
      .def("stop", &Recorder::Stop)
      .def("add_input", &Recorder::AddInput)
      .def("add_parameter", &Recorder::AddParameter)
      .def("add_buffer", &Recorder::AddBuffer)
      .def("remember_buffer", &Recorder::RememberBuffer)
      .def("add_module", &AddModule)
      .def("enter", &Enter)
      .def("leave", &Leave)
      .def("abandon", &Recorder::Abandon)
      .def("separate", &Recorder::Separate)
      .def("note", [](Recorder& r, const std::string& text) { r.program().notes.push_back(text); })
      .def("frame_lines", &FrameLines)
      .def("finish", &Finish);
}

}  // namespace
}  // namespace strata::capture

PYBIND11_MODULE(_strata_capture, m) { strata::capture::Define(m); }

namespace strata::capture {
void RegisterPythonModule() { PyImport_AppendInittab("_strata_capture", &PyInit__strata_capture); }
}  // namespace strata::capture
