#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "worker/engine/verify/judge.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::vector<std::string> ChildStems(const std::string& children_dir) {
  std::vector<std::string> stems;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(children_dir, error)) {
    const fs::path& path = entry.path();
    if (path.extension() == ".py" && path.stem() != "__init__") stems.push_back(path.stem().string());
  }
  std::sort(stems.begin(), stems.end());
  return stems;
}

// What one child executes alone, by the shapes of its arguments.
struct ChildAlone {
  std::map<std::string, std::vector<std::pair<std::string, int64_t>>> counted_at;
  host::RunOutcome failure{.status = host::RunStatus::kOk};
};

absl::StatusOr<ChildAlone> RunAlone(const Context& context, const std::string& file, int workloads) {
  ChildAlone alone;
  for (int workload = 0; workload < workloads; ++workload) {
    absl::StatusOr<Counted> run = CountAlone(context, file, workload);
    if (!run.ok()) return run.status();
    if (run->outcome.status != host::RunStatus::kOk) {
      alone.failure = run->outcome;
      return alone;
    }
    alone.counted_at.emplace(run->executed.shapes, run->executed.counted);
  }
  return alone;
}

struct StepCoverage {
  ordered_json report;
  host::RunOutcome failure{.status = host::RunStatus::kOk};
  std::string failed_file, unmatched;
};

// original.py stands for the model, refactored.py for the composition, the children (× calls) for kernels.
// A child that ran at shapes its own get_inputs() never draws covers nothing there.
absl::StatusOr<StepCoverage> Cover(const Context& context, const Judgement& judgement,
                                   const std::string& step_dir, const std::string& name,
                                   const StepOptions& options) {
  const std::string children_dir = step_dir + "/children";
  const ChildScopes scopes(judgement.refactored, children_dir);
  StepCoverage coverage;
  CoverageInput input{.timestamp = Timestamp(),
                      .model_file = name + "/original.py",
                      .original = CountOperators(judgement.original),
                      .parent_arithmetic = ArithmeticOutside(
                          judgement.refactored, [&](program::InvocationId id) { return scopes.Inside(id); }),
                      .files = {}};
  for (const std::string& stem : ChildStems(children_dir)) {
    const auto known = options.child_workloads.find(stem);
    const int workloads = known == options.child_workloads.end() ? 1 : known->second;
    absl::StatusOr<ChildAlone> alone =
        RunAlone(context, absl::StrCat(children_dir, "/", stem, ".py"), workloads);
    if (!alone.ok()) return alone.status();
    if (alone->failure.status != host::RunStatus::kOk) {
      coverage.failure = alone->failure;
      coverage.failed_file = absl::StrCat(name, "/children/", stem, ".py");
      return coverage;
    }
    CoveringFile file{.path = absl::StrCat(name, "/children/", stem, ".py"), .executed = {}};
    for (const ChildScopes::ChildRun& run : scopes.runs()) {
      if (run.stem != stem) continue;
      file.runs++;
      const std::string shapes = ArgumentShapes(
          judgement.refactored, judgement.refactored.invocations[static_cast<size_t>(run.invocation)]);
      const auto counts = alone->counted_at.find(shapes);
      if (counts == alone->counted_at.end()) {
        coverage.unmatched =
            absl::StrCat(file.path, " runs at ", shapes, ", which its get_inputs() never draws");
        continue;
      }
      for (const auto& [op, count] : counts->second) file.executed[op] += count;
    }
    input.files.push_back(std::move(file));
  }
  coverage.report = CoverageJson(input, /*summary=*/false);
  if (!coverage.unmatched.empty()) coverage.report["note"] = coverage.unmatched;
  return coverage;
}

std::string CoverageReason(const StepCoverage& coverage) {
  if (!coverage.unmatched.empty()) return coverage.unmatched;
  const ordered_json& numbers = coverage.report["coverage"];
  return absl::StrCat("coverage: missing ", numbers["missing_op_types"].dump(), ", extra ",
                      numbers["extra_op_types"].dump());
}

}  // namespace

absl::StatusOr<StepVerdict> VerifyStep(const Context& context, const std::string& step_dir,
                                       const StepOptions& options) {
  const std::string name = "steps/" + fs::path(step_dir).lexically_normal().filename().string();
  const std::string map = step_dir + "/weight_map.json";
  absl::StatusOr<Judgement> judgement = Judge(context, {.original_file = step_dir + "/original.py",
                                                        .refactored_file = step_dir + "/refactored.py",
                                                        .original_name = name + "/original.py",
                                                        .refactored_name = name + "/refactored.py",
                                                        .children_dir = step_dir + "/children",
                                                        .weight_map_path = fs::exists(map) ? map : "",
                                                        .workloads = std::max(1, options.workloads),
                                                        .purpose = Purpose::kStep,
                                                        .allow_inf = !options.is_submission});
  if (!judgement.ok()) return judgement.status();

  StepVerdict verdict;
  verdict.verification_result = std::move(judgement->result);
  verdict.failure = judgement->failure;
  verdict.reason = judgement->reason;
  if (judgement->failure.status != host::RunStatus::kOk) return verdict;

  absl::StatusOr<StepCoverage> coverage = Cover(context, *judgement, step_dir, name, options);
  if (!coverage.ok()) return coverage.status();
  verdict.coverage_report = coverage->report;
  verdict.failure = coverage->failure;
  if (coverage->failure.status != host::RunStatus::kOk) {
    verdict.reason = absl::StrCat(coverage->failed_file, ": ", Describe(coverage->failure));
    return verdict;
  }
  const bool covered = coverage->unmatched.empty() && IsFullCoverage(coverage->report);
  verdict.pass = judgement->pass && covered;
  if (verdict.reason.empty() && !covered) verdict.reason = CoverageReason(*coverage);
  return verdict;
}

}  // namespace strata::verify
