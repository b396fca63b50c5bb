#pragma once
// The streaming calls, one reactor each. Every function returns a reactor that deletes itself.

#include <functional>
#include <memory>
#include <set>
#include <string>

#include <grpcpp/grpcpp.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/api/executor.h"
#include "server/coordinator/coordinator.h"
#include "strata/v1/strata.pb.h"
#include "strata/v1/worker.pb.h"

namespace strata::api {

// Which uploads a stream is writing to at this moment. Thread-safe.
class OpenUploads {
 public:
  bool Take(const std::string& digest) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return digests_.insert(digest).second;
  }
  void Give(const std::string& digest) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    digests_.erase(digest);
  }

 private:
  absl::Mutex mutex_;
  std::set<std::string> digests_ ABSL_GUARDED_BY(mutex_);
};

grpc::ServerReadReactor<v1::UploadChunk>* ReceiveUpload(Coordinator& coordinator, OpenUploads& uploads,
                                                        v1::Upload* reply);
grpc::ServerReadReactor<v1::PutBlobChunk>* ReceiveBlob(Coordinator& coordinator);

grpc::ServerWriteReactor<v1::Event>* SendEvents(Coordinator& coordinator, Executor& executor,
                                                const v1::WatchDecompositionRequest& request);

// Sends messages until `next` says false.
template <typename Message>
using Producer = std::function<absl::StatusOr<bool>(Message*)>;
grpc::ServerWriteReactor<v1::BundleChunk>* SendBundle(Producer<v1::BundleChunk> next);
grpc::ServerWriteReactor<v1::GetBlobChunk>* SendBlob(Producer<v1::GetBlobChunk> next);

grpc::ServerBidiReactor<v1::WorkerMessage, v1::ServerMessage>* OpenSession(Coordinator& coordinator);

}  // namespace strata::api
