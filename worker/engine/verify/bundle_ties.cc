// Rule `ties`: weights that are one tensor in the original are one in what stands for it, and no others are.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/weight_transfer.h"

namespace strata::verify {
namespace {

using program::Program;

// state_dict key -> which tensor it is.
std::map<std::string, size_t> TensorOf(const std::vector<std::vector<std::string>>& groups) {
  std::map<std::string, size_t> tensor;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const std::string& key : groups[i]) tensor[key] = i;
  }
  return tensor;
}

void CheckClaim(const Program& original, const ClaimFacts& claim, const std::string& file, Report* report) {
  if (original.invocations.empty() || claim.refactored.invocations.empty()) return;
  const std::map<std::string, size_t> tensor_of = TensorOf(StateDictKeys(claim.refactored));
  std::map<size_t, std::pair<size_t, std::string>> taken;  // refactored tensor -> original tensor, its key
  const auto groups = StateDictKeys(original);
  for (size_t i = 0; i < groups.size(); ++i) {
    std::map<size_t, std::string> reached;
    for (const std::string& key : groups[i]) {
      const auto mapped = claim.weight_map.find(key);
      const std::vector<std::string> itself = {key};
      for (const std::string& target : mapped == claim.weight_map.end() ? itself : mapped->second) {
        const auto tensor = tensor_of.find(target);
        if (tensor != tensor_of.end()) reached.emplace(tensor->second, key);
      }
    }
    // One key with several targets is a copy that weight_map.json asks for, no tie.
    const auto other = std::find_if(reached.begin(), reached.end(), [&](const auto& entry) {
      return entry.second != reached.begin()->second;
    });
    if (other != reached.end())
      report->Add(rules::kTies, file,
                  absl::StrCat(reached.begin()->second, " and ", other->second,
                               " are one tensor in the original and two in ", file),
                  "tie them in __init__: self.head.linear.weight = self.embed.embedding.weight");
    for (const auto& [tensor, key] : reached) {
      const auto [it, is_new] = taken.emplace(tensor, std::pair(i, key));
      if (is_new || it->second.first == i) continue;
      report->Add(
          rules::kTies, file,
          absl::StrCat(it->second.second, " and ", key, " are two tensors in the original and one in ", file),
          "give each its own instance of the child, and weight_map.json a target for each");
    }
  }
}

}  // namespace

void CheckTies(const BundleIndex& index, Report* report) {
  const auto program_of = [&](const ComponentFile* component) -> const Program* {
    const ComponentFacts* known = component == nullptr ? nullptr : index.FactsOf(*component);
    return known == nullptr || known->programs.empty() ? nullptr : &known->programs[0];
  };
  for (const StepFolder& step : index.files().steps) {
    const ClaimFacts* claim = index.FactsOf(step);
    const Program* original = program_of(index.ParentOf(step));
    if (claim != nullptr && original != nullptr)
      CheckClaim(*original, *claim, step.Path("refactored.py"), report);
  }
  const ClaimFacts& composition = index.facts().composition;
  const Program* source =
      index.facts().source.invocations.empty() ? program_of(index.root()) : &index.facts().source;
  if (composition.judged && source != nullptr)
    CheckClaim(*source, composition, "verification/composition_test.py", report);
}

}  // namespace strata::verify
