// All kernels, chained, against the submitted model.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/pipeline/task_run.h"
#include "worker/engine/verify/runs.h"

namespace strata::pipeline {
namespace {

constexpr char kScript[] = "verification/composition_test.py";

// The script finds the kernels and the model beside itself, so it runs in a bundle of its own: what the
// task was given plus what it wrote.
absl::StatusOr<TempDir> Assemble(TaskRun& run, const std::string& script) {
  absl::StatusOr<TempDir> scratch = verify::MakeScratch(run.context());
  if (!scratch.ok()) return scratch.status();
  for (const std::string& path : run.files().List("")) {
    if (!absl::StartsWith(path, "level_") && !absl::StartsWith(path, "source/")) continue;
    absl::StatusOr<std::string> content = run.files().Read(path);
    if (!content.ok()) return content.status();
    const std::string target = JoinPath(scratch->path(), path);
    if (absl::Status s = MakeDirs(DirName(target)); !s.ok()) return s;
    if (absl::Status s = WriteFile(target, *content); !s.ok()) return s;
  }
  verify::Subfolder(*scratch, "verification");
  if (absl::Status s = WriteFile(JoinPath(scratch->path(), kScript), script); !s.ok()) return s;
  return scratch;
}

Failure NotPassed(TaskRun& run, const plan::Plan& plan, const verify::CompositionVerdict& verdict) {
  Failure failure{.kind = FailureKind::kGate, .message = absl::StrCat("composition: ", verdict.reason)};
  if (verdict.failure.status != host::RunStatus::kOk) {
    run.Report(verdict.failure);
    failure = FromRunner(verdict.failure, kScript, /*theirs=*/false);
  }
  failure.component = plan.components[0].stem;
  if (failure.file.empty()) failure.file = kScript;
  return failure;
}

}  // namespace

Ending Compose(TaskRun& run) {
  absl::StatusOr<plan::Plan> plan = run.Plan();
  if (!plan.ok()) return FromStatus(plan.status());
  emit::Spellings spellings;
  for (const plan::Component& component : plan->components) {
    absl::StatusOr<emit::Spelling> spelling = run.ReadSpelling(component);
    if (!spelling.ok()) return FromStatus(spelling.status());
    spellings.emplace(component.id, *std::move(spelling));
  }
  absl::StatusOr<std::string> script = emit::CompositionText(*plan, spellings);
  if (!script.ok()) return FromStatus(script.status());
  if (absl::Status s = run.files().Write(kScript, *script); !s.ok()) return FromStatus(s);
  absl::StatusOr<TempDir> bundle = Assemble(run, *script);
  if (!bundle.ok()) return FromStatus(bundle.status());

  absl::StatusOr<verify::CompositionVerdict> verdict =
      verify::VerifyComposition(run.context(), bundle->path(), JoinPath(bundle->path(), run.ModelPath(*plan)),
                                emit::CompositionWeightMap(*plan, spellings));
  if (!verdict.ok()) return FromStatus(verdict.status());
  const absl::Status written = run.files().WriteJson(
      ".strata/composition.json",
      {{"status", verdict->pass ? "PASS" : "FAIL"},
       {"max_difference", verdict->details["numerical_comparison"]["max_diff_across_trials"]},
       {"bit_exact", verdict->bit_exact},
       {"script_exit_code", verdict->script_exit_code},
       {"reason", verdict->reason},
       {"details", verdict->details}});
  if (!written.ok()) return FromStatus(written);
  run.Progress(absl::StrFormat("composition: %s, max_diff %g", verdict->pass ? "PASS" : "FAIL",
                               verdict->max_difference));
  if (verdict->pass) return std::nullopt;
  return NotPassed(run, *plan, *verdict);
}

}  // namespace strata::pipeline
