#include "tests/service/server/api/live_server.h"

#include <unistd.h>

#include <grpcpp/support/error_details.h>

#include "base/sha256.h"
#include "google/rpc/status.pb.h"
#include "tests/service/server/api/service_fixture.h"

namespace strata::testing {

LiveServer::LiveServer() {
  char name[] = "/tmp/strata-test-XXXXXX";
  folder_ = mkdtemp(name);
  config.lease = absl::Seconds(3);
  config.retry_pause = absl::Milliseconds(200);
}

LiveServer::~LiveServer() {
  Stop();
  std::filesystem::remove_all(folder_);
}

void LiveServer::Start() {
  api::ServerOptions options;
  options.listen = "unix:" + folder_ + "/s";
  options.coordinator.data_dir = folder_ + "/data";
  options.coordinator.jobs = config;
  options.coordinator.tick = absl::Milliseconds(200);
  auto server = api::Server::Start(std::move(options));
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  Dial(server_->address());
}

void LiveServer::Dial(const std::string& address) {
  if (channel_ != nullptr) return;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 300);
  channel_ = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  strata_ = v1::Strata::NewStub(channel_);
  worker_ = v1::Worker::NewStub(channel_);
}

std::string LiveServer::Upload(const std::string& content) {
  v1::StartUploadRequest start;
  start.set_digest(Sha256Hex(content));
  start.set_size_bytes(content.size());
  v1::Upload upload;
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  const grpc::Status status = strata().StartUpload(&context, start, &upload);
  EXPECT_TRUE(status.ok()) << status.error_message();
  if (upload.complete()) return upload.digest();
  grpc::ClientContext stream_context;
  stream_context.set_wait_for_ready(true);
  auto writer = strata().UploadChunks(&stream_context, &upload);
  v1::UploadChunk chunk;
  chunk.set_digest(start.digest());
  chunk.set_offset(upload.committed_bytes());
  chunk.set_data(content.substr(upload.committed_bytes()));
  writer->Write(chunk);
  writer->WritesDone();
  const grpc::Status sent = writer->Finish();
  EXPECT_TRUE(sent.ok()) << sent.error_message();
  EXPECT_TRUE(upload.complete());
  return start.digest();
}

v1::Decomposition LiveServer::Submit(const std::string& request_id,
                                     const std::map<std::string, std::string>& labels,
                                     const std::string& path) {
  v1::CreateDecompositionRequest request;
  request.set_request_id(request_id);
  v1::File* file = request.mutable_source()->add_files();
  file->set_path(path);
  file->set_digest(Upload(kModelSource));
  for (const auto& [key, value] : labels) (*request.mutable_labels())[key] = value;
  v1::Decomposition decomposition;
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  const grpc::Status status = strata().CreateDecomposition(&context, request, &decomposition);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return decomposition;
}

v1::Decomposition LiveServer::Get(const std::string& id) {
  v1::GetDecompositionRequest request;
  request.set_decomposition_id(id);
  v1::Decomposition decomposition;
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  const grpc::Status status = strata().GetDecomposition(&context, request, &decomposition);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return decomposition;
}

v1::Decomposition LiveServer::WaitForEnd(const std::string& id, std::vector<v1::Event>* events) {
  v1::WatchDecompositionRequest request;
  request.set_decomposition_id(id);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  auto reader = strata().WatchDecomposition(&context, request);
  v1::Event event;
  while (reader->Read(&event)) {
    if (events != nullptr) events->push_back(event);
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return Get(id);
}

Files Download(v1::Strata::Stub& stub, const v1::DownloadBundleRequest& request, grpc::Status* status) {
  grpc::ClientContext context;
  auto reader = stub.DownloadBundle(&context, request);
  v1::BundleChunk chunk;
  Files files;
  std::string path;
  while (reader->Read(&chunk)) {
    if (chunk.has_file()) files[path = chunk.file().path()] = "";
    if (chunk.kind_case() == v1::BundleChunk::kData) files[path] += chunk.data();
  }
  *status = reader->Finish();
  return files;
}

FakeWorker::FakeWorker(LiveServer& server, std::string id, Handler handler)
    : server_(server), id_(std::move(id)), handler_(std::move(handler)) {
  if (!handler_) {
    handler_ = [](const v1::Lease& lease) { return Work{.files = OutputsOf(lease)}; };
  }
  thread_ = std::thread([this] { Loop(); });
}

FakeWorker::~FakeWorker() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  thread_.join();
}

std::vector<std::string> FakeWorker::seen() {
  absl::MutexLock lock(&mutex_);
  return seen_;
}

std::vector<std::string> FakeWorker::revoked() {
  absl::MutexLock lock(&mutex_);
  return revoked_;
}

void FakeWorker::Loop() {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    Talk();
    absl::SleepFor(absl::Milliseconds(100));
  }
}

void FakeWorker::SendHeartbeats(Stream& stream) {
  for (int i = 0;; ++i) {
    absl::SleepFor(absl::Milliseconds(50));
    v1::WorkerMessage message;
    {
      absl::MutexLock lock(&mutex_);
      if (!connected_) return;
      for (const auto& lease : held_) {
        if (!mute_.count(lease)) message.mutable_heartbeat()->add_lease_ids(lease);
      }
      if (i % 10 != 0) continue;
      message.mutable_heartbeat();
      stream.Write(message);
    }
  }
}

void FakeWorker::Talk() {
  grpc::ClientContext context;
  v1::WorkerMessage hello;
  hello.mutable_register_()->set_worker_id(id_);
  hello.mutable_register_()->set_name("host-" + id_);
  hello.mutable_register_()->set_slots(2);
  hello.mutable_register_()->add_devices("cpu");
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    context_ = &context;
    connected_ = true;
    for (const auto& lease : held_) hello.mutable_register_()->add_lease_ids(lease);
  }
  auto stream = server_.worker().Session(&context);
  stream->Write(hello);
  for (const auto& [_, result] : results_) stream->Write(result);
  std::thread heart([&] { SendHeartbeats(*stream); });
  v1::ServerMessage message;
  while (stream->Read(&message)) {
    if (message.has_lease()) Do(*stream, message.lease());
    absl::MutexLock lock(&mutex_);
    if (message.has_revoke()) {
      revoked_.push_back(message.revoke().lease_id());
      held_.erase(message.revoke().lease_id());
    }
    if (message.has_ack()) {
      held_.erase(message.ack().lease_id());
      results_.erase(message.ack().lease_id());
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    connected_ = false;
    context_ = nullptr;
  }
  heart.join();
  stream->Finish();
}

bool FakeWorker::Put(const std::string& digest, const std::string& content) {
  grpc::ClientContext context;
  v1::PutBlobResponse reply;
  auto writer = server_.worker().PutBlob(&context, &reply);
  v1::PutBlobChunk chunk;
  chunk.set_digest(digest);
  chunk.set_size_bytes(content.size());
  chunk.set_data(content);
  writer->Write(chunk);
  writer->WritesDone();
  return writer->Finish().ok();
}

void FakeWorker::Do(Stream& stream, const v1::Lease& lease) {
  {
    absl::MutexLock lock(&mutex_);
    seen_.push_back(lease.lease_id());
    held_.insert(lease.lease_id());
  }
  const Work work = handler_(lease);
  if (work.never || work.mute) {
    absl::MutexLock lock(&mutex_);
    if (work.mute) mute_.insert(lease.lease_id());
    return;
  }
  v1::WorkerMessage message;
  v1::TaskResult& result = *message.mutable_result();
  result.set_lease_id(lease.lease_id());
  result.set_status(work.status);
  if (work.failure.kind() != 0) *result.mutable_failure() = work.failure;
  for (const auto& [path, content] : work.files) {
    v1::File* file = result.add_outputs();
    file->set_path(path);
    file->set_digest(Sha256Hex(content));
    file->set_size_bytes(content.size());
    while (!Put(file->digest(), content)) {
      absl::SleepFor(absl::Milliseconds(100));
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
  }
  absl::MutexLock lock(&mutex_);
  if (!work.output.empty()) {
    v1::WorkerMessage output;
    output.mutable_output()->set_lease_id(lease.lease_id());
    output.mutable_output()->set_stream(v1::STREAM_STDOUT);
    output.mutable_output()->set_data(work.output);
    stream.Write(output);
  }
  v1::WorkerMessage progress;
  progress.mutable_progress()->set_lease_id(lease.lease_id());
  progress.mutable_progress()->set_text("doing " + lease.task_id());
  stream.Write(progress);
  stream.Write(message);
  results_[lease.lease_id()] = message;
}

namespace {

template <typename T>
T Detail(const grpc::Status& status) {
  google::rpc::Status rpc;
  T found;
  if (!grpc::ExtractErrorDetails(status, &rpc).ok()) return found;
  for (const auto& any : rpc.details()) any.UnpackTo(&found);
  return found;
}

}  // namespace

google::rpc::ErrorInfo InfoOf(const grpc::Status& status) { return Detail<google::rpc::ErrorInfo>(status); }

std::string ViolatedField(const grpc::Status& status) {
  const auto bad = Detail<google::rpc::BadRequest>(status);
  return bad.field_violations_size() == 0 ? "" : bad.field_violations(0).field();
}

bool SaysRetry(const grpc::Status& status) {
  return Detail<google::rpc::RetryInfo>(status).has_retry_delay();
}

}  // namespace strata::testing
