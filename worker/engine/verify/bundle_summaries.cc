// Rule `results` for verification/: coverage_summary, step_verification_summary and test_results.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "worker/engine/verify/bundle_compare.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;

ordered_json Number(const std::optional<double>& number) {
  return number ? ordered_json(*number) : ordered_json(nullptr);
}

ordered_json PassOrFail(bool pass) { return pass ? "PASS" : "FAIL"; }

// A step passes when its numbers, its rules and its coverage do.
void CompareSteps(const BundleIndex& index, Report* report) {
  const ordered_json& stated = index.files().step_summary.value;
  if (!stated.is_object()) return;
  StatedFile file(index.files().step_summary.path, IsSamePlace(index), report);
  std::map<std::string, const ordered_json*> entries;
  for (const ordered_json& entry : At(stated, "steps"))
    entries.emplace(TextOf(At(entry, "step_name")), &entry);
  int64_t judged = 0, passed = 0;
  for (const StepFolder& step : index.files().steps) {
    const auto it = entries.find(step.name);
    if (it == entries.end()) {
      file.Differs(absl::StrCat("steps lacks ", step.name));
    } else if (const ClaimFacts* claim = index.FactsOf(step)) {
      const ordered_json& entry = *it->second;
      const double atol = 1e-5;
      file.Status(step.name + ": verification_status", At(entry, "verification_status"),
                  PassOrFail(claim->pass));
      file.Status(step.name + ": anticheat_status", At(entry, "anticheat_status"),
                  AtPath(claim->verification_result, "anticheat.status"));
      if (entry.contains("max_diff"))
        file.Difference(step.name + ": max_diff", At(entry, "max_diff"), Number(claim->max_diff), atol);
      if (index.is_own())
        file.Equal(step.name + ": coverage_pct", At(entry, "coverage_pct"),
                   AtPath(claim->coverage_report, "coverage.coverage_pct"));
    }
    if (it != entries.end()) entries.erase(it);
    if (const ClaimFacts* claim = index.FactsOf(step)) {
      ++judged;
      passed += claim->pass;
    }
  }
  for (const auto& [name, entry] : entries)
    file.Differs(absl::StrCat("steps has ", name.substr(0, 80), ", which is no folder below steps/"));
  const auto all = static_cast<int64_t>(index.files().steps.size());
  file.Equal("total_steps", At(stated, "total_steps"), all);
  if (judged != all) return;
  file.Equal("passed", At(stated, "passed"), passed);
  file.Equal("failed", At(stated, "failed"), all - passed);
  file.Equal("skipped", At(stated, "skipped"), 0);
  file.Status("status", At(stated, "status"), PassOrFail(passed == all));
}

void CompareTests(const BundleIndex& index, Report* report) {
  const ordered_json& stated = index.files().test_results.value;
  if (!stated.is_object()) return;
  StatedFile file(index.files().test_results.path, IsSamePlace(index), report);
  std::map<std::string, const ordered_json*> entries;
  for (const ordered_json& entry : At(stated, "component_results"))
    entries.emplace(TextOf(At(entry, "file")), &entry);
  int64_t ran = 0, passed = 0;
  for (const ComponentFile& component : index.files().components) {
    const ComponentFacts* known = index.FactsOf(component);
    const auto it = entries.find(component.path);
    if (it == entries.end()) {
      file.Differs(absl::StrCat("component_results lacks ", component.path));
    } else {
      if (known != nullptr && known->ran)
        file.Status(component.path + ": status", At(*it->second, "status"), PassOrFail(known->passed));
      entries.erase(it);
    }
    ran += known != nullptr && known->ran;
    passed += known != nullptr && known->ran && known->passed;
  }
  for (const auto& [path, entry] : entries)
    file.Differs(absl::StrCat("component_results has ", path.substr(0, 80), ", which is no component file"));
  const auto all = static_cast<int64_t>(index.files().components.size());
  file.Equal("total_components", At(stated, "total_components"), all);
  if (ran == all) {
    file.Equal("passed", At(stated, "passed"), passed);
    file.Equal("failed", At(stated, "failed"), all - passed);
  }
  const ClaimFacts& composition = index.facts().composition;
  if (!composition.judged) return;
  file.Status("composition_test", At(stated, "composition_test"), PassOrFail(composition.pass));
  if (stated.contains("max_difference"))
    file.Difference("max_difference", At(stated, "max_difference"), Number(composition.max_diff), 1e-4);
  const ordered_json& details = At(stated, "composition");
  if (index.is_own() && details.is_object() && composition.verification_result.is_object())
    CompareVerdict(index.files().test_results, details, composition.verification_result, "composition.", true,
                   report);
}

void CompareKernels(const BundleIndex& index, const ordered_json& own, Report* report) {
  StatedFile file(index.files().coverage_summary.path, index.is_own(), report);
  std::map<std::string, const ordered_json*> entries;
  for (const ordered_json& entry : At(index.files().coverage_summary.value, "kernels"))
    entries.emplace(TextOf(At(entry, "file")), &entry);
  for (const ordered_json& kernel : At(own, "kernels")) {
    const std::string path = TextOf(At(kernel, "file"));
    const auto it = entries.find(path);
    if (it == entries.end()) {
      file.Differs(absl::StrCat("kernels lacks ", path));
      continue;
    }
    for (const char* name : {"op_types", "instance_count"})
      file.Equal(absl::StrCat("kernels, ", path, ": ", name), At(*it->second, name), At(kernel, name));
    entries.erase(it);
  }
  for (const auto& [path, entry] : entries)
    file.Differs(absl::StrCat("kernels has ", path.substr(0, 80), ", which is no kernel file"));
}

}  // namespace

void CheckSummaries(const BundleIndex& index, Report* report) {
  CompareSteps(index, report);
  CompareTests(index, report);
  const JsonFile& summary = index.files().coverage_summary;
  const ordered_json own = RecomputedCoverage(index);
  if (!summary.value.is_object() || own.is_null()) return;
  CompareCoverage(summary, own, index.is_own(), report);
  if (At(summary.value, "kernels").is_array() && index.is_own()) CompareKernels(index, own, report);
}

}  // namespace strata::verify
