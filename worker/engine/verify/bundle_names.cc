// Rule `names`. Our own names are spelled again by plan/ and have to be equal; those of others must not
// contradict what was executed.
#include "worker/engine/verify/bundle_names.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using plan::KernelName;
using plan::Level;

KernelName ParameterName(const ExecutedComponent& executed) {
  const program::TensorType& type = executed.recorded().value(executed.returned_parameter()).type;
  return {.operation = "parameter",
          .dims = plan::Dims(type.sizes),
          .settings = {},
          .dtypes = program::ShortName(type.dtype)};
}

KernelName NameAs(const ExecutedComponent& executed, const std::string& operation) {
  plan::Node node = executed.WholeAs(Level::kKernel);
  if (!operation.empty()) node.operation = operation;
  return plan::NameKernel(executed.flow(), node);
}

class Names {
 public:
  Names(const BundleIndex& index, Report* report) : index_(index), report_(report) {}

  void Run() {
    for (const ComponentFile& component : index_.files().components) {
      const ExecutedComponent* executed = index_.Executed(component);
      if (component.level != Level::kKernel || executed == nullptr) continue;
      std::set<std::string> stems;
      for (const KernelName& name : Candidates(component, *executed)) stems.insert(name.Stem());
      for (const std::string& stem : stems) ++spelled_[stem];
    }
    for (const ComponentFile& component : index_.files().components) {
      Importable(component);
      if (component.level != Level::kKernel) continue;
      Stated(component);
      if (index_.is_own()) Exact(component);
    }
    if (!index_.is_own()) return;
    Unique();
    Planned();
  }

 private:
  void Add(const ComponentFile& component, const std::string& what, const std::string& advice) {
    report_->Add(rules::kNames, component.path, absl::StrCat(component.path, " ", what), advice);
  }

  void Importable(const ComponentFile& component) {
    const std::string& stem = component.stem;
    const bool word =
        std::all_of(stem.begin(), stem.end(), [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
    if (&component != index_.root() && (!word || absl::ascii_isdigit(stem[0])))
      Add(component, "cannot be imported by that name", "use letters, digits and underscores");
  }

  // Fusions and layers are named after classes and operators of the submitted model: only that says how.
  void Planned() {
    const ExecutedComponent* model = index_.root() == nullptr ? nullptr : index_.Executed(*index_.root());
    if (model == nullptr || !model->ok()) return;
    const std::set<std::string> stems = model->PlannedStems();
    for (const ComponentFile& component : index_.files().components) {
      if (component.level == Level::kKernel || &component == index_.root() || stems.contains(component.stem))
        continue;
      Add(component,
          absl::StrCat("is no ", plan::LevelName(component.level), " of that name in ", index_.root()->path),
          "name it after its class, or its operators and what tells two apart");
    }
  }

  void Stated(const ComponentFile& component) {
    const StatedName name = ReadName(component.stem);
    const ExecutedComponent* executed = index_.Executed(component);
    if (name.numbered) {
      Add(component, "ends in the number of a copy", "keep one file for one workload and import it often");
    } else if (IsGeneric(name, executed)) {
      Add(component,
          SaysDims(name) ? "has a name without dtype" : "has a generic name: it does not state its workload",
          "name it OPERATION_SHAPES_DTYPE, as linear_768x3072_fp32.py");
    }
    if (executed == nullptr || index_.is_own()) return;
    for (const std::string& contradiction : Contradictions(name, *executed, index_.facts().respelled))
      Add(component, contradiction, "name what the file executes");
  }

  // The spelling by what was executed; of a formula also by the operation that the tree gives it, because the
  // function or module that named it may be gone from the file.
  std::vector<KernelName> Candidates(const ComponentFile& component,
                                     const ExecutedComponent& executed) const {
    if (!executed.ok()) {
      if (executed.returned_parameter() == program::kNoId) return {};
      return {ParameterName(executed)};
    }
    std::vector<KernelName> names;
    if (executed.level() == Level::kKernel) names.push_back(NameAs(executed, ""));
    const TreeNode* node = index_.NodeOf(component);
    const std::string operation = node == nullptr ? "" : TextOf(At(*node->json, "operation"));
    if (executed.program().calls.size() > 1 && !operation.empty())
      names.push_back(NameAs(executed, plan::Identifier(operation, "kernel")));
    return names;
  }

  // Where two identities share a name, what differs between them stands before the dtype.
  bool Matches(const std::string& stem, const KernelName& name) const {
    const std::string spelled = name.Stem(), dtypes = "_" + name.dtypes;
    if (stem == spelled) return true;
    const auto it = spelled_.find(spelled);
    if (it == spelled_.end() || it->second < 2) return false;
    const std::string base = spelled.substr(0, spelled.size() - std::min(spelled.size(), dtypes.size()));
    return absl::StartsWith(stem, base + "_") &&
           (absl::EndsWith(stem, dtypes) || absl::StartsWith(stem, spelled + "_"));
  }

  void Exact(const ComponentFile& component) {
    const ExecutedComponent* executed = index_.Executed(component);
    if (executed == nullptr) return;
    const std::vector<KernelName> names = Candidates(component, *executed);
    const auto matches = [&](const KernelName& name) { return Matches(component.stem, name); };
    if (names.empty() || std::any_of(names.begin(), names.end(), matches)) return;
    Add(component, absl::StrCat("executes ", names[0].Stem()),
        absl::StrCat("name it ", names[0].Stem(), ".py"));
  }

  void Unique() {
    std::map<std::string, const ComponentFile*> seen;
    for (const ComponentFile& component : index_.files().components) {
      const auto [it, is_new] = seen.emplace(component.stem, &component);
      if (!is_new)
        Add(component, absl::StrCat("has the name of ", it->second->path),
            "a stem is an id: let no two files share one");
    }
  }

  const BundleIndex& index_;
  Report* report_;
  std::map<std::string, int> spelled_;  // name by what was executed -> files
};

}  // namespace

void CheckNames(const BundleIndex& index, Report* report) { Names(index, report).Run(); }

}  // namespace strata::verify
