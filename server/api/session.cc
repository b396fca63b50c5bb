// One worker's stream.
#include <deque>

#include "server/api/grpc_status.h"
#include "server/api/streams.h"
#include "server/error.h"

namespace strata::api {
namespace {

class SessionReactor;

// What the coordinator holds. Outlives the reactor, and then leads nowhere.
class SessionLink : public WorkerLink, public std::enable_shared_from_this<SessionLink> {
 public:
  explicit SessionLink(SessionReactor* reactor) : reactor_(reactor) {}
  void Send(v1::ServerMessage message) override;
  void End(const absl::Status& status) override;
  // Reads the next message, or ends the stream, after the last one was handled.
  void Handled(const absl::Status& status);
  void Detach() {
    absl::MutexLock lock(&mutex_);
    reactor_ = nullptr;
  }

 private:
  absl::Mutex mutex_;
  SessionReactor* reactor_ ABSL_GUARDED_BY(mutex_);
};

class SessionReactor : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::ServerMessage> {
 public:
  explicit SessionReactor(Coordinator& coordinator)
      : coordinator_(coordinator),
        session_(coordinator.NewSession()),
        link_(std::make_shared<SessionLink>(this)) {
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End(absl::OkStatus());
    Handle();
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    outgoing_.pop_front();
    if (!ok) outgoing_.clear();
    Advance();
  }
  void OnCancel() override { End(absl::CancelledError("the stream was cancelled")); }
  void OnDone() override {
    link_->Detach();
    if (!worker_.empty()) coordinator_.Leave(worker_, session_);
    delete this;
  }

  void Send(v1::ServerMessage message) {
    absl::MutexLock lock(&mutex_);
    if (ending_) return;
    outgoing_.push_back(std::move(message));
    Advance();
  }
  void End(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    if (ending_) return;
    ending_ = true;
    status_ = status;
    Advance();
  }
  void ReadOn() {
    absl::MutexLock lock(&mutex_);
    if (!ending_) StartRead(&incoming_);
  }

 private:
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (!outgoing_.empty()) {
      writing_ = true;
      return StartWrite(&outgoing_.front());
    }
    if (!ending_) return;
    finished_ = true;
    Finish(ToGrpcStatus(status_));
  }

  void Handle() {
    const auto done = [link = link_](absl::StatusOr<Nothing> handled) { link->Handled(handled.status()); };
    if (incoming_.has_register_()) {
      if (!worker_.empty())
        return End(BadField("REGISTERED_TWICE", "register", "a stream registers once, at its begin"));
      worker_ = incoming_.register_().worker_id();
      return coordinator_.Join(incoming_.register_(), session_, link_, done);
    }
    if (worker_.empty())
      return End(BadField("NOT_REGISTERED", "register", "must be the first message of the stream"));
    switch (incoming_.kind_case()) {
      case v1::WorkerMessage::kHeartbeat:
        return coordinator_.Heard(worker_, session_, incoming_.heartbeat(), done);
      case v1::WorkerMessage::kProgress:
        return coordinator_.Progressed(worker_, session_, incoming_.progress(), done);
      case v1::WorkerMessage::kOutput:
        return coordinator_.Printed(worker_, session_, std::move(*incoming_.mutable_output()), done);
      case v1::WorkerMessage::kResult:
        return coordinator_.Finished(worker_, session_, std::move(*incoming_.mutable_result()), done);
      default:
        return ReadOn();  // of a newer worker
    }
  }

  Coordinator& coordinator_;
  const jobs::SessionId session_;
  const std::shared_ptr<SessionLink> link_;
  std::string worker_;  // once registered; written by the reading side only
  v1::WorkerMessage incoming_;

  absl::Mutex mutex_;
  std::deque<v1::ServerMessage> outgoing_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

void SessionLink::Send(v1::ServerMessage message) {
  absl::MutexLock lock(&mutex_);
  if (reactor_ != nullptr) reactor_->Send(std::move(message));
}

void SessionLink::End(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (reactor_ != nullptr) reactor_->End(status);
}

void SessionLink::Handled(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (reactor_ == nullptr) return;
  if (status.ok()) return reactor_->ReadOn();
  reactor_->End(status);
}

}  // namespace

grpc::ServerBidiReactor<v1::WorkerMessage, v1::ServerMessage>* OpenSession(Coordinator& coordinator) {
  return new SessionReactor(coordinator);
}

}  // namespace strata::api
