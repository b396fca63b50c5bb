#include "worker/agent/session.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace strata::agent {
namespace {

constexpr size_t kOutboxBytes = size_t{8} << 20;
constexpr auto kFirstPause = std::chrono::milliseconds(100);
constexpr auto kLongestPause = std::chrono::milliseconds(5000);

// Between half and all of it, so that many agents do not dial in step after a restart of the server.
std::chrono::milliseconds Jittered(std::chrono::milliseconds pause) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  return pause / 2 + std::chrono::milliseconds(random() % (pause.count() / 2 + 1));
}

}  // namespace

Session::Session(std::shared_ptr<grpc::Channel> channel, v1::Register identity, LeaseBook* book)
    : channel_(channel), stub_(v1::Worker::NewStub(channel)), identity_(std::move(identity)), book_(book) {}

void Session::Run() {
  auto pause = kFirstPause;
  while (!stopping()) {
    if (Connect()) pause = kFirstPause;
    AwaitServer(Jittered(pause));
    pause = std::min(pause * 2, kLongestPause);
  }
}

void Session::AwaitServer(std::chrono::milliseconds pause) {
  const auto end = Clock::now() + pause;
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());  // the pauses are ours
  // Not a sleep: a channel makes progress only while somebody waits on it. A server that is back is met
  // at once, but not before the shortest pause: it may be one that throws its sessions out.
  while (!stopping() && Clock::now() < end) {
    if (channel_->WaitForConnected(std::chrono::system_clock::now() + kFirstPause)) {
      std::this_thread::sleep_for(kFirstPause);
      return;
    }
  }
}

bool Session::stopping() {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

void Session::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  if (context_ != nullptr) context_->TryCancel();
}

bool Session::Connect() {
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return false;
    context_ = &context;
  }
  auto stream = stub_->Session(&context);
  v1::WorkerMessage hello;
  *hello.mutable_register_() = identity_;
  for (const std::string& id : book_->Held()) hello.mutable_register_()->add_lease_ids(id);

  std::thread writer;
  v1::ServerMessage message;
  bool answered = false;
  if (stream->Write(hello)) {
    while (stream->Read(&message)) {
      if (message.has_registered() && !answered) {
        answered = true;
        const auto heartbeat = std::chrono::seconds(std::max(1U, message.registered().heartbeat_seconds()));
        spdlog::info("registered server_version={} heartbeat_s={} lease_s={} held={}",
                     message.registered().server_version(), heartbeat.count(),
                     message.registered().lease_seconds(), hello.register_().lease_ids_size());
        {
          absl::MutexLock lock(&mutex_);
          connected_ = true;
        }
        writer = std::thread([this, raw = stream.get(), heartbeat] { Write(raw, heartbeat); });
      }
      Handle(message);
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    connected_ = false;
  }
  context.TryCancel();  // unblocks a writer that stands in Write()
  if (writer.joinable()) writer.join();
  const grpc::Status status = stream->Finish();
  absl::MutexLock lock(&mutex_);
  context_ = nullptr;
  // An outage is said once; the dialling that follows only where someone asked for it.
  if (!stopping_) {
    spdlog::log(answered || first_dial_ ? spdlog::level::warn : spdlog::level::debug,
                "no connection to the server code={} message=\"{}\"", static_cast<int>(status.error_code()),
                status.error_message());
  }
  first_dial_ = false;
  return answered;
}

void Session::Handle(const v1::ServerMessage& message) {
  switch (message.kind_case()) {
    case v1::ServerMessage::kLease:
      spdlog::info("lease received lease={} decomposition={} task={} attempt={}", message.lease().lease_id(),
                   message.lease().decomposition_id(), message.lease().task_id(), message.lease().attempt());
      book_->Add(message.lease());
      if (book_->stopped()) Wake();
      break;
    case v1::ServerMessage::kRevoke:
      spdlog::info("lease revoked lease={} reason=\"{}\"", message.revoke().lease_id(),
                   message.revoke().reason());
      book_->Revoke(message.revoke().lease_id());
      break;
    case v1::ServerMessage::kAck:
      book_->Acknowledge(message.ack());
      break;
    default:
      break;
  }
}

v1::WorkerMessage Session::MakeHeartbeat() const {
  v1::WorkerMessage message;
  auto* heartbeat = message.mutable_heartbeat();
  for (const std::string& id : book_->Held()) heartbeat->add_lease_ids(id);
  heartbeat->set_draining(book_->stopped());
  return message;
}

void Session::Write(Stream* stream, std::chrono::seconds heartbeat) {
  // A new connection repeats every result without an ack; later a result is repeated when its ack is late.
  Clock::time_point repeat_before = Clock::now();
  Clock::time_point next_heartbeat = Clock::now();
  bool said_draining = false;
  do {
    // Taken first: what a task printed is then in the outbox, and has to arrive before its result.
    std::vector<v1::TaskResult> results = book_->Unacknowledged(repeat_before);
    for (const v1::WorkerMessage& message : TakeOutbox()) {
      if (!stream->Write(message)) return;
    }
    repeat_before = std::max(repeat_before, Clock::now() - 2 * heartbeat);
    // Before the results as well: a task that is handed back must not come right back.
    const v1::WorkerMessage beat = MakeHeartbeat();
    if (Clock::now() >= next_heartbeat || beat.heartbeat().draining() != said_draining) {
      if (!stream->Write(beat)) return;
      said_draining = beat.heartbeat().draining();
      next_heartbeat = Clock::now() + heartbeat;
    }
    for (v1::TaskResult& result : results) {
      v1::WorkerMessage message;
      *message.mutable_result() = std::move(result);
      if (!stream->Write(message)) return;
    }
  } while (Await(next_heartbeat));
}

std::deque<v1::WorkerMessage> Session::TakeOutbox() {
  absl::MutexLock lock(&mutex_);
  outbox_bytes_ = 0;
  return std::exchange(outbox_, {});
}

bool Session::Await(Clock::time_point until) {
  absl::MutexLock lock(&mutex_);
  const auto work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !connected_ || wake_ || !outbox_.empty();
  };
  mutex_.AwaitWithTimeout(absl::Condition(&work), absl::FromChrono(until - Clock::now()));
  wake_ = false;
  return connected_;
}

void Session::Send(v1::WorkerMessage message) {
  absl::MutexLock lock(&mutex_);
  outbox_bytes_ += message.ByteSizeLong();
  outbox_.push_back(std::move(message));
  while (outbox_bytes_ > kOutboxBytes && outbox_.size() > 1) {
    outbox_bytes_ -= outbox_.front().ByteSizeLong();
    outbox_.pop_front();
  }
}

void Session::Wake() {
  absl::MutexLock lock(&mutex_);
  wake_ = true;
}

}  // namespace strata::agent
