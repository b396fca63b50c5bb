#include "server/coordinator/event_hub.h"

namespace strata {

uint64_t EventHub::Subscribe(const std::string& job, std::function<void()> wake) {
  absl::MutexLock lock(&mutex_);
  const uint64_t id = next_id_++;
  subscribers_[id] = {job, std::move(wake)};
  return id;
}

void EventHub::Unsubscribe(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  subscribers_.erase(id);
}

void EventHub::Notify(const std::string& job) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [_, subscriber] : subscribers_) {
    if (subscriber.job.empty() || subscriber.job == job) subscriber.wake();
  }
}

void EventHub::Close() {
  closed_ = true;
  absl::MutexLock lock(&mutex_);
  for (const auto& [_, subscriber] : subscribers_) subscriber.wake();
}

}  // namespace strata
