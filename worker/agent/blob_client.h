#pragma once
// Contents to and from the server, over the channel the session uses.
//
// Every call waits for the connection and tries again while it is broken, until `go_on` says no (Cancelled)
// or `deadline` is over (DeadlineExceeded). Other errors come through at once.
//
// Threading: all methods from any thread; they block.

#include <grpcpp/channel.h>
#include <cstdint>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "strata/v1/worker.grpc.pb.h"
#include "worker/agent/blob_cache.h"

namespace strata::agent {

struct Patience {
  std::chrono::steady_clock::time_point deadline;
  std::function<bool()> go_on = [] { return true; };
};

class BlobClient {
 public:
  explicit BlobClient(std::shared_ptr<grpc::Channel> channel)
      : channel_(channel), stub_(v1::Worker::NewStub(channel)) {}

  // An attempt that broke in the middle goes on where it broke.
  absl::Status Get(const std::string& digest, const BlobCache::Sink& sink, const Patience& patience);
  absl::StatusOr<std::vector<std::string>> FindMissing(const std::vector<std::string>& digests,
                                                       const Patience& patience);
  absl::Status Put(const std::string& digest, int64_t size_bytes, const std::string& path,
                   const Patience& patience);

 private:
  // Calls `attempt` until it succeeds, fails for good, or patience ends.
  absl::Status Repeat(const Patience& patience,
                      const std::function<grpc::Status(grpc::ClientContext*)>& attempt);

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Worker::Stub> stub_;
};

absl::Status FromGrpc(const grpc::Status& status);

}  // namespace strata::agent
