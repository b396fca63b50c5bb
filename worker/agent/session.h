#pragma once
// The agent's one stream to the server: registers, heartbeats, hands leases to the book and results to the
// server; dials again when it breaks, as often as it takes.
//
// Threading: Run blocks on its own thread; everything else from any thread.

#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "strata/v1/worker.grpc.pb.h"
#include "worker/agent/lease_book.h"

namespace strata::agent {

class Session {
 public:
  // `identity`: everything of Register but lease_ids. The book outlives the session.
  Session(std::shared_ptr<grpc::Channel> channel, v1::Register identity, LeaseBook* book);

  // Returns after Stop().
  void Run();
  void Stop();

  // Progress and output: kept while the connection is broken, the oldest dropped when there is too much.
  void Send(v1::WorkerMessage message);
  // The book has a result to send.
  void Wake();

 private:
  using Stream = grpc::ClientReaderWriter<v1::WorkerMessage, v1::ServerMessage>;
  using Clock = std::chrono::steady_clock;

  // Until the channel is connected, `pause` is over or Stop() was called.
  void AwaitServer(std::chrono::milliseconds pause);
  bool stopping();
  // One connection, from Register to its end. Returns whether the server had answered.
  bool Connect();
  void Write(Stream* stream, std::chrono::seconds heartbeat);
  void Handle(const v1::ServerMessage& message);
  v1::WorkerMessage MakeHeartbeat() const;
  // Waits for work of the writer. False: the connection is over.
  bool Await(Clock::time_point until);
  std::deque<v1::WorkerMessage> TakeOutbox();

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Worker::Stub> stub_;
  const v1::Register identity_;
  LeaseBook* const book_;
  bool first_dial_ = true;  // Run()'s thread only

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  bool wake_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::deque<v1::WorkerMessage> outbox_ ABSL_GUARDED_BY(mutex_);
  size_t outbox_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace strata::agent
