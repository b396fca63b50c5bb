#include "worker/agent/lease_book.h"

#include <algorithm>

#include "absl/time/time.h"

namespace strata::agent {

void LeaseBook::Add(const v1::Lease& lease) {
  absl::MutexLock lock(&mutex_);
  const auto [it, is_new] = entries_.try_emplace(lease.lease_id());
  if (!is_new) return;
  it->second.lease = lease;
  if (stopped_) return HandBack(it->second);
  queue_.push_back(lease.lease_id());
}

void LeaseBook::HandBack(Entry& entry) {
  v1::TaskResult& returned = entry.result.emplace();
  returned.set_lease_id(entry.lease.lease_id());
  returned.set_status(v1::RESULT_STATUS_RETURNED);
}

void LeaseBook::Revoke(const std::string& lease_id) {
  absl::MutexLock lock(&mutex_);
  auto it = entries_.find(lease_id);
  if (it == entries_.end()) return;
  const auto queued = std::find(queue_.begin(), queue_.end(), lease_id);
  if (queued != queue_.end()) {
    queue_.erase(queued);
    entries_.erase(it);
    return;
  }
  if (it->second.result.has_value() && !it->second.waited_for) {
    entries_.erase(it);  // returned by Stop, no slot will clear it away
    return;
  }
  it->second.revoked = true;
  if (it->second.cancel) it->second.cancel();
}

void LeaseBook::Forget(const std::string& lease_id) {
  absl::MutexLock lock(&mutex_);
  entries_.erase(lease_id);
}

void LeaseBook::Acknowledge(const v1::ResultAck& ack) {
  absl::MutexLock lock(&mutex_);
  auto it = entries_.find(ack.lease_id());
  if (it == entries_.end() || !it->second.result.has_value()) return;
  it->second.ack = ack;
  if (!it->second.waited_for) entries_.erase(it);
}

std::vector<std::string> LeaseBook::Held() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> ids;
  for (const auto& [id, entry] : entries_) {
    if (!entry.revoked) ids.push_back(id);
  }
  return ids;
}

std::vector<v1::TaskResult> LeaseBook::Unacknowledged(std::chrono::steady_clock::time_point since) {
  absl::MutexLock lock(&mutex_);
  std::vector<v1::TaskResult> results;
  for (auto& [id, entry] : entries_) {
    if (!entry.result.has_value() || entry.ack.has_value() || entry.given_out > since) continue;
    entry.given_out = std::chrono::steady_clock::now();
    results.push_back(*entry.result);
  }
  return results;
}

std::optional<v1::Lease> LeaseBook::Take(std::chrono::milliseconds patience) {
  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || !queue_.empty(); };
  mutex_.AwaitWithTimeout(absl::Condition(&ready), absl::FromChrono(patience));
  if (stopped_ || queue_.empty()) return std::nullopt;
  const std::string id = queue_.front();
  queue_.pop_front();
  return entries_.at(id).lease;
}

bool LeaseBook::revoked(const std::string& lease_id) const {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(lease_id);
  return it == entries_.end() || it->second.revoked;
}

bool LeaseBook::SetCanceller(const std::string& lease_id, std::function<void()> cancel) {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(lease_id);
  if (stopped_ || it == entries_.end() || it->second.revoked) return false;
  it->second.cancel = std::move(cancel);
  return true;
}

void LeaseBook::ClearCanceller(const std::string& lease_id) {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(lease_id);
  if (it != entries_.end()) it->second.cancel = nullptr;
}

bool LeaseBook::AnswerCame(const std::string& lease_id) const {
  const auto it = entries_.find(lease_id);
  return abandoned_ || it == entries_.end() || it->second.ack.has_value() || it->second.revoked;
}

LeaseBook::Outcome LeaseBook::Report(const v1::TaskResult& result, const std::function<void()>& wake,
                                     std::vector<std::string>* missing) {
  const std::string id = result.lease_id();
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end()) return Outcome::kForgotten;
    it->second.result = result;
    it->second.given_out = {};
    it->second.waited_for = true;
    it->second.ack.reset();
  }
  wake();
  absl::MutexLock lock(&mutex_);
  const auto answered = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return AnswerCame(id); };
  mutex_.Await(absl::Condition(&answered));
  const auto it = entries_.find(id);
  if (it == entries_.end()) return Outcome::kForgotten;
  const Entry entry = it->second;
  if (entry.ack.has_value() && entry.ack->outcome() == v1::ACK_OUTCOME_MISSING_BLOBS && !entry.revoked) {
    missing->assign(entry.ack->missing_digests().begin(), entry.ack->missing_digests().end());
    it->second.result.reset();
    return Outcome::kMissingBlobs;
  }
  entries_.erase(it);
  if (entry.revoked) return Outcome::kForgotten;
  if (!entry.ack.has_value()) return Outcome::kStopped;
  return entry.ack->outcome() == v1::ACK_OUTCOME_RECORDED ? Outcome::kRecorded : Outcome::kForgotten;
}

void LeaseBook::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (const std::string& id : queue_) HandBack(entries_.at(id));
  queue_.clear();
  for (auto& [id, entry] : entries_) {
    if (entry.cancel) entry.cancel();
  }
}

void LeaseBook::Abandon() {
  absl::MutexLock lock(&mutex_);
  stopped_ = abandoned_ = true;
}

bool LeaseBook::stopped() const {
  absl::MutexLock lock(&mutex_);
  return stopped_;
}

}  // namespace strata::agent
