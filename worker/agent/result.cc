#include "worker/agent/result.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace strata::agent {
namespace {

constexpr size_t kTracebackBytes = 64 << 10;
constexpr size_t kMessageBytes = 16 << 10;

std::string Capped(const std::string& text, size_t bytes) { return text.substr(0, bytes); }

v1::Failure FromEngine(const engine::v1::Failure& failure) {
  v1::Failure result;
  result.set_kind(static_cast<v1::FailureKind>(failure.kind()));  // same numbers
  result.set_message(Capped(failure.message(), kMessageBytes));
  result.set_component(failure.component());
  result.set_file(failure.file());
  result.set_line(failure.line());
  result.set_traceback(Capped(failure.traceback(), kTracebackBytes));
  return result;
}

void FromFinished(const engine::v1::Finished& finished, v1::TaskResult* result) {
  switch (finished.status()) {
    case engine::v1::TASK_STATUS_PASSED:
      result->set_status(v1::RESULT_STATUS_PASSED);
      break;
    case engine::v1::TASK_STATUS_GATE_FAILED:
      result->set_status(v1::RESULT_STATUS_GATE_FAILED);
      break;
    default:
      result->set_status(v1::RESULT_STATUS_FAILED);
  }
  if (result->status() != v1::RESULT_STATUS_PASSED)
    *result->mutable_failure() = FromEngine(finished.failure());
  result->set_seconds(finished.seconds());
  result->set_peak_memory_bytes(finished.peak_memory_bytes());
}

}  // namespace

engine::v1::Task MakeTask(const v1::Lease& lease, const std::string& in, const std::string& out) {
  engine::v1::Task task;
  task.set_task_id(lease.lease_id());
  task.set_kind(static_cast<engine::v1::TaskKind>(lease.kind()));  // same numbers
  task.set_component(lease.component());
  task.set_source(lease.source());
  task.set_input_dir(in);
  task.set_output_dir(out);
  task.set_device(lease.device());
  task.set_threads(lease.threads());
  task.mutable_limits()->set_wall_seconds(lease.limits().wall_seconds());
  task.mutable_limits()->set_memory_bytes(lease.limits().memory_bytes());
  task.mutable_limits()->set_output_bytes(lease.limits().output_bytes());
  task.mutable_limits()->set_file_bytes(lease.limits().file_bytes());
  return task;
}

v1::TaskResult MakeResult(const v1::Lease& lease, const TaskEnd& end, bool stopped) {
  v1::TaskResult result;
  result.set_lease_id(lease.lease_id());
  v1::Failure* failure = nullptr;
  switch (end.kind) {
    case TaskEnd::Kind::kFinished:
      FromFinished(end.finished, &result);
      return result;
    case TaskEnd::Kind::kCancelled:
      result.set_status(stopped ? v1::RESULT_STATUS_RETURNED : v1::RESULT_STATUS_CANCELED);
      return result;
    case TaskEnd::Kind::kDied:
      result.set_status(v1::RESULT_STATUS_ENGINE_DIED);
      failure = result.mutable_failure();
      failure->set_kind(v1::FAILURE_KIND_OURS);
      failure->set_message(Capped(
          absl::StrCat("the engine that worked on ", lease.task_id(), " ", end.detail), kMessageBytes));
      break;
    case TaskEnd::Kind::kTimedOut:
      result.set_status(v1::RESULT_STATUS_FAILED);
      failure = result.mutable_failure();
      failure->set_kind(v1::FAILURE_KIND_LIMITS);
      failure->set_message(absl::StrCat("task ", lease.task_id(), " took longer than its ",
                                        lease.deadline_seconds(),
                                        " s and was killed; make the model smaller or ask for more time"));
      break;
  }
  failure->set_component(lease.component());
  return result;
}

v1::TaskResult MakeOurFailure(const v1::Lease& lease, const std::string& message) {
  v1::TaskResult result;
  result.set_lease_id(lease.lease_id());
  result.set_status(v1::RESULT_STATUS_FAILED);
  result.set_retryable(true);
  result.mutable_failure()->set_kind(v1::FAILURE_KIND_OURS);
  result.mutable_failure()->set_message(Capped(message, kMessageBytes));
  return result;
}

v1::TaskOutput MakeOutput(const v1::Lease& lease, const engine::v1::Output& output) {
  constexpr size_t kOutputBytes = size_t{1} << 20;
  v1::TaskOutput message;
  message.set_lease_id(lease.lease_id());
  message.set_stream(static_cast<v1::Stream>(output.stream()));  // same numbers
  message.set_data(output.data().substr(0, kOutputBytes));
  return message;
}

}  // namespace strata::agent
