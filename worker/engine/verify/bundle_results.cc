// Rule `results` for the files of a step: verification_result.json and coverage_report.json.
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/verify/bundle_compare.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;

// The seeds that every judge draws; further trials are its own.
bool IsCommonSeed(int64_t seed) { return seed >= 42 && seed <= 44; }

// seed and workload -> trial; of the common seeds.
std::map<std::pair<int64_t, int64_t>, const ordered_json*> Trials(const ordered_json& result) {
  std::map<std::pair<int64_t, int64_t>, const ordered_json*> trials;
  for (const ordered_json& trial : AtPath(result, "numerical_comparison.trials")) {
    const int64_t seed = WholeOf(At(trial, "seed"));
    if (IsCommonSeed(seed)) trials.emplace(std::pair(seed, WholeOf(At(trial, "workload"))), &trial);
  }
  return trials;
}

ordered_json LargestOf(const ordered_json& result) {
  ordered_json largest = 0.0;
  for (const auto& [key, trial] : Trials(result)) {
    const ordered_json& diff = At(*trial, "max_diff");
    if (!diff.is_number()) return nullptr;
    if (diff.get<double>() > largest.get<double>()) largest = diff;
  }
  return largest;
}

class StepResults {
 public:
  StepResults(const BundleIndex& index, const StepFolder& step, const ClaimFacts& claim, Report* report)
      : index_(index), step_(step), claim_(claim), report_(report) {}

  void Run() {
    if (step_.verification_result.value.is_object() && claim_.verification_result.is_object()) Verification();
    if (step_.coverage_report.value.is_object() && claim_.coverage_report.is_object()) Coverage();
  }

 private:
  void Verification() {
    const ordered_json &stated = step_.verification_result.value, &own = claim_.verification_result;
    StatedFile file(step_.verification_result.path, index_.is_own() && IsSamePlace(stated, own), report_);
    for (const char* name :
         {"status", "anticheat.status", "weight_transfer.status", "numerical_comparison.status"}) {
      file.Status(name, AtPath(stated, name), AtPath(own, name));
    }
    for (const char* list :
         {"violations", "source_violations", "parameter_violations", "executed_violations"}) {
      const std::string name = absl::StrCat("anticheat.", list);
      const ordered_json &a = AtPath(stated, name), &b = AtPath(own, name);
      if (a.is_array() && b.is_array() && a.empty() != b.empty()) file.Differs(name, a, b);
    }
    for (const char* name :
         {"numerical_comparison.rtol", "numerical_comparison.atol", "numerical_comparison.input_dtype"}) {
      file.Equal(name, AtPath(stated, name), AtPath(own, name));
    }
    if (index_.is_own()) {
      for (const char* name : {"original_file", "refactored_file", "weight_transfer.mapped_count",
                               "weight_transfer.unmapped_original", "weight_transfer.unmapped_refactored",
                               "weight_transfer.weight_map"}) {
        file.Equal(name, AtPath(stated, name), AtPath(own, name));
      }
    }
    Numbers(stated, own, &file);
  }

  void Numbers(const ordered_json& stated, const ordered_json& own, StatedFile* file) {
    const ordered_json& numbers = AtPath(own, "numerical_comparison");
    if (!At(numbers, "trials").is_array()) return;
    const double atol = At(numbers, "atol").is_number() ? At(numbers, "atol").get<double>() : 0;
    const auto theirs = Trials(stated);
    for (const auto& [key, trial] : Trials(own)) {
      const auto it = theirs.find(key);
      const std::string name = absl::StrCat("the trial of seed ", key.first);
      if (it == theirs.end()) {
        file->Differs(absl::StrCat(name, " is missing"));
        continue;
      }
      Trial(name, *it->second, *trial, atol, file);
    }
    file->Difference("numerical_comparison.max_diff_across_trials",
                     AtPath(stated, "numerical_comparison.max_diff_across_trials"),
                     LargestStated(stated, own), atol);
    if (file->exact()) {
      file->Equal("numerical_comparison.bit_exact", AtPath(stated, "numerical_comparison.bit_exact"),
                  At(numbers, "bit_exact"));
    }
    const ordered_json &count = AtPath(stated, "numerical_comparison.num_trials"),
                       &list = AtPath(stated, "numerical_comparison.trials");
    if (count.is_number_integer() && list.is_array() && count != list.size())
      file->Differs("numerical_comparison.num_trials", count, list.size());
  }

  // Either judge may have drawn trials besides; the largest of the common ones is common.
  static ordered_json LargestStated(const ordered_json& stated, const ordered_json& own) {
    const ordered_json all = AtPath(own, "numerical_comparison.max_diff_across_trials");
    return AtPath(stated, "numerical_comparison.max_diff_across_trials") == all ? all : LargestOf(own);
  }

  static void Trial(const std::string& name, const ordered_json& stated, const ordered_json& own, double atol,
                    StatedFile* file) {
    file->Difference(name + ": max_diff", At(stated, "max_diff"), At(own, "max_diff"), atol);
    file->Equal(name + ": pass", At(stated, "pass"), At(own, "pass"));
    const ordered_json &a = At(stated, "output_details"), &b = At(own, "output_details");
    if (!a.is_array() || !b.is_array()) return;
    if (a.size() != b.size()) return file->Differs(name + ": number of outputs", a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      const std::string output = absl::StrCat(name, ", output ", i, ": ");
      file->Equal(output + "shape", At(a[i], "shape"), At(b[i], "shape"));
      file->Equal(output + "dtype", At(a[i], "dtype"), At(b[i], "dtype"));
      file->Equal(output + "matches", At(a[i], "matches"), At(b[i], "matches"));
      file->Difference(output + "max_diff", At(a[i], "max_diff"), At(b[i], "max_diff"), atol);
      if (file->exact()) file->Equal(output + "mean_diff", At(a[i], "mean_diff"), At(b[i], "mean_diff"));
    }
  }

  void Coverage() {
    CompareCoverage(step_.coverage_report, claim_.coverage_report, index_.is_own(), report_);
  }

  const BundleIndex& index_;
  const StepFolder& step_;
  const ClaimFacts& claim_;
  Report* report_;
};

void CompareDetails(const ordered_json& stated, const ordered_json& own, StatedFile* file) {
  std::map<std::string, const ordered_json*> theirs;
  for (const ordered_json& detail : AtPath(stated, "coverage.op_details"))
    theirs.emplace(TextOf(At(detail, "op_type")), &detail);
  for (const ordered_json& detail : AtPath(own, "coverage.op_details")) {
    const std::string op = TextOf(At(detail, "op_type"));
    const auto it = theirs.find(op);
    if (it == theirs.end()) {
      file->Differs(absl::StrCat("coverage.op_details lacks ", op));
      continue;
    }
    for (const char* name : {"original_count", "decomposed_count", "status", "kernel_files"})
      file->Equal(absl::StrCat("coverage.op_details, ", op, ": ", name), At(*it->second, name),
                  At(detail, name));
    theirs.erase(it);
  }
  for (const auto& [op, detail] : theirs)
    file->Differs(
        absl::StrCat("coverage.op_details has ", op.substr(0, 60), ", which neither side executes"));
}

}  // namespace

void CompareCoverage(const JsonFile& stated, const ordered_json& own, bool is_own, Report* report) {
  StatedFile file(stated.path, is_own, report);
  // Counted by another method its numbers are about other things, but full coverage is the same claim.
  if (TextOf(At(stated.value, "extraction_method")) != TextOf(At(own, "extraction_method"))) {
    if (is_own)
      file.Equal("extraction_method", At(stated.value, "extraction_method"), At(own, "extraction_method"));
    if (TextOf(At(stated.value, "status")) == "FULL_COVERAGE")
      file.Status("status", At(stated.value, "status"), At(own, "status"));
    return;
  }
  file.Status("status", At(stated.value, "status"), At(own, "status"));
  for (const char* name :
       {"model_file", "coverage.total_original_ops", "coverage.total_decomposed_ops",
        "coverage.covered_op_count", "coverage.coverage_pct", "coverage.missing_op_types",
        "coverage.extra_op_types", "plumbing", "unique_op_types_original", "unique_op_types_kernels"}) {
    file.Equal(name, AtPath(stated.value, name), AtPath(own, name));
  }
  CompareDetails(stated.value, own, &file);
}

void CheckStepResults(const BundleIndex& index, Report* report) {
  for (const StepFolder& step : index.files().steps) {
    if (const ClaimFacts* claim = index.FactsOf(step)) StepResults(index, step, *claim, report).Run();
  }
}

}  // namespace strata::verify
