#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/plan/plan.h"
#include "worker/engine/plan/text.h"

namespace strata::plan {
namespace {

std::string Shapes(const program::Program& program, const std::vector<program::ValueId>& values) {
  std::vector<std::string> shapes;
  for (program::ValueId id : values) {
    const program::TensorType& type = program.value(id).type;
    shapes.push_back(absl::StrCat(ShortName(type.dtype), "[", absl::StrJoin(type.sizes, ","), "]"));
  }
  return absl::StrCat("(", absl::StrJoin(shapes, ", "), ")");
}

std::string Paths(const program::Program& program, const std::vector<program::ValueId>& values) {
  std::vector<std::string> names;
  for (program::ValueId id : values) {
    const program::Value& value = program.value(id);
    names.push_back(value.paths.empty() ? "constant" : value.paths[0]);
  }
  return absl::StrJoin(names, ", ");
}

class Printer {
 public:
  explicit Printer(const Plan& plan) : plan_(plan) {}

  std::string Run() {
    absl::StrAppend(&out_, "plan of ", plan_.program.source_file, ": ", plan_.model_name, "\n");
    Tree(0, 0);
    absl::StrAppend(&out_, "\ncomponents\n");
    for (const Component& component : plan_.components) Components(component);
    absl::StrAppend(&out_, "\nlog\n");
    for (const LogEntry& entry : plan_.log)
      absl::StrAppend(&out_, "  [", entry.step, "] ", entry.type, ": ", entry.title, "\n      ",
                      entry.description, "\n");
    return std::move(out_);
  }

 private:
  // A component's inside is shown at its first occurrence.
  void Tree(NodeId id, size_t depth) {
    const Node& node = plan_.nodes[static_cast<size_t>(id)];
    const Component& component = plan_.components[static_cast<size_t>(node.component)];
    const std::string indent(2 * depth + 2, ' ');
    absl::StrAppend(&out_, indent, node.attribute.empty() ? "" : absl::StrCat(node.attribute, ": "),
                    component.stem, " <", LevelName(node.level), "> ", Shapes(plan_.program, node.inputs),
                    " -> ", Shapes(plan_.program, node.outputs));
    if (!node.held.empty()) absl::StrAppend(&out_, " holds ", Paths(plan_.program, node.held));
    if (!shown_.insert(component.id).second) {
      absl::StrAppend(&out_, node.body.empty() ? "\n" : " (as above)\n");
      return;
    }
    absl::StrAppend(&out_, "\n");
    for (const Item& item : node.body) {
      if (item.is_child) {
        Tree(item.index, depth + 1);
        continue;
      }
      const program::Call& call = plan_.program.call(item.index);
      absl::StrAppend(&out_, indent, "  . ", program::OperatorName(call.op), call.mutated.empty() ? "" : "_",
                      " ", Place(call), "\n");
    }
  }

  void Components(const Component& component) {
    absl::StrAppend(&out_, "  ", LevelFolder(component.level), "/", component.stem, " x",
                    component.instance_count);
    if (component.step > 0) absl::StrAppend(&out_, " ", component.step_name);
    for (size_t k = 0; k < component.children.size(); ++k) {
      absl::StrAppend(&out_, k == 0 ? ": " : ", ",
                      plan_.components[static_cast<size_t>(component.children[k])].stem, " x",
                      component.calls[k]);
    }
    if (component.workloads.size() > 1)
      absl::StrAppend(&out_, " (", component.workloads.size(), " workloads)");
    absl::StrAppend(&out_, "\n      ", plan_.nodes[static_cast<size_t>(component.nodes[0])].reason, "\n");
  }

  const Plan& plan_;
  std::string out_;
  std::set<ComponentId> shown_;
};

}  // namespace

std::string Print(const Plan& plan) { return Printer(plan).Run(); }

}  // namespace strata::plan
