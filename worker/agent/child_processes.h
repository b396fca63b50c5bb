#pragma once
// The engines this agent started, and everything they leave behind.
//
// Runners make sessions of their own, so killing an engine's process group does not reach them. The agent
// is therefore a *subreaper*: what an engine leaves behind becomes the agent's child, and a child that is
// no known engine is an orphan, killed and reaped until none is left. That has no race and needs no cgroup.
//
// Threading: all methods from any thread. A child gets SIGKILL when the thread that called Start() ends:
// call it from threads that live as long as the children should.

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/subprocess.h"

namespace strata::agent {

class ChildProcesses {
 public:
  // One per process: it makes the process a subreaper, and every child not started here an orphan.
  static ChildProcesses& Instance();

  absl::StatusOr<std::unique_ptr<Subprocess>> Start(const SubprocessOptions& options);

  // Waits `grace` for the child to end by itself, then kills it and, as orphans, whatever it had started.
  ExitStatus End(Subprocess& child, std::chrono::milliseconds grace);

  // Children of this process that are no known child: killed and reaped.
  void KillOrphans();

 private:
  ChildProcesses();

  absl::Mutex mutex_;
  // Start() holds the mutex across fork, so a new child is never taken for an orphan.
  std::set<pid_t> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace strata::agent
