// Rule `chain`: every original.py is a component file, every child too, and the first of them is the source.
#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/verify/bundle_check.h"

namespace strata::verify {
namespace {

using plan::Level;

class Chain {
 public:
  Chain(const BundleIndex& index, Report* report) : index_(index), report_(report) {}

  void Run() {
    for (const StepFolder& step : index_.files().steps) {
      Original(step);
      Children(step);
    }
    for (const ComponentFile& component : index_.files().components) Steps(component);
    Source();
    Reachable();
  }

 private:
  void Add(const std::string& file, int line, const std::string& what, const std::string& advice) {
    report_->Add(rules::kChain, file, line, what, advice);
  }

  void Original(const StepFolder& step) {
    if (!step.original) return;
    const std::string path = step.Path("original.py");
    const ComponentFile* parent = index_.ParentOf(step);
    if (parent == nullptr) {
      Add(path, 0, absl::StrCat(path, " is no component file of this bundle"),
          "copy the parent's component file there, byte for byte");
    } else if (parent->text != *step.original) {
      const int line = FirstDifference(parent->text, *step.original);
      Add(path, line, absl::StrCat(path, " is not ", parent->path, ": line ", line, " differs"),
          absl::StrCat("copy ", parent->path, " there, byte for byte"));
    }
  }

  void Children(const StepFolder& step) {
    for (const auto& [stem, text] : step.children) {
      const std::string path = step.Path(absl::StrCat("children/", stem, ".py"));
      const ComponentFile* component = index_.ChildOf(step, stem);
      if (component == nullptr) {
        Add(path, 0, absl::StrCat(path, " lies in no level folder"),
            "put the component's file into the folder of its level and copy it here");
      } else if (component->text != text) {
        const int line = FirstDifference(component->text, text);
        Add(path, line, absl::StrCat(path, " is not ", component->path, ": line ", line, " differs"),
            absl::StrCat("copy ", component->path, " there, byte for byte"));
      }
    }
    TreeAgrees(step);
  }

  static std::string Stems(const std::set<std::string>& stems) { return absl::StrJoin(stems, ", "); }

  void TreeAgrees(const StepFolder& step) {
    const ComponentFile* parent = index_.ParentOf(step);
    const TreeNode* node = parent == nullptr ? nullptr : index_.NodeOf(*parent);
    if (node == nullptr) return;
    std::set<std::string> here, there;
    for (const auto& [stem, text] : step.children) here.insert(stem);
    for (const std::string& id : node->children) {
      const ComponentFile* child = index_.ComponentOf(id);
      there.insert(child == nullptr ? id : child->stem);
    }
    if (here == there) return;
    Add("steps/" + step.name, 0,
        absl::StrCat("steps/", step.name, "/children holds ", Stems(here), "; the children of ", node->id,
                     " in decomposition_tree.json are ", Stems(there)),
        "let tree and step name the same children");
  }

  void Steps(const ComponentFile& component) {
    const std::vector<const StepFolder*> steps = index_.StepsOf(component);
    if (component.level == Level::kKernel) {
      if (!steps.empty())
        Add("steps/" + steps[0]->name, 0,
            absl::StrCat("steps/", steps[0]->name, " takes a kernel apart: ", component.path),
            "remove the step; a kernel is a leaf");
      return;
    }
    if (steps.size() == 1) return;
    const TreeNode* node = index_.NodeOf(component);
    if (steps.empty() && node != nullptr && node->children.empty()) return;  // a leaf: rule `levels`
    if (steps.empty()) {
      Add(component.path, 0, absl::StrCat(component.path, " has no step: nothing proves what it is made of"),
          "add a step whose original.py is this file");
    } else {
      Add(component.path, 0,
          absl::StrCat(component.path, " has ", steps.size(), " steps: ", steps[0]->name, ", ",
                       steps[1]->name),
          "take it apart once");
    }
  }

  void Source() {
    const ComponentFile* root = index_.root();
    const auto& source = index_.files().source;
    // A submission that is one kernel is compared with ours by composition_test.py; a wrapper by step_0.
    if (root == nullptr || source.empty() || !index_.files().step_0.empty() || root->level == Level::kKernel)
      return;
    if (std::any_of(source.begin(), source.end(),
                    [&](const auto& file) { return absl::StartsWith(root->text, file.second); }))
      return;
    const auto& [name, text] = *source.begin();
    const int line = FirstDifference(root->text, text);
    Add(root->path, line,
        absl::StrCat(root->path, " does not begin with the bytes of source/", name, ": line ", line,
                     " differs"),
        "begin the model's file with the submission, unchanged; what it lacks follows below it");
  }

  void Reachable() {
    if (index_.root() == nullptr) return;
    std::set<const ComponentFile*> seen = {index_.root()};
    std::vector<const ComponentFile*> open = {index_.root()};
    while (!open.empty()) {
      const ComponentFile* component = open.back();
      open.pop_back();
      for (const ComponentFile* child : index_.ChildrenOf(*component)) {
        if (seen.insert(child).second) open.push_back(child);
      }
    }
    for (const ComponentFile& component : index_.files().components) {
      if (!seen.contains(&component))
        Add(component.path, 0,
            absl::StrCat(component.path, " is part of nothing: no step leads to it from ",
                         index_.root()->path),
            "remove the file, or make it a child of the component that it is a part of");
    }
  }

  const BundleIndex& index_;
  Report* report_;
};

}  // namespace

int FirstDifference(std::string_view a, std::string_view b) {
  const auto at = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return 1 + static_cast<int>(std::count(a.begin(), at, '\n'));
}

void CheckChain(const BundleIndex& index, Report* report) { Chain(index, report).Run(); }

}  // namespace strata::verify
