#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/component_doc.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/emit/input_names.h"

namespace strata::emit {
namespace {

using plan::Component;
using plan::Node;
using plan::Plan;
using program::ValueId;

std::string TypeText(const Plan& plan, ValueId id) {
  const program::TensorType& type = plan.program.value(id).type;
  return absl::StrCat("[", absl::StrJoin(type.sizes, ", "), "] ", program::ShortName(type.dtype));
}

std::string TypesText(const Plan& plan, const std::vector<ValueId>& ids) {
  std::vector<std::string> texts;
  for (const ValueId id : ids) texts.push_back(TypeText(plan, id));
  return texts.empty() ? "nothing" : absl::StrJoin(texts, ", ");
}

// "- self.blocks: nn.ModuleList" per module, by nesting; siblings of one class and settings on one line.
class Hierarchy {
 public:
  explicit Hierarchy(const program::Program& program) : program_(program) {}

  void Append(program::ModuleId id, const std::string& name, size_t depth, std::string* out) const {
    const program::Module& module = program_.modules.at(static_cast<size_t>(id));
    absl::StrAppend(out, std::string(depth * 2, ' '), "- ", name, Class(module), "\n");
    for (size_t i = 0; i < module.children.size();) {
      size_t end = i + 1;
      while (end < module.children.size() && module.is_container &&
             Shape(module.children[i].second) == Shape(module.children[end].second)) {
        ++end;
      }
      const std::string label = end - i == 1 ? module.children[i].first
                                             : absl::StrCat(module.children[i].first, " to ",
                                                            module.children[end - 1].first, ", each");
      Append(module.children[i].second, label + ": ", depth + 1, out);
      i = end;
    }
    for (const auto& [key, value] : module.parameters) State(module, key, value, "parameter", depth + 1, out);
    for (const auto& [key, value] : module.buffers) State(module, key, value, "buffer", depth + 1, out);
  }

 private:
  static std::string Class(const program::Module& module) {
    if (!module.is_torch_nn) return module.class_name;
    std::vector<std::string> settings;
    for (const program::Setting& setting : module.settings) {
      if (!setting.is_default) settings.push_back(absl::StrCat(setting.name, "=", setting.value));
    }
    return absl::StrCat("nn.", module.class_name, "(", absl::StrJoin(settings, ", "), ")");
  }

  // What two modules must share to be shown as one line.
  std::string Shape(program::ModuleId id) const {
    const program::Module& module = program_.modules.at(static_cast<size_t>(id));
    std::string text = absl::StrCat(Class(module), "{");
    for (const auto& [name, child] : module.children) absl::StrAppend(&text, name, ":", Shape(child), ";");
    for (const auto& [name, value] : module.parameters) {
      absl::StrAppend(&text, name, absl::StrJoin(program_.value(value).type.sizes, "x"), ";");
    }
    return text + "}";
  }

  void State(const program::Module& module, const std::string& key, ValueId id, const char* kind,
             size_t depth, std::string* out) const {
    if (module.is_torch_nn) return;  // its settings say it
    const program::Value& value = program_.value(id);
    absl::StrAppend(out, std::string(depth * 2, ' '), "- ", key, ": ", kind, " [",
                    absl::StrJoin(value.type.sizes, ", "), "] ", program::ShortName(value.type.dtype), "\n");
  }

  const program::Program& program_;
};

std::string DataFlow(const Plan& plan, const Component& component) {
  const Node& node = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
  const std::vector<std::string> names = InputNames(plan, node);
  std::string out = absl::StrCat("### ", component.stem, "\n\n```\n");
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    absl::StrAppend(&out, "input ", names[i], ": ", TypeText(plan, node.inputs[i]), "\n");
  }
  // A model that is one kernel has no parts.
  if (component.children.empty()) {
    absl::StrAppend(&out, "-> ", component.stem, ": ", TypesText(plan, node.inputs), " -> ",
                    TypesText(plan, node.outputs), "\n");
  }
  for (const plan::Item& item : node.body) {
    if (item.is_child) {
      const Node& child = plan.nodes.at(static_cast<size_t>(item.index));
      absl::StrAppend(&out, "-> ", child.attribute, " (",
                      plan.components.at(static_cast<size_t>(child.component)).stem,
                      "): ", TypesText(plan, child.inputs), " -> ", TypesText(plan, child.outputs), "\n");
      continue;
    }
    const program::Call& call = plan.program.call(item.index);
    std::vector<ValueId> made;
    for (const ValueId id : call.results) {
      if (id != program::kNoId) made.push_back(id);
    }
    absl::StrAppend(&out, "   ", program::OperatorName(call.op), " -> ", TypesText(plan, made), "\n");
  }
  absl::StrAppend(&out, "output: ", TypesText(plan, node.outputs), "\n```\n\n");
  return out;
}

// Which of the submitted inputs each child of the model takes, directly or through plumbing.
std::string InputsReach(const Plan& plan) {
  const Node& root = plan.nodes.at(0);
  const std::vector<std::string> names = InputNames(plan, root);
  std::map<ValueId, std::set<size_t>> from;  // positions among the inputs
  for (size_t i = 0; i < root.inputs.size(); ++i) from[root.inputs[i]] = {i};
  std::string out;
  if (plan.components.at(0).children.empty()) {
    for (const std::string& name : names)
      absl::StrAppend(&out, "- `", name, "` reaches `", plan.components[0].stem, "`, the whole model\n");
  }
  for (const plan::Item& item : root.body) {
    if (!item.is_child) {
      const program::Call& call = plan.program.call(item.index);
      std::set<size_t> reached;
      for (const ValueId read : program::Reads(call)) reached.insert(from[read].begin(), from[read].end());
      for (const ValueId made : call.results) from[made] = reached;
      continue;
    }
    const Node& child = plan.nodes.at(static_cast<size_t>(item.index));
    std::set<size_t> reached;
    for (const ValueId id : child.inputs) reached.insert(from[id].begin(), from[id].end());
    for (const size_t i : reached)
      absl::StrAppend(&out, "- `", names[i], "` reaches `", child.attribute, "`\n");
  }
  return out.empty() ? "- no child takes a submitted tensor\n" : out;
}

std::string TiedWeights(const Plan& plan) {
  std::string out;
  for (const program::Value& value : plan.program.values) {
    if (value.kind == program::ValueKind::kParameter && value.paths.size() > 1) {
      absl::StrAppend(&out, "- `", absl::StrJoin(value.paths, "` = `"), "`, one parameter ",
                      TypeText(plan, value.id), "\n");
    }
  }
  return out.empty() ? "- none\n" : out;
}

std::string Configuration(const Plan& plan) {
  const program::Program& program = plan.program;
  int64_t parameters = 0;
  for (const program::Value& value : program.values) {
    if (value.kind != program::ValueKind::kParameter) continue;
    int64_t elements = 1;
    for (const int64_t size : value.type.sizes) elements *= size;
    parameters += elements;
  }
  std::string out =
      absl::StrCat("- source: `source/", program.source_file, "`\n- recorded on ", program.device,
                   " with torch ", program.torch_version, "\n- parameters: ", parameters, "\n");
  const std::vector<std::string> names = InputNames(plan, plan.nodes.at(0));
  for (size_t i = 0; i < plan.nodes[0].inputs.size(); ++i) {
    absl::StrAppend(&out, "- input `", names[i], "`: ", TypeText(plan, plan.nodes[0].inputs[i]), "\n");
  }
  return absl::StrCat(out, "- output: ", TypesText(plan, plan.nodes[0].outputs), "\n");
}

}  // namespace

std::string AnalysisText(const Plan& plan) {
  std::string out = absl::StrCat("# Decomposition of ", plan.model_name, "\n\n## Resolved configuration\n\n",
                                 Configuration(plan), "\n## Module hierarchy\n\n");
  Hierarchy(plan.program).Append(0, "", 0, &out);
  absl::StrAppend(
      &out, "\n## Components and their levels\n\n| component | level | runs | why |\n|---|---|---|---|\n");
  for (const Component& component : plan.components) {
    const Node& node = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
    absl::StrAppend(&out, "| `", component.stem, "` | ", plan::LevelName(component.level), " | ",
                    component.instance_count, " | ", node.reason, " |\n");
  }
  absl::StrAppend(
      &out, "\n## Data flow\n\nChildren are marked `->`; the other lines are plumbing of the parent.\n\n");
  for (const Component& component : plan.components) {
    if (component.id == 0 || !component.children.empty()) absl::StrAppend(&out, DataFlow(plan, component));
  }
  absl::StrAppend(&out, "## Which inputs reach which children\n\n", InputsReach(plan),
                  "\n## Tied weights\n\n", TiedWeights(plan));
  if (!plan.program.notes.empty()) {
    absl::StrAppend(&out, "\n## Observations\n\n");
    for (const std::string& note : plan.program.notes) absl::StrAppend(&out, "- ", note, "\n");
  }
  return out;
}

}  // namespace strata::emit
