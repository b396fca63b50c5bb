#pragma once
// A job's events as a person wants to see them: finished stages and steps as lines, the rest in one
// updating status line.
//
// Threading: On() from one thread, Tick() from any.

#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/terminal.h"
#include "strata/v1/strata.pb.h"

namespace strata::cli {

class Progress {
 public:
  explicit Progress(Terminal* terminal) : terminal_(terminal) {}

  // Asked by Tick now and then while the job is queued: why that lasts, or "".
  void set_why_queued(std::function<std::string()> why_queued) { why_queued_ = std::move(why_queued); }

  void On(const v1::Event& event);
  // The job's state before its first event.
  void SetState(v1::State state);
  // Moves the status line's clock.
  void Tick();
  // What is going on before the first event.
  void SetStage(const std::string& text);
  void Finish() { terminal_->ClearStatus(); }

 private:
  void OnState(v1::State state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnTask(const v1::TaskChanged& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LookAtQueue();
  void Redraw();
  std::string StatusLine() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Terminal* const terminal_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::function<std::string()> why_queued_;
  absl::Mutex mutex_;
  std::string stage_ ABSL_GUARDED_BY(mutex_);
  v1::State state_ ABSL_GUARDED_BY(mutex_) = v1::STATE_UNSPECIFIED;
  std::string waiting_ ABSL_GUARDED_BY(mutex_);  // what why_queued_ said last
  std::chrono::steady_clock::time_point next_look_ ABSL_GUARDED_BY(mutex_);
  v1::Counts counts_ ABSL_GUARDED_BY(mutex_);
  // What runs, with the last line it said.
  std::map<std::string, std::string> running_ ABSL_GUARDED_BY(mutex_);
  std::string latest_ ABSL_GUARDED_BY(mutex_);  // task that spoke last
};

}  // namespace strata::cli
