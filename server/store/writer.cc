#include "server/store/writer.h"

namespace strata::store {
namespace {

constexpr size_t kGroup = 512;

}  // namespace

Writer::Writer(std::unique_ptr<Database> db, Hooks hooks)
    : hooks_(std::move(hooks)), db_(std::move(db)), thread_([this] { Loop(); }) {}

Writer::~Writer() { Stop(); }

void Writer::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Writer::Post(Work work, Then then) {
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      waiting_.push_back({std::move(work), std::move(then)});
      return;
    }
  }
  then(absl::UnavailableError("the server is shutting down"));
}

absl::Status Writer::RunGroup(std::vector<Item>& group) {
  db_->Script("BEGIN IMMEDIATE");
  for (Item& item : group) {
    if (!db_->ok()) break;
    item.work(*db_);
  }
  absl::Status status = db_->TakeStatus();
  if (status.ok() && hooks_.before_commit) status = hooks_.before_commit();
  if (status.ok()) {
    db_->Script("COMMIT");
    status = db_->TakeStatus();
  }
  if (status.ok()) return status;
  db_->Script("ROLLBACK");
  (void)db_->TakeStatus();  // there may be no transaction left to roll back
  if (hooks_.rolled_back) hooks_.rolled_back(*db_);
  return status;
}

void Writer::Loop() {
  for (;;) {
    std::vector<Item> group;
    {
      absl::MutexLock lock(&mutex_);
      const auto wake = [this]()
                            ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !waiting_.empty(); };
      mutex_.Await(absl::Condition(&wake));
      if (waiting_.empty()) return;
      while (!waiting_.empty() && group.size() < kGroup) {
        group.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
      }
    }
    const absl::Status status = RunGroup(group);
    for (Item& item : group) item.then(status);
  }
}

}  // namespace strata::store
