#include <chrono>

#include "absl/strings/str_cat.h"
#include "worker/engine/pipeline/scratch.h"
#include "worker/engine/pipeline/task_run.h"

namespace strata::pipeline {
namespace {

Ending Dispatch(TaskRun& run) {
  switch (run.task().kind) {
    case TaskKind::kPrepare:
      return Prepare(run);
    case TaskKind::kDecompose:
      return Decompose(run);
    case TaskKind::kVerify:
      return Verify(run);
    case TaskKind::kCompose:
      return Compose(run);
    case TaskKind::kCoverage:
      return Coverage(run);
    case TaskKind::kPublish:
      return Publish(run);
    case TaskKind::kJudge:
      return Judge(run);
  }
  return Failure{.message = "unknown task"};
}

// A defect must not take the engine with it: whatever is thrown ends this task only.
Ending Guarded(TaskRun& run) {
  try {
    return Dispatch(run);
  } catch (const std::exception& e) {
    return Failure{.message = absl::StrCat("task ", TaskName(run.task().kind), ": ", e.what(),
                                           "; this is a defect of strata")};
  }
}

}  // namespace

Outcome RunTask(host::Zygote& zygote, verify::Findings& findings, const Task& task, Reporter& reporter) {
  const auto begin = std::chrono::steady_clock::now();
  TaskRun run(zygote, findings, task, reporter, ScratchFolder());
  Outcome outcome;
  outcome.failure = Guarded(run);
  if (outcome.failure && outcome.failure->component.empty()) outcome.failure->component = task.component;
  outcome.files = run.files().written();
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  outcome.peak_memory_bytes = run.peak_memory_bytes();
  return outcome;
}

}  // namespace strata::pipeline
