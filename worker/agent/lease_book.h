#pragma once
// The leases this agent holds, from the server's Lease to the server's ResultAck (or Revoke).
//
//   Lease → queued ─Take()→ running ─Report()→ reported ─ResultAck→ gone
//                └──────── Revoke / STALE ───────┴──────→ gone
//
// A lease is held over broken connections: the session names all held ones when it registers again and
// repeats every result that was not acknowledged. The server decides which of them still count.
//
// Threading: all methods from any thread; Take and Report block.

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "strata/v1/worker.pb.h"

namespace strata::agent {

class LeaseBook {
 public:
  // ---- the session's side ----
  // One that is already held is ignored (the server may repeat itself). After Stop it gets a RETURNED result.
  void Add(const v1::Lease& lease);
  // Unknown ones are ignored. A running one is killed through its canceller.
  void Revoke(const std::string& lease_id);
  // Ignored for a lease without a result.
  void Acknowledge(const v1::ResultAck& ack);
  std::vector<std::string> Held() const;
  // Results that no ack has come for and that were not given out since `since`; marks them as given out.
  std::vector<v1::TaskResult> Unacknowledged(std::chrono::steady_clock::time_point since);

  // ---- a slot's side ----
  // The next queued lease; nullopt after `patience` or once stopped.
  std::optional<v1::Lease> Take(std::chrono::milliseconds patience);
  bool revoked(const std::string& lease_id) const;
  // What Revoke calls, under the book's lock, while the lease's task runs. False: revoked already, and
  // not installed. Remove it before what it refers to ends.
  bool SetCanceller(const std::string& lease_id, std::function<void()> cancel);
  void ClearCanceller(const std::string& lease_id);
  // How a reported result came out. For kMissingBlobs `missing` says what to send before Report() again.
  enum class Outcome { kRecorded, kForgotten, kMissingBlobs, kStopped };
  // Blocks until the server has spoken about it. `wake` (the session) is told that a result waits. The
  // lease is gone afterwards, but for kMissingBlobs.
  Outcome Report(const v1::TaskResult& result, const std::function<void()>& wake,
                 std::vector<std::string>* missing);

  // The lease was revoked: nothing more will be said about it.
  void Forget(const std::string& lease_id);

  // ---- shutdown ----
  // Take gives nothing more, queued leases and new ones get a RETURNED result, running ones are killed.
  // Report() goes on waiting until Abandon(), which ends every wait.
  void Stop();
  void Abandon();
  bool stopped() const;

 private:
  struct Entry {
    v1::Lease lease;
    bool revoked = false;
    std::function<void()> cancel;
    std::optional<v1::TaskResult> result;
    std::chrono::steady_clock::time_point given_out;
    std::optional<v1::ResultAck> ack;
    bool waited_for = false;  // a slot stands in Report()
  };

  void HandBack(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AnswerCame(const std::string& lease_id) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace strata::agent
