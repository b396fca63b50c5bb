// Operators of the submitted model against those of the kernels.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/engine/pipeline/task_run.h"

namespace strata::pipeline {

Ending Coverage(TaskRun& run) {
  absl::StatusOr<plan::Plan> plan = run.Plan();
  if (!plan.ok()) return FromStatus(plan.status());
  absl::StatusOr<nlohmann::ordered_json> tree = run.files().ReadJson("decomposition_tree.json");
  if (!tree.ok()) return FromStatus(tree.status());
  absl::StatusOr<nlohmann::ordered_json> summary = verify::CoverageSummary(
      run.context(), run.task().input_dir, run.files().InputPath(run.ModelPath(*plan)), *tree);
  if (!summary.ok()) return FromStatus(summary.status());
  if (absl::Status s = run.files().WriteJson("verification/coverage_summary.json", *summary); !s.ok()) {
    return FromStatus(s);
  }
  const nlohmann::ordered_json& numbers = (*summary)["coverage"];
  run.Progress(absl::StrFormat("coverage: %.1f %% of %d operators, %d missing, %d extra",
                               numbers["coverage_pct"].get<double>(),
                               numbers["total_original_ops"].get<int64_t>(),
                               numbers["missing_op_types"].size(), numbers["extra_op_types"].size()));
  if (verify::IsFullCoverage(*summary)) return std::nullopt;
  return Failure{.kind = FailureKind::kGate,
                 .message = absl::StrCat("coverage: missing ", numbers["missing_op_types"].dump(), ", extra ",
                                         numbers["extra_op_types"].dump()),
                 .component = plan->components[0].stem,
                 .file = "verification/coverage_summary.json"};
}

}  // namespace strata::pipeline
