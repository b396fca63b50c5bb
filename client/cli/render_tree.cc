#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "client/cli/json.h"
#include "client/cli/render.h"
#include "client/cli/table.h"

namespace strata::cli {
namespace {

class TreeText {
 public:
  explicit TreeText(const v1::Tree& tree)
      : table_({{"component"}, {"level"}, {"runs", Table::Align::kRight}, {"step"}}) {
    for (const v1::Node& node : tree.nodes()) nodes_[node.id()] = &node;
  }

  // `runs`: of this place in the tree, in one forward of the submitted model.
  void Add(const std::string& id, const std::string& lead, const std::string& lead_below, uint64_t runs) {
    const auto it = nodes_.find(id);
    if (it == nodes_.end()) return;
    const v1::Node& node = *it->second;
    const bool shown_before = node.children_size() > 0 && !shown_.insert(id).second;
    table_.Add({{lead + node.id() + (shown_before ? " (as above)" : "")},
                {ShortEnumName(v1::Level_descriptor()->FindValueByNumber(node.level()), true), Style::kDim},
                {absl::StrCat("×", runs)},
                Verdict(node)});
    if (shown_before) return;
    for (int i = 0; i < node.children_size(); ++i) {
      const bool last = i + 1 == node.children_size();
      Add(node.children(i), lead_below + (last ? "└─ " : "├─ "), lead_below + (last ? "   " : "│  "),
          runs * CallsOf(node, node.children(i)));
    }
  }

  std::string Render(const Terminal& terminal) const { return table_.Render(terminal); }

 private:
  static uint64_t CallsOf(const v1::Node& node, const std::string& child) {
    for (const v1::Call& call : node.calls()) {
      if (call.child() == child) return call.calls();
    }
    return 1;
  }

  static Table::Cell Verdict(const v1::Node& node) {
    if (node.step().empty()) return {""};  // a kernel: verified in the steps that use it
    switch (node.verification()) {
      case v1::TASK_STATE_PASSED:
        return {"PASS", Style::kGood};
      case v1::TASK_STATE_GATE_FAILED:
      case v1::TASK_STATE_FAILED:
        return {"FAIL", Style::kBad};
      default:
        return {ShortEnumName(v1::TaskState_descriptor()->FindValueByNumber(node.verification()), true),
                Style::kDim};
    }
  }

  Table table_;
  std::map<std::string, const v1::Node*> nodes_;
  std::set<std::string> shown_;
};

}  // namespace

std::string RenderTree(const Terminal& terminal, const v1::Tree& tree) {
  TreeText text(tree);
  uint64_t runs = 1;
  std::map<v1::Level, int> files;
  for (const v1::Node& node : tree.nodes()) {
    if (node.id() == tree.root()) runs = std::max<uint64_t>(1, node.instance_count());
    ++files[node.level()];
  }
  text.Add(tree.root(), "", "", runs);
  std::string sum;
  for (auto it = files.rbegin(); it != files.rend(); ++it) {
    const std::string level = ShortEnumName(v1::Level_descriptor()->FindValueByNumber(it->first), true);
    absl::StrAppend(&sum, sum.empty() ? "" : ", ", it->second, " ", level, it->second == 1 ? "" : "s");
  }
  return absl::StrCat(text.Render(terminal),
                      terminal.Paint(Style::kDim, absl::StrCat(tree.total_components(), " files: ", sum)),
                      "\n");
}

}  // namespace strata::cli
