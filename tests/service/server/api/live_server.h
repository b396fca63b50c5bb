#pragma once
// A real server on a Unix socket in a temporary folder, and clients of it.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/synchronization/mutex.h"
#include "google/rpc/error_details.pb.h"
#include "server/api/server.h"
#include "strata/v1/strata.grpc.pb.h"
#include "strata/v1/worker.grpc.pb.h"
#include "tests/service/server/api/hand_made.h"

namespace strata::testing {

class LiveServer {
 public:
  LiveServer();
  ~LiveServer();

  void Start();
  void Stop() { server_.reset(); }
  jobs::Config config;  // for the next Start

  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  v1::Strata::Stub& strata() { return *strata_; }
  v1::Worker::Stub& worker() { return *worker_; }
  const std::string& folder() const { return folder_; }

  // Uploads, and expects it to succeed. Returns the digest.
  std::string Upload(const std::string& content);
  // Submits kModelSource.
  v1::Decomposition Submit(const std::string& request_id,
                           const std::map<std::string, std::string>& labels = {},
                           const std::string& path = "mlp.py");
  v1::Decomposition Get(const std::string& id);
  // Watches until the job ends.
  v1::Decomposition WaitForEnd(const std::string& id, std::vector<v1::Event>* events = nullptr);

 protected:
  void Dial(const std::string& address);

 private:
  std::string folder_;
  std::unique_ptr<api::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Strata::Stub> strata_;
  std::unique_ptr<v1::Worker::Stub> worker_;
};

// Speaks the worker protocol and does its tasks by hand. Reconnects as a real agent would.
class FakeWorker {
 public:
  struct Work {
    v1::ResultStatus status = v1::RESULT_STATUS_PASSED;
    Files files;
    v1::Failure failure;
    std::string output;  // on stdout
    bool never = false;  // holds the lease and says nothing
    bool mute = false;   // not even in heartbeats
  };
  using Handler = std::function<Work(const v1::Lease&)>;

  FakeWorker(LiveServer& server, std::string id, Handler handler = nullptr);
  ~FakeWorker();
  std::vector<std::string> seen();     // lease ids, in order
  std::vector<std::string> revoked();  // lease ids

 private:
  using Stream = grpc::ClientReaderWriter<v1::WorkerMessage, v1::ServerMessage>;
  void Loop();
  void Talk();
  bool Put(const std::string& digest, const std::string& content);
  void Do(Stream& stream, const v1::Lease& lease);
  void SendHeartbeats(Stream& stream);

  LiveServer& server_;
  const std::string id_;
  Handler handler_;
  absl::Mutex mutex_;
  bool stopping_ = false;
  bool connected_ = false;
  grpc::ClientContext* context_ = nullptr;
  std::set<std::string> held_;
  std::set<std::string> mute_;
  std::map<std::string, v1::WorkerMessage> results_;  // not acknowledged yet
  std::vector<std::string> seen_;
  std::vector<std::string> revoked_;
  std::thread thread_;
};

// The ErrorInfo of an error; empty reason if it carries none.
google::rpc::ErrorInfo InfoOf(const grpc::Status& status);
std::string ViolatedField(const grpc::Status& status);
bool SaysRetry(const grpc::Status& status);

}  // namespace strata::testing
