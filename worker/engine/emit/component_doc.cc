#include "worker/engine/emit/component_doc.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "worker/engine/emit/input_names.h"

namespace strata::emit {
namespace {

using plan::Component;
using plan::Node;
using plan::Plan;
using program::ValueId;

std::string TypeText(const Plan& plan, ValueId id) {
  const program::TensorType& type = plan.program.value(id).type;
  return absl::StrCat(ShapeText(type.sizes), " dtype=", program::TorchName(type.dtype));
}

std::string ParentText(const Plan& plan, const Component& component) {
  std::vector<std::string> names;
  for (const Component* parent : ParentsOf(plan, component.id)) names.push_back(parent->stem);
  return names.empty() ? "root" : absl::StrJoin(names, ", ");
}

std::string ChildrenText(const Plan& plan, const Component& component) {
  std::vector<std::string> names;
  for (size_t i = 0; i < component.children.size(); ++i) {
    const std::string& stem = plan.components.at(static_cast<size_t>(component.children[i])).stem;
    const int64_t calls = i < component.calls.size() ? component.calls[i] : 1;
    names.push_back(calls == 1 ? stem : absl::StrCat(stem, " x", calls));
  }
  return names.empty() ? "none" : absl::StrJoin(names, ", ");
}

// "NAME: a, b, c" wrapped below 100 columns.
Lines Wrapped(const std::string& head, const std::string& text) {
  Lines lines = {head};
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find(", ", at);
    end = end == std::string::npos ? text.size() : end + 2;
    const std::string word = text.substr(at, end - at);
    if (lines.back().size() + word.size() > 98 && lines.back().size() > 4) lines.push_back("  ");
    lines.back() += lines.back().size() > 2 && lines.back().back() != ' ' ? " " + word : word;
    at = end;
  }
  return lines;
}

Lines OperationLines(const Plan& plan, const Component& component) {
  const std::vector<std::string> operations = OperationsOf(plan, component);
  return Wrapped("Operations:", operations.empty() ? "none" : absl::StrJoin(operations, ", "));
}

// The torch.nn module in which all calls of the node run, below the submitted model; nullptr for none.
const program::Module* LeafOf(const program::Program& program, const Node& node) {
  const program::Module* leaf = nullptr;
  for (const program::CallId c : node.calls) {
    const auto& invocation = program.invocations.at(static_cast<size_t>(program.call(c).scope));
    const program::Module* module = &program.modules.at(static_cast<size_t>(invocation.module));
    if (!module->is_torch_nn || module->is_container || (leaf != nullptr && module != leaf)) return nullptr;
    leaf = module;
  }
  return leaf;
}

Lines ShapeSections(const Plan& plan, const Component& component, const std::vector<std::string>& inputs,
                    const std::vector<StateEntry>& state) {
  const plan::Workload& main = component.workloads.at(0);
  Lines lines = {"Input Shapes:"};
  for (size_t i = 0; i < main.inputs.size(); ++i) {
    lines.push_back(
        absl::StrCat("  - ", i < inputs.size() ? inputs[i] : "x", ": ", TypeText(plan, main.inputs[i])));
  }
  if (main.inputs.empty()) lines.push_back("  - none");
  Append(lines, {"", "Output Shapes:"});
  const std::vector<std::string> names = OutputNames(main.outputs.size());
  for (size_t i = 0; i < main.outputs.size(); ++i) {
    lines.push_back(absl::StrCat("  - ", names[i], ": ", TypeText(plan, main.outputs[i])));
  }
  Append(lines, {"", "Weight Shapes:"});
  for (const StateEntry& entry : state) {
    lines.push_back(
        absl::StrCat("  - ", entry.key, ": ", ShapeText(plan.program.value(entry.value).type.sizes)));
  }
  if (state.empty()) lines.push_back("  - none");
  if (component.workloads.size() <= 1) return lines;
  Append(lines, {"", "Workloads:"});
  for (const plan::Workload& workload : component.workloads) {
    std::vector<std::string> shapes;
    for (size_t i = 0; i < workload.inputs.size(); ++i) {
      shapes.push_back(
          absl::StrCat(inputs[i], " ", ShapeText(plan.program.value(workload.inputs[i]).type.sizes)));
    }
    lines.push_back(absl::StrCat("  - ", absl::StrJoin(shapes, ", "), " (", workload.count,
                                 workload.count == 1 ? " run)" : " runs)"));
  }
  return lines;
}

}  // namespace

std::vector<const Component*> ParentsOf(const Plan& plan, plan::ComponentId id) {
  std::vector<const Component*> out;
  for (const Component& parent : plan.components) {
    if (std::find(parent.children.begin(), parent.children.end(), id) != parent.children.end())
      out.push_back(&parent);
  }
  return out;
}

std::vector<std::string> OperationsOf(const Plan& plan, const Component& component) {
  std::vector<std::pair<std::string, int>> counts;
  for (const program::CallId c : plan.nodes.at(static_cast<size_t>(component.nodes.at(0))).calls) {
    const std::string name = program::OperatorName(plan.program.call(c).op);
    const auto found =
        std::find_if(counts.begin(), counts.end(), [&](const auto& entry) { return entry.first == name; });
    if (found == counts.end()) {
      counts.emplace_back(name, 1);
    } else {
      ++found->second;
    }
  }
  std::vector<std::string> out;
  for (const auto& [name, count] : counts) out.push_back(count == 1 ? name : absl::StrCat(name, " x", count));
  return out;
}

std::vector<std::string> OutputNames(size_t count) {
  if (count == 1) return {"output"};
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(absl::StrCat("output_", i));
  return names;
}

std::string ScopePath(const Plan& plan, const Node& node) {
  const auto& invocation = plan.program.invocations.at(static_cast<size_t>(node.scope));
  const auto& module = plan.program.modules.at(static_cast<size_t>(invocation.module));
  return module.paths.empty() ? "" : module.paths[0];
}

Lines FileDocstring(const Plan& plan, const Component& component, const std::vector<std::string>& inputs,
                    const std::vector<StateEntry>& state) {
  Lines lines = {"\"\"\"", "Component: " + component.stem,
                 absl::StrCat("Abstraction Level: ", plan::LevelName(component.level))};
  Append(lines, Wrapped("Parent:", ParentText(plan, component)));
  Append(lines, Wrapped("Children:", ChildrenText(plan, component)));
  lines.push_back("");
  Append(lines, OperationLines(plan, component));
  lines.push_back("");
  Append(lines, ShapeSections(plan, component, inputs, state));
  lines.push_back("\"\"\"");
  return lines;
}

Lines ClassDocstring(const Plan& plan, const Component& component) {
  const Node& node = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
  std::string what =
      absl::StrReplaceAll(node.operation.empty() ? component.stem : node.operation, {{"_", " "}});
  what[0] = absl::ascii_toupper(static_cast<unsigned char>(what[0]));
  std::string attribute = node.attribute;
  if (component.id == 0) {
    // A model that is one kernel is described as that kernel is in any other model.
    const program::Module* leaf = LeafOf(plan.program, node);
    if (leaf != nullptr) {
      what = "nn." + leaf->class_name;
      if (!leaf->paths.empty()) attribute = leaf->paths[0];
    }
  } else if (node.form == plan::NodeForm::kModule) {
    const auto& invocation = plan.program.invocations.at(static_cast<size_t>(node.scope));
    const auto& module = plan.program.modules.at(static_cast<size_t>(invocation.module));
    if (!module.is_container) what = (module.is_torch_nn ? "nn." : "") + module.class_name;
  }
  const std::vector<const Component*> parents = ParentsOf(plan, component.id);
  std::string from = "Extracted from: " + (parents.empty() ? "root" : parents[0]->stem);
  if (parents.size() > 1) absl::StrAppend(&from, " and ", parents.size() - 1, " more");
  if (!attribute.empty())
    absl::StrAppend(&from, ", ", component.nodes.size() > 1 ? "first as " : "as ", attribute);
  if (component.instance_count > 1)
    absl::StrAppend(&from, " (", component.instance_count, " runs in one forward)");
  return {"\"\"\"", what + ".", "", from, "\"\"\""};
}

Lines ModelNote(const Plan& plan, const Component& component) {
  const Node& node = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
  Lines lines = {"Component: " + component.stem,
                 absl::StrCat("Abstraction Level: ", plan::LevelName(component.level)), "Parent: root"};
  Append(lines, Wrapped("Children:", ChildrenText(plan, component)));
  lines.push_back("");
  Append(lines, OperationLines(plan, component));
  lines.push_back("");
  std::vector<StateEntry> state;
  for (const program::Value& value : plan.program.values) {
    const bool buffer = value.kind == program::ValueKind::kBuffer && value.persistent;
    if (value.kind != program::ValueKind::kParameter && !buffer) continue;
    for (const std::string& path : value.paths) state.push_back({path, value.id});
  }
  Append(lines, ShapeSections(plan, component, InputNames(plan, node), state));
  for (std::string& line : lines) line = line.empty() ? "#" : "# " + line;
  return lines;
}

}  // namespace strata::emit
