// Rule `duplicates`: one identity, one file. plan/ tells identities, input sizes stay out of them.
#include <map>

#include "absl/strings/str_cat.h"
#include "worker/engine/verify/bundle_check.h"

namespace strata::verify {

void CheckDuplicates(const BundleIndex& index, Report* report) {
  std::map<std::pair<plan::Level, std::string>, const ComponentFile*> first;
  for (const ComponentFile& component : index.files().components) {
    const ExecutedComponent* executed = index.Executed(component);
    const std::string identity = executed == nullptr ? "" : executed->Identity();
    if (identity.empty()) continue;
    const auto [it, is_new] = first.emplace(std::pair(component.level, identity), &component);
    if (is_new) continue;
    const bool kernel = component.level == plan::Level::kKernel;
    report->Add(rules::kDuplicates, component.path,
                absl::StrCat(component.path, " executes what ", it->second->path, " executes",
                             kernel ? ": the same operators, settings, weight shapes and dtypes"
                                    : ", operator by operator"),
                absl::StrCat("remove it and use ", it->second->path, " in both places"));
  }
}

}  // namespace strata::verify
