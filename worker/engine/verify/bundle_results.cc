// Rule `results` for the files of a step: verification_result.json and coverage_report.json.
#include <initializer_list>
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

// One verdict as a file states it, and as recomputed.
class StatedVerdict {
 public:
  StatedVerdict(const ordered_json& stated, const ordered_json& own, std::string prefix, bool is_own,
                StatedFile* file)
      : stated_(stated), own_(own), prefix_(std::move(prefix)), is_own_(is_own), file_(*file) {}

  void Run() {
    for (const char* name :
         {"status", "anticheat.status", "weight_transfer.status", "numerical_comparison.status"}) {
      file_.Status(prefix_ + name, AtPath(stated_, name), AtPath(own_, name));
    }
    for (const char* list :
         {"violations", "source_violations", "parameter_violations", "executed_violations"}) {
      const std::string name = absl::StrCat("anticheat.", list);
      const ordered_json &a = AtPath(stated_, name), &b = AtPath(own_, name);
      if (a.is_array() && b.is_array() && a.empty() != b.empty()) file_.Differs(prefix_ + name, a, b);
    }
    Equal({"numerical_comparison.rtol", "numerical_comparison.atol", "numerical_comparison.input_dtype"});
    if (is_own_) {
      Equal({"original_file", "refactored_file", "weight_transfer.mapped_count",
             "weight_transfer.unmapped_original", "weight_transfer.unmapped_refactored",
             "weight_transfer.weight_map"});
    }
    Numbers();
  }

 private:
  void Equal(std::initializer_list<const char*> names) {
    for (const char* name : names) file_.Equal(prefix_ + name, AtPath(stated_, name), AtPath(own_, name));
  }

  void Numbers() {
    const ordered_json& numbers = AtPath(own_, "numerical_comparison");
    if (AtPath(stated_, "numerical_comparison").is_null()) return;  // rule `layout`
    if (!At(numbers, "trials").is_array()) return;
    const double atol = At(numbers, "atol").is_number() ? At(numbers, "atol").get<double>() : 0;
    const auto theirs = Trials(stated_);
    for (const auto& [key, trial] : Trials(own_)) {
      const auto it = theirs.find(key);
      const std::string name = absl::StrCat(prefix_, "the trial of seed ", key.first);
      if (it == theirs.end()) {
        file_.Differs(absl::StrCat(name, " is missing"));
        continue;
      }
      Trial(name, *it->second, *trial, atol);
    }
    file_.Difference(prefix_ + "numerical_comparison.max_diff_across_trials",
                     AtPath(stated_, "numerical_comparison.max_diff_across_trials"), LargestStated(), atol);
    if (file_.exact()) Equal({"numerical_comparison.bit_exact"});
    const ordered_json &count = AtPath(stated_, "numerical_comparison.num_trials"),
                       &list = AtPath(stated_, "numerical_comparison.trials");
    if (count.is_number_integer() && list.is_array() && count != list.size())
      file_.Differs(prefix_ + "numerical_comparison.num_trials", count, list.size());
  }

  // Either judge may have drawn trials besides; the largest of the common ones is common.
  ordered_json LargestStated() const {
    const ordered_json all = AtPath(own_, "numerical_comparison.max_diff_across_trials");
    return AtPath(stated_, "numerical_comparison.max_diff_across_trials") == all ? all : LargestOf(own_);
  }

  void Trial(const std::string& name, const ordered_json& stated, const ordered_json& own, double atol) {
    file_.Difference(name + ": max_diff", At(stated, "max_diff"), At(own, "max_diff"), atol);
    file_.Equal(name + ": pass", At(stated, "pass"), At(own, "pass"));
    if (is_own_) {
      for (const char* field : {"trial", "weights", "inputs"})
        file_.Equal(absl::StrCat(name, ": ", field), At(stated, field), At(own, field));
    }
    const ordered_json &a = At(stated, "output_details"), &b = At(own, "output_details");
    if (!a.is_array() || !b.is_array()) return;
    if (a.size() != b.size()) return file_.Differs(name + ": number of outputs", a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) Output(absl::StrCat(name, ", output ", i, ": "), a[i], b[i], atol);
  }

  void Output(const std::string& name, const ordered_json& stated, const ordered_json& own, double atol) {
    for (const char* field : {"shape", "dtype", "matches"})
      file_.Equal(name + field, At(stated, field), At(own, field));
    if (is_own_) file_.Equal(name + "output_idx", At(stated, "output_idx"), At(own, "output_idx"));
    file_.Difference(name + "max_diff", At(stated, "max_diff"), At(own, "max_diff"), atol);
    if (!file_.exact()) return;
    for (const char* field : {"mean_diff", "max_ulp", "bit_exact"})
      file_.Equal(name + field, At(stated, field), At(own, field));
  }

  const ordered_json &stated_, &own_;
  const std::string prefix_;
  const bool is_own_;
  StatedFile& file_;
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

void CompareVerdict(const JsonFile& in, const ordered_json& stated, const ordered_json& own,
                    const std::string& prefix, bool is_own, Report* report) {
  StatedFile file(in.path, is_own && IsSamePlace(stated, own), report);
  StatedVerdict(stated, own, prefix, is_own, &file).Run();
}

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
    const ClaimFacts* claim = index.FactsOf(step);
    if (claim == nullptr) continue;
    const JsonFile& result = step.verification_result;
    if (result.value.is_object() && claim->verification_result.is_object())
      CompareVerdict(result, result.value, claim->verification_result, "", index.is_own(), report);
    if (step.coverage_report.value.is_object() && claim->coverage_report.is_object())
      CompareCoverage(step.coverage_report, claim->coverage_report, index.is_own(), report);
  }
  const JsonFile& stated = index.files().wrapper_result;
  const ClaimFacts& wrapper = index.facts().wrapper;
  if (wrapper.judged && stated.value.is_object())
    CompareVerdict(stated, stated.value, wrapper.verification_result, "", index.is_own(), report);
}

}  // namespace strata::verify
