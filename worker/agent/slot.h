#pragma once
// One slot: a thread with a warm engine of its own that carries leases out, one after the other.
//
//   lease → fetch inputs → engine → upload outputs → TaskResult → ack
//
// An engine that dies takes down its task only: the slot says what is known and starts another.

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/agent/blob_cache.h"
#include "worker/agent/blob_client.h"
#include "worker/agent/engine_process.h"
#include "worker/agent/lease_book.h"
#include "worker/agent/session.h"
#include "worker/agent/task_folder.h"

namespace strata::agent {

class Slot {
 public:
  struct Parts {  // all outlive the slot
    LeaseBook* book;
    Session* session;
    BlobCache* cache;
    BlobClient* blobs;
  };

  Slot(EngineOptions engine, std::string work_dir)
      : options_(std::move(engine)), work_dir_(std::move(work_dir)) {}

  // Starts the engine. Call on the thread that will Run().
  absl::StatusOr<engine::v1::Hello> Warm();

  // Returns when the book was stopped.
  void Run(const Parts& parts);

 private:
  using Clock = std::chrono::steady_clock;

  void CarryOut(const v1::Lease& lease);
  // The whole way from lease to result, without telling anybody.
  v1::TaskResult Work(const v1::Lease& lease, TaskFolder& folder, Clock::time_point deadline);
  TaskEnd RunEngine(const v1::Lease& lease, const TaskFolder& folder, Clock::time_point deadline);
  // Adds the task's files to the result and sends the server those it lacks.
  absl::Status Upload(const v1::Lease& lease, const TaskFolder& folder, v1::TaskResult* result);
  absl::Status PutBlobs(const v1::Lease& lease, const TaskFolder& folder, const v1::TaskResult& result,
                        const std::vector<std::string>& digests);
  Patience PatienceFor(const v1::Lease& lease, Clock::time_point deadline) const;
  void KeepWarm();

  const EngineOptions options_;
  const std::string work_dir_;
  Parts parts_{};
  std::unique_ptr<EngineProcess> engine_;
  Clock::time_point next_start_;  // of an engine, after one failed
  std::chrono::seconds start_pause_{1};
};

}  // namespace strata::agent
