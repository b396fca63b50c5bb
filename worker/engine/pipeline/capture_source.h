#pragma once
// The submission, read and captured.

#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/pipeline/task_run.h"
#include "worker/engine/program/program.h"

namespace strata::pipeline {

// InvalidArgument where it is empty or larger than kMaxSourceBytes.
absl::StatusOr<std::string> ReadSource(TaskRun& run);

// The Program of one forward, or why there is none.
struct Captured {
  Ending failure;
  program::Program program;
};

// Two captures with different inputs, in two runners, made one: what the second does not share is marked.
// An output that is no tree of tensors, or holds NaN or Inf, is the submission's fault.
Captured CaptureTwice(TaskRun& run);

}  // namespace strata::pipeline
