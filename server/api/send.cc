// Streams that answer: events, bundles, contents.
#include <deque>

#include "server/api/grpc_status.h"
#include "server/api/streams.h"
#include "server/store/job_queries.h"

namespace strata::api {
namespace {

template <typename Message>
class ProducerReactor : public grpc::ServerWriteReactor<Message> {
 public:
  explicit ProducerReactor(Producer<Message> next) : next_(std::move(next)) { Send(); }

  void OnWriteDone(bool ok) override {
    if (!ok) return this->Finish(ToGrpcStatus(absl::CancelledError("the client went away")));
    Send();
  }
  void OnDone() override { delete this; }

 private:
  void Send() {
    const auto more = next_(&message_);
    if (!more.ok()) return this->Finish(ToGrpcStatus(more.status()));
    if (!*more) return this->Finish(grpc::Status::OK);
    this->StartWrite(&message_);
  }

  Producer<Message> next_;
  Message message_;
};

// Either busy (one fetch or one write under way, whose end decides what is next) or idle (waits for Wake).
class WatchReactor : public grpc::ServerWriteReactor<v1::Event> {
 public:
  WatchReactor(Coordinator& coordinator, Executor& executor, const v1::WatchDecompositionRequest& request)
      : coordinator_(coordinator),
        executor_(executor),
        job_(request.decomposition_id()),
        last_(request.after_event()) {
    // Before the first look, so that nothing falls between.
    subscription_ = coordinator_.events().Subscribe(job_, [this] { Wake(); });
    executor_.Post([this] { Start(); });
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(absl::CancelledError("the client went away"));
    SendOrFetch();
  }
  void OnCancel() override {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    WakeLocked();
  }
  void OnDone() override {
    coordinator_.events().Unsubscribe(subscription_);
    delete this;
  }

 private:
  void Wake() {
    absl::MutexLock lock(&mutex_);
    WakeLocked();
  }
  void WakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    woken_ = true;
    if (!idle_) return;
    idle_ = false;
    executor_.Post([this] { SendOrFetch(); });
  }

  void Start() {
    if (!job_.empty()) {
      const auto exists =
          coordinator_.readers().Do([&](store::Database& db) { return store::CheckJobExists(db, job_); });
      if (!exists.ok()) return End(exists);
    }
    SendOrFetch();
  }

  void SendOrFetch() {
    for (;;) {
      if (!waiting_.empty()) {
        event_ = std::move(waiting_.front());
        waiting_.pop_front();
        last_ = event_.number();
        return StartWrite(&event_);
      }
      {
        absl::MutexLock lock(&mutex_);
        if (cancelled_) break;
        woken_ = false;
      }
      bool ended = false;
      const auto events =
          coordinator_.readers().Do([&](store::Database& db) -> absl::StatusOr<std::vector<v1::Event>> {
            ended = !job_.empty() && store::HasEnded(db, job_);
            return store::EventsAfter(db, job_, last_, 256);
          });
      if (!events.ok()) return End(events.status());
      waiting_.assign(events->begin(), events->end());
      if (!waiting_.empty()) continue;
      if (ended) return End(absl::OkStatus());
      if (coordinator_.events().closed())
        return End(absl::UnavailableError("the server is shutting down; watch again"));
      absl::MutexLock lock(&mutex_);
      if (woken_) continue;
      idle_ = true;
      return;
    }
    End(absl::CancelledError("the client went away"));
  }

  // REQUIRES: busy; the reactor stays so, and nothing wakes it any more.
  void End(const absl::Status& status) { Finish(ToGrpcStatus(status)); }

  Coordinator& coordinator_;
  Executor& executor_;
  const std::string job_;
  uint64_t subscription_ = 0;

  // Of whoever is busy.
  uint64_t last_;
  std::deque<v1::Event> waiting_;
  v1::Event event_;

  absl::Mutex mutex_;
  bool idle_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerWriteReactor<v1::Event>* SendEvents(Coordinator& coordinator, Executor& executor,
                                                const v1::WatchDecompositionRequest& request) {
  return new WatchReactor(coordinator, executor, request);
}

grpc::ServerWriteReactor<v1::BundleChunk>* SendBundle(Producer<v1::BundleChunk> next) {
  return new ProducerReactor<v1::BundleChunk>(std::move(next));
}

grpc::ServerWriteReactor<v1::GetBlobChunk>* SendBlob(Producer<v1::GetBlobChunk> next) {
  return new ProducerReactor<v1::GetBlobChunk>(std::move(next));
}

}  // namespace strata::api
