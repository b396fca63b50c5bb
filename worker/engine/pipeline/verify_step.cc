// One step → its verdict and coverage, and each of its children's files run alone.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/pipeline/task_run.h"

namespace strata::pipeline {
namespace {

using plan::Component;
using plan::Plan;

// The first child that does not run alone, as a failure of the gate.
Ending RunChildrenAlone(TaskRun& run, const Plan& plan, const Component& component) {
  Ending first;
  for (const plan::ComponentId id : component.children) {
    const std::string& stem = plan.components[static_cast<size_t>(id)].stem;
    const std::string path = emit::ComponentPath(plan, id);
    const verify::FileVerdict verdict = verify::VerifyFile(run.context(), run.files().InputPath(path), false);
    const absl::Status written = run.files().WriteJson(
        absl::StrCat(".strata/tests/", stem, ".json"),
        {{"file", path}, {"status", verdict.pass ? "PASS" : "FAIL"}, {"message", verdict.message}});
    if (!written.ok()) return FromStatus(written);
    if (verdict.pass || first) continue;
    run.Report(verdict.outcome);
    first = Failure{.kind = FailureKind::kGate,
                    .message = absl::StrCat(path, " does not run alone: ", verdict.message),
                    .component = stem,
                    .file = path,
                    .line = verdict.outcome.line,
                    .traceback = verdict.outcome.traceback};
  }
  return first;
}

Failure NotPassed(TaskRun& run, const Component& component, const verify::StepVerdict& verdict) {
  Failure failure{.kind = FailureKind::kGate, .message = verdict.reason};
  if (verdict.failure.status != host::RunStatus::kOk) {
    run.Report(verdict.failure);
    failure = FromRunner(verdict.failure, component.step_name, /*theirs=*/false);
    if (failure.kind == FailureKind::kGate) failure.message = verdict.reason;
  }
  failure.component = component.stem;
  if (failure.file.empty()) failure.file = absl::StrCat("steps/", component.step_name, "/refactored.py");
  return failure;
}

std::string Summary(const Component& component, const verify::StepVerdict& verdict) {
  const auto& max = verdict.verification_result["numerical_comparison"]["max_diff_across_trials"];
  const auto& coverage = verdict.coverage_report["coverage"]["coverage_pct"];
  return absl::StrFormat("%s: %s, max_diff %s, coverage %.1f %%", component.step_name,
                         verdict.pass ? "PASS" : "FAIL",
                         max.is_number() ? absl::StrFormat("%g", max.get<double>()) : "none",
                         coverage.is_number() ? coverage.get<double>() : 0.0);
}

}  // namespace

Ending Verify(TaskRun& run) {
  absl::StatusOr<Plan> plan = run.Plan();
  if (!plan.ok()) return FromStatus(plan.status());
  absl::StatusOr<plan::ComponentId> id = run.Component(*plan);
  if (!id.ok()) return FromStatus(id.status());
  const Component& component = plan->components[static_cast<size_t>(*id)];
  const std::string step = absl::StrCat("steps/", component.step_name);

  verify::StepOptions options{
      .workloads = WorkloadCount(component), .is_submission = *id == 0, .child_workloads = {}};
  for (const plan::ComponentId child : component.children) {
    const Component& c = plan->components[static_cast<size_t>(child)];
    options.child_workloads[c.stem] = WorkloadCount(c);
  }
  absl::StatusOr<verify::StepVerdict> verdict =
      verify::VerifyStep(run.context(), run.files().InputPath(step), options);
  if (!verdict.ok()) return FromStatus(verdict.status());
  if (absl::Status s =
          run.files().WriteJson(step + "/verification_result.json", verdict->verification_result);
      !s.ok()) {
    return FromStatus(s);
  }
  if (!verdict->coverage_report.is_null()) {
    if (absl::Status s = run.files().WriteJson(step + "/coverage_report.json", verdict->coverage_report);
        !s.ok()) {
      return FromStatus(s);
    }
    run.Progress(Summary(component, *verdict));
  }
  Ending alone = RunChildrenAlone(run, *plan, component);
  if (!verdict->pass) return NotPassed(run, component, *verdict);
  return alone;
}

}  // namespace strata::pipeline
