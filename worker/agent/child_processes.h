#pragma once
// The engines this agent started, and everything they leave behind.
//
// Runners make sessions of their own, so killing an engine's process group does not reach them. The agent
// is therefore a *subreaper*: what an engine leaves behind becomes the agent's child, and a child that is
// no known engine is an orphan, killed and reaped until none is left. That has no race and needs no cgroup.
//
// Threading: all methods may be called from any thread. A child gets SIGKILL when the thread that
// called Start() ends: call it from threads that live as long as the children should.

#include <sys/types.h>

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace strata::agent {

struct Child {
  pid_t pid = -1;
  int wire_fd = -1;    // ours: one end of the socketpair, non-blocking
  int output_fd = -1;  // ours: the child's stdout and stderr, non-blocking
};

class ChildProcesses {
 public:
  // One per process: it makes the process a subreaper and owns its wait().
  static ChildProcesses& Instance();

  // Starts argv[0] (a path) in a session of its own. The other end of the socketpair is descriptor 3,
  // stdin is /dev/null, no other descriptor is inherited.
  absl::StatusOr<Child> Start(const std::vector<std::string>& argv);

  // Waits until the child has ended by itself, for `grace` at most. Reaps nothing.
  void AwaitExit(const Child& child, std::chrono::milliseconds grace);

  // Kills the child's process group and, as orphans, whatever it had started; reaps. Returns how it
  // ended, for people: "exit status 3", "signal 9 (Killed)". Closes nothing.
  std::string KillAndReap(const Child& child);

  // Children of this process that are no known child: killed and reaped.
  void KillOrphans();

 private:
  ChildProcesses();

  absl::Mutex mutex_;
  // Start() holds the mutex across fork, so a new child is never taken for an orphan.
  std::set<pid_t> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace strata::agent
