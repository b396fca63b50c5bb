#pragma once
// Who waits for events of which job. Thread-safe.

#include <atomic>
#include <functional>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace strata {

class EventHub {
 public:
  // `wake` is called in the writer thread after each commit that brought an event of `job` (empty: of any
  // job); it must be quick and must not call back into the hub. After Unsubscribe has returned it is not
  // called any more.
  uint64_t Subscribe(const std::string& job, std::function<void()> wake) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unsubscribe(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);
  void Notify(const std::string& job) ABSL_LOCKS_EXCLUDED(mutex_);
  // Wakes everybody: the server stops.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);
  bool closed() const { return closed_; }

 private:
  struct Subscriber {
    std::string job;
    std::function<void()> wake;
  };
  std::atomic<bool> closed_{false};
  absl::Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, Subscriber> subscribers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace strata
