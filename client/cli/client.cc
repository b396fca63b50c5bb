#include "client/cli/client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/interrupt.h"

namespace strata::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kTransferDeadline = std::chrono::minutes(10);
constexpr auto kTick = absl::Milliseconds(100);
constexpr size_t kPieceBytes = size_t{1} << 20;

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsAborted(status);
}

absl::Status InterruptedStatus() { return absl::CancelledError("interrupted"); }

}  // namespace

Client::Client(std::string address) : address_(std::move(address)) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // how long one attempt to connect may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  channel_ = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  stub_ = v1::Strata::NewStub(channel_);
}

absl::Status Client::FromGrpc(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  if (code == absl::StatusCode::kUnavailable && status.error_details().empty()) {
    return absl::UnavailableError(
        absl::StrCat("no answer from strata-server at ", address_, ": ", status.error_message(),
                     "; is it running? (strata decompose without --server needs none)"));
  }
  return absl::Status(code, status.error_message());
}

absl::Status Client::Unary(const std::function<grpc::Status(grpc::ClientContext*)>& call,
                           std::chrono::seconds deadline) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + deadline);
  return FromGrpc(call(&context));
}

bool Client::Connect(std::chrono::milliseconds patience) {
  // Not a sleep: a channel makes progress only while somebody waits on it.
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
  return channel_->WaitForConnected(std::chrono::system_clock::now() + patience);
}

absl::Status Client::AwaitServer(std::chrono::milliseconds patience) {
  const auto end = Clock::now() + patience;
  while (!Connect(std::chrono::milliseconds(50))) {
    if (absl::Status health = health_(); !health.ok()) return health;
    if (Interrupted()) return InterruptedStatus();
    if (Clock::now() >= end)
      return absl::UnavailableError(absl::StrCat("strata-server does not answer at ", address_));
  }
  return absl::OkStatus();
}

absl::Status Client::Retry(std::chrono::milliseconds patience, const std::function<absl::Status()>& attempt) {
  const auto end = Clock::now() + patience;
  for (;;) {
    const absl::Status status = attempt();
    if (!MayPass(status) || Clock::now() >= end) return status;
    if (Interrupted()) return InterruptedStatus();
    if (absl::Status health = health_(); !health.ok()) return health;
    absl::SleepFor(kTick);
    Connect(std::chrono::milliseconds(50));
  }
}

absl::Status Client::Upload(const std::string& digest, const std::string& content) {
  v1::StartUploadRequest start;
  start.set_digest(digest);
  start.set_size_bytes(content.size());
  auto known = Call(&Stub::StartUpload, start);
  if (!known.ok() || known->complete()) return known.status();

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTransferDeadline);
  v1::Upload upload;
  auto writer = stub_->UploadChunks(&context, &upload);
  v1::UploadChunk chunk;
  chunk.set_digest(digest);
  // One message even where all bytes are there: it makes the server check the digest.
  size_t at = std::min<size_t>(known->committed_bytes(), content.size());
  do {
    chunk.set_offset(at);
    chunk.set_data(content.substr(at, kPieceBytes));
    at += kPieceBytes;
  } while (writer->Write(chunk) && at < content.size());
  writer->WritesDone();
  absl::Status status = FromGrpc(writer->Finish());
  if (status.ok() && !upload.complete())
    return absl::UnavailableError("the server did not take the whole file");
  if (absl::IsFailedPrecondition(status) || absl::IsOutOfRange(status)) {
    return absl::AbortedError(status.message());
  }
  return status;
}

absl::Status Client::WatchOnce(const Watch& watch, uint64_t* last_event) {
  grpc::ClientContext context;
  v1::WatchDecompositionRequest request;
  request.set_decomposition_id(watch.decomposition_id);
  request.set_after_event(*last_event);
  auto reader = stub_->WatchDecomposition(&context, request);

  std::atomic<bool> over{false};
  absl::Status stopped;
  std::thread ticker([&] {
    for (; !over; absl::SleepFor(kTick)) {
      watch.on_tick();
      stopped = Interrupted() ? InterruptedStatus() : health_();
      if (stopped.ok()) continue;
      context.TryCancel();
      return;
    }
  });
  for (v1::Event event; reader->Read(&event);) {
    *last_event = event.number();
    watch.on_event(event);
  }
  over = true;
  ticker.join();
  const absl::Status status = FromGrpc(reader->Finish());
  return stopped.ok() || status.ok() ? status : stopped;
}

absl::Status Client::Follow(const Watch& watch) {
  uint64_t last_event = watch.after_event;
  auto last_sign = Clock::now();
  for (;;) {
    const uint64_t before = last_event;
    const auto began = Clock::now();
    const absl::Status status = WatchOnce(watch, &last_event);
    if (!MayPass(status)) return status;
    // A stream that stood for a while was a sign of life, events or not.
    if (last_event != before || Clock::now() - began > std::chrono::seconds(2)) last_sign = Clock::now();
    if (Clock::now() - last_sign > watch.patience) return status;
    for (bool connected = false; !connected && Clock::now() - last_sign <= watch.patience;) {
      watch.on_tick();
      if (Interrupted()) return InterruptedStatus();
      if (absl::Status health = health_(); !health.ok()) return health;
      absl::SleepFor(kTick / 2);
      connected = Connect(std::chrono::milliseconds(50));
    }
  }
}

absl::Status Client::Download(const std::string& decomposition_id, const std::string& dir, bool force) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTransferDeadline);
  v1::DownloadBundleRequest request;
  request.set_decomposition_id(decomposition_id);
  request.set_format(v1::BUNDLE_FORMAT_TAR_ZST);
  auto reader = stub_->DownloadBundle(&context, request);
  bool finished = false;
  const ByteSource source = [&]() -> absl::StatusOr<std::string> {
    if (finished) return std::string();
    for (v1::BundleChunk chunk; reader->Read(&chunk);) {
      if (Interrupted()) return InterruptedStatus();
      if (!chunk.data().empty()) return std::move(*chunk.mutable_data());
    }
    finished = true;
    if (absl::Status status = FromGrpc(reader->Finish()); !status.ok()) return status;
    return std::string();
  };
  absl::Status status = UnpackBundle(source, dir, force);
  if (!finished) {
    context.TryCancel();
    (void)reader->Finish();
  }
  return status;
}

}  // namespace strata::cli
