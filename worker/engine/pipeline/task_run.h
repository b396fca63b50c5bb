#pragma once
// What every task function gets: its folders, its runners, and the words for what went wrong.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/emit/emit.h"
#include "worker/engine/pipeline/task.h"
#include "worker/engine/pipeline/workspace.h"
#include "worker/engine/plan/plan.h"
#include "worker/engine/verify/verify.h"

namespace strata::pipeline {

class TaskRun {
 public:
  TaskRun(host::Zygote& zygote, verify::Findings& findings, const Task& task, Reporter& reporter,
          std::string scratch_dir);

  const Task& task() const { return task_; }
  Workspace& files() { return files_; }
  // Its zygote passes runs on and keeps the largest peak memory.
  const verify::Context& context() const { return context_; }
  void Progress(std::string_view line) { reporter_.Progress(line); }
  // What user code printed, and its traceback.
  void Report(const host::RunOutcome& outcome);
  int64_t peak_memory_bytes() const;

  std::string source_name() const;  // "mlp.py"
  absl::StatusOr<std::string> Source() const { return files_.Read(task_.source); }
  // From .strata/program.bin.
  absl::StatusOr<plan::Plan> Plan() const;
  // Id of the component that the task names.
  absl::StatusOr<plan::ComponentId> Component(const plan::Plan& plan) const;
  // The file that stands for the submission: source/ where the model is one kernel.
  std::string ModelPath(const plan::Plan& plan) const;

  // .strata/respelled.STEM.json: which calls of the component are exact ATen calls in its file, and which
  // values are said by their elements. It follows from the component alone, so that every step with this
  // child writes the same file.
  static std::string RespelledPath(const plan::Component& component);
  // None where it does not exist.
  absl::StatusOr<emit::Spelling> ReadSpelling(const plan::Component& component) const;

  // .strata/log/NAME.json
  absl::Status WriteLog(const std::string& name, const std::vector<plan::LogEntry>& entries);

 private:
  class Meter;
  const Task& task_;
  Reporter& reporter_;
  Workspace files_;
  std::shared_ptr<Meter> meter_;
  verify::Context context_;
};

// InvalidArgument and FailedPrecondition are the submission's fault, ResourceExhausted and
// DeadlineExceeded a limit's, the rest ours.
Failure FromStatus(const absl::Status& status);
// A runner that did not finish. `running` names what it ran ("the model"); `theirs`: the submission's
// own code, else text that we emitted (then what raises is a gate's failure).
Failure FromRunner(const host::RunOutcome& outcome, const std::string& running, bool theirs);

// Distinct input shapes that a component's get_inputs() knows; at least 1.
int WorkloadCount(const plan::Component& component);

// The tasks. Each is in its own file.
Ending Prepare(TaskRun& run);
Ending Decompose(TaskRun& run);
Ending Verify(TaskRun& run);
Ending Compose(TaskRun& run);
Ending Coverage(TaskRun& run);
Ending Publish(TaskRun& run);
Ending Judge(TaskRun& run);

}  // namespace strata::pipeline
