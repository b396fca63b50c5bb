#include "worker/agent/slot.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/status.h"
#include "worker/agent/result.h"

namespace strata::agent {
namespace {

constexpr auto kIdlePatience = std::chrono::milliseconds(500);
constexpr auto kDefaultDeadline = std::chrono::hours(1);
// How long outputs may take to reach a server that is away. The server's own lease decides long before.
constexpr auto kUploadPatience = std::chrono::minutes(30);
constexpr auto kLongestStartPause = std::chrono::seconds(30);

}  // namespace

absl::StatusOr<engine::v1::Hello> Slot::Warm() {
  if (engine_ != nullptr && engine_->alive()) return engine_->hello();
  engine_.reset();
  auto engine = EngineProcess::Start(options_);
  if (!engine.ok()) {
    next_start_ = Clock::now() + start_pause_;
    start_pause_ = std::min(start_pause_ * 2, kLongestStartPause);
    return engine.status();
  }
  start_pause_ = std::chrono::seconds(1);
  engine_ = *std::move(engine);
  spdlog::info("engine started pid={} engine_version={} torch_version={}", engine_->pid(),
               engine_->hello().engine_version(), engine_->hello().torch_version());
  return engine_->hello();
}

void Slot::KeepWarm() {
  if ((engine_ != nullptr && engine_->alive()) || Clock::now() < next_start_) return;
  const auto hello = Warm();
  if (!hello.ok()) spdlog::error("engine does not start: {}", std::string(hello.status().message()));
}

void Slot::Run(const Parts& parts) {
  parts_ = parts;
  while (!parts_.book->stopped()) {
    KeepWarm();
    if (auto lease = parts_.book->Take(kIdlePatience); lease.has_value()) CarryOut(*lease);
  }
  engine_.reset();
}

void Slot::CarryOut(const v1::Lease& lease) {
  const auto started = Clock::now();
  const auto limit = std::chrono::seconds(lease.deadline_seconds());
  auto folder = TaskFolder::Create(work_dir_);
  v1::TaskResult result =
      folder.ok() ? Work(lease, *folder,
                         started + (limit.count() > 0 ? limit : std::chrono::seconds(kDefaultDeadline)))
                  : MakeOurFailure(lease, std::string(folder.status().message()));
  result.set_seconds(std::chrono::duration<double>(Clock::now() - started).count());
  spdlog::info("task ended lease={} task={} status={} seconds={:.2f} outputs={} message=\"{}\"",
               lease.lease_id(), lease.task_id(), v1::ResultStatus_Name(result.status()), result.seconds(),
               result.outputs_size(), result.failure().message());
  if (parts_.book->revoked(lease.lease_id())) {
    // Nobody waits for it. Said once, because it frees the slot sooner than the lease's end.
    result.set_status(v1::RESULT_STATUS_CANCELED);
    result.clear_outputs();
    v1::WorkerMessage message;
    *message.mutable_result() = std::move(result);
    parts_.session->Send(std::move(message));
    parts_.book->Forget(lease.lease_id());
    return;
  }
  for (;;) {
    std::vector<std::string> missing;
    const auto outcome = parts_.book->Report(
        result, [this] { parts_.session->Wake(); }, &missing);
    if (outcome != LeaseBook::Outcome::kMissingBlobs) {
      if (outcome == LeaseBook::Outcome::kForgotten)
        spdlog::warn("result refused as late lease={}", lease.lease_id());
      return;
    }
    const absl::Status put = PutBlobs(lease, *folder, result, missing);
    if (!put.ok()) result = MakeOurFailure(lease, std::string(put.message()));
  }
}

Patience Slot::PatienceFor(const v1::Lease& lease, Clock::time_point deadline) const {
  return {.deadline = deadline, .go_on = [book = parts_.book, id = lease.lease_id()] {
            return !book->stopped() && !book->revoked(id);
          }};
}

v1::TaskResult Slot::Work(const v1::Lease& lease, TaskFolder& folder, Clock::time_point deadline) {
  const Patience patience = PatienceFor(lease, deadline);
  const absl::Status laid_out = folder.LayOut(lease.inputs(), *parts_.cache,
                                              [&](const std::string& digest, const BlobCache::Sink& sink) {
                                                return parts_.blobs->Get(digest, sink, patience);
                                              });
  if (!laid_out.ok() && parts_.book->stopped())
    return MakeResult(lease, {.kind = TaskEnd::Kind::kCancelled}, true);
  if (!laid_out.ok())
    return MakeOurFailure(lease, absl::StrCat("cannot fetch an input: ", laid_out.message()));
  if (const auto hello = Warm(); !hello.ok())
    return MakeOurFailure(lease, std::string(hello.status().message()));

  const TaskEnd end = RunEngine(lease, folder, deadline);
  v1::TaskResult result = MakeResult(lease, end, parts_.book->stopped());
  if (result.status() == v1::RESULT_STATUS_PASSED || result.status() == v1::RESULT_STATUS_GATE_FAILED ||
      result.status() == v1::RESULT_STATUS_FAILED) {
    const absl::Status uploaded = Upload(lease, folder, &result);
    if (!uploaded.ok() && parts_.book->stopped())
      return MakeResult(lease, {.kind = TaskEnd::Kind::kCancelled}, true);
    if (!uploaded.ok())
      return MakeOurFailure(lease, absl::StrCat("cannot hand over a result: ", uploaded.message()));
  }
  return result;
}

TaskEnd Slot::RunEngine(const v1::Lease& lease, const TaskFolder& folder, Clock::time_point deadline) {
  TaskEnd end{.kind = TaskEnd::Kind::kCancelled};
  if (!parts_.book->SetCanceller(lease.lease_id(), [engine = engine_.get()] { engine->Cancel(); }))
    return end;
  TaskEvents events;
  events.progress = [&](const std::string& line) {
    v1::WorkerMessage message;
    message.mutable_progress()->set_lease_id(lease.lease_id());
    message.mutable_progress()->set_text(line);
    parts_.session->Send(std::move(message));
  };
  events.output = [&](const engine::v1::Output& output) {
    v1::WorkerMessage message;
    *message.mutable_output() = MakeOutput(lease, output);
    parts_.session->Send(std::move(message));
  };
  end = engine_->Run(MakeTask(lease, folder.in(), folder.out()), deadline, events);
  parts_.book->ClearCanceller(lease.lease_id());
  engine_->ForgetCancel();
  return end;
}

absl::Status Slot::Upload(const v1::Lease& lease, const TaskFolder& folder, v1::TaskResult* result) {
  STRATA_ASSIGN_OR_RETURN(const std::vector<v1::File> outputs, folder.Outputs());
  std::vector<std::string> digests;
  for (const v1::File& file : outputs) {
    *result->add_outputs() = file;
    digests.push_back(file.digest());
    parts_.cache->Keep(file.digest(), JoinPath(folder.out(), file.path()));
  }
  const Patience patience = PatienceFor(lease, Clock::now() + kUploadPatience);
  STRATA_ASSIGN_OR_RETURN(const std::vector<std::string> missing,
                          parts_.blobs->FindMissing(digests, patience));
  return PutBlobs(lease, folder, *result, missing);
}

absl::Status Slot::PutBlobs(const v1::Lease& lease, const TaskFolder& folder, const v1::TaskResult& result,
                            const std::vector<std::string>& digests) {
  std::map<std::string, const v1::File*> files;
  for (const v1::File& file : result.outputs()) files[file.digest()] = &file;
  for (const std::string& digest : digests) {
    const auto it = files.find(digest);
    if (it == files.end())
      return absl::InternalError(absl::StrCat("the server asks for ", digest, ", which is no output"));
    STRATA_RETURN_IF_ERROR(Annotate(parts_.blobs->Put(digest, static_cast<int64_t>(it->second->size_bytes()),
                                                      JoinPath(folder.out(), it->second->path()),
                                                      PatienceFor(lease, Clock::now() + kUploadPatience)),
                                    it->second->path()));
  }
  return absl::OkStatus();
}

}  // namespace strata::agent
