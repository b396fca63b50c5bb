#pragma once
// The server's side of the worker API for tests: a real gRPC server on a Unix socket that hands out the
// leases a test gives it and remembers what the agent said. It can be stopped and started again, with or
// without its memory of leases, as a server that was killed.

#include <grpcpp/grpcpp.h>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/sha256.h"
#include "strata/v1/worker.grpc.pb.h"

namespace strata::agent {

class Coordinator : public v1::Worker::Service {
 public:
  explicit Coordinator(std::string socket) : address_("unix:" + std::move(socket)) { Start(); }
  ~Coordinator() override { Kill(); }

  const std::string& address() const { return address_; }

  void Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    absl::MutexLock lock(&mutex);
    dying_ = false;
    server_ = builder.BuildAndStart();
  }

  // No goodbye: streams break.
  void Kill() {
    {
      absl::MutexLock lock(&mutex);
      dying_ = true;
    }
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

  v1::File PutContent(const std::string& path, const std::string& content) {
    v1::File file;
    file.set_path(path);
    file.set_digest(Sha256Hex(content));
    file.set_size_bytes(content.size());
    absl::MutexLock lock(&mutex);
    blobs[file.digest()] = content;
    return file;
  }

  void Give(const v1::Lease& lease) {
    v1::ServerMessage message;
    *message.mutable_lease() = lease;
    Say(message);
  }
  void Revoke(const std::string& lease_id) {
    v1::ServerMessage message;
    message.mutable_revoke()->set_lease_id(lease_id);
    Say(message);
  }
  void Say(const v1::ServerMessage& message) {
    absl::MutexLock lock(&mutex);
    to_say_.push_back(message);
  }

  // Waits until `condition`, which sees the members below under the lock.
  template <typename Condition>
  bool Await(Condition condition, absl::Duration patience = absl::Seconds(20)) {
    absl::MutexLock lock(&mutex);
    return mutex.AwaitWithTimeout(absl::Condition(&condition), patience);
  }
  const v1::TaskResult* ResultOf(const std::string& lease_id) const {
    for (auto it = results.rbegin(); it != results.rend(); ++it) {
      if (it->lease_id() == lease_id) return &*it;
    }
    return nullptr;
  }

  absl::Mutex mutex;
  std::vector<v1::Register> registers;
  std::vector<v1::Heartbeat> heartbeats;
  std::vector<v1::TaskProgress> progress;
  std::string output;
  std::vector<v1::WorkerMessage> said;  // all of the above and below, in order
  std::vector<v1::TaskResult> results;
  std::map<std::string, std::string> blobs;
  std::map<std::string, int> fetched;             // GetBlob calls by digest
  std::map<std::string, v1::AckOutcome> answers;  // by lease; RECORDED where absent
  bool acknowledge = true;
  bool deaf = false;  // reads no further message
  bool corrupt_blobs = false;
  bool forget_after_question = false;  // once: FindMissingBlobs says "all here", and then all is lost

  grpc::Status Session(grpc::ServerContext* context,
                       grpc::ServerReaderWriter<v1::ServerMessage, v1::WorkerMessage>* stream) override {
    v1::WorkerMessage message;
    if (!stream->Read(&message)) return grpc::Status::OK;
    {
      absl::MutexLock lock(&mutex);
      registers.push_back(message.register_());
    }
    v1::ServerMessage registered;
    registered.mutable_registered()->set_heartbeat_seconds(1);
    registered.mutable_registered()->set_lease_seconds(5);
    stream->Write(registered);
    bool over = false;
    std::thread speaker([&] { Speak(context, stream, &over); });
    while (AwaitHearing(), stream->Read(&message)) Note(message);
    {
      absl::MutexLock lock(&mutex);
      over = true;
    }
    speaker.join();
    return grpc::Status::OK;
  }

  grpc::Status GetBlob(grpc::ServerContext*, const v1::GetBlobRequest* request,
                       grpc::ServerWriter<v1::GetBlobChunk>* writer) override {
    std::string content;
    {
      absl::MutexLock lock(&mutex);
      const auto it = blobs.find(request->digest());
      if (it == blobs.end()) return {grpc::StatusCode::NOT_FOUND, "no such content"};
      content = it->second;
      if (corrupt_blobs) content[0] ^= 1;
      ++fetched[request->digest()];
    }
    for (size_t at = 0; at < content.size(); at += 1000) {
      v1::GetBlobChunk chunk;
      chunk.set_data(content.substr(at, 1000));
      writer->Write(chunk);
    }
    return grpc::Status::OK;
  }

  grpc::Status FindMissingBlobs(grpc::ServerContext*, const v1::FindMissingBlobsRequest* request,
                                v1::FindMissingBlobsResponse* response) override {
    absl::MutexLock lock(&mutex);
    for (const std::string& digest : request->digests()) {
      if (!blobs.contains(digest)) response->add_digests(digest);
    }
    if (std::exchange(forget_after_question, false)) blobs.clear();
    return grpc::Status::OK;
  }

  grpc::Status PutBlob(grpc::ServerContext*, grpc::ServerReader<v1::PutBlobChunk>* reader,
                       v1::PutBlobResponse*) override {
    std::string digest, content;
    for (v1::PutBlobChunk chunk; reader->Read(&chunk);) {
      if (!chunk.digest().empty()) digest = chunk.digest();
      content += chunk.data();
    }
    absl::MutexLock lock(&mutex);
    blobs[digest] = content;
    return grpc::Status::OK;
  }

 private:
  void Speak(grpc::ServerContext* context,
             grpc::ServerReaderWriter<v1::ServerMessage, v1::WorkerMessage>* stream, const bool* over) {
    for (;;) {
      v1::ServerMessage message;
      {
        absl::MutexLock lock(&mutex);
        const auto something = [&] { return *over || dying_ || !to_say_.empty(); };
        mutex.Await(absl::Condition(&something));
        if (*over || dying_) break;
        message = to_say_.front();
        to_say_.pop_front();
      }
      stream->Write(message);
    }
    context->TryCancel();
  }

  void AwaitHearing() {
    absl::MutexLock lock(&mutex);
    const auto hears = [&] { return !deaf || dying_; };
    mutex.Await(absl::Condition(&hears));
  }

  void Note(const v1::WorkerMessage& message) {
    absl::MutexLock lock(&mutex);
    said.push_back(message);
    if (message.has_heartbeat()) heartbeats.push_back(message.heartbeat());
    if (message.has_progress()) progress.push_back(message.progress());
    if (message.has_output()) output += message.output().data();
    if (!message.has_result()) return;
    results.push_back(message.result());
    if (!acknowledge) return;
    v1::ServerMessage answer;
    auto* ack = answer.mutable_ack();
    ack->set_lease_id(message.result().lease_id());
    ack->set_outcome(v1::ACK_OUTCOME_RECORDED);
    if (const auto it = answers.find(ack->lease_id()); it != answers.end()) ack->set_outcome(it->second);
    for (const v1::File& file : message.result().outputs()) {
      if (blobs.contains(file.digest())) continue;
      ack->set_outcome(v1::ACK_OUTCOME_MISSING_BLOBS);
      ack->add_missing_digests(file.digest());
    }
    to_say_.push_back(answer);
  }

  const std::string address_;
  std::unique_ptr<grpc::Server> server_;
  bool dying_ = false;
  std::deque<v1::ServerMessage> to_say_;
};

}  // namespace strata::agent
