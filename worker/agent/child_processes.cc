#include "worker/agent/child_processes.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

namespace strata::agent {
namespace {

std::vector<pid_t> ChildrenOfThisProcess() {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream file(task.path() / "children");
    for (pid_t pid; file >> pid;) children.push_back(pid);
  }
  return children;
}

}  // namespace

ChildProcesses::ChildProcesses() { prctl(PR_SET_CHILD_SUBREAPER, 1); }

ChildProcesses& ChildProcesses::Instance() {
  static auto* instance = new ChildProcesses;
  return *instance;
}

absl::StatusOr<std::unique_ptr<Subprocess>> ChildProcesses::Start(const SubprocessOptions& options) {
  absl::MutexLock lock(&mutex_);
  auto child = Subprocess::Start(options);
  if (child.ok()) known_.insert((*child)->pid());
  return child;
}

ExitStatus ChildProcesses::End(Subprocess& child, std::chrono::milliseconds grace) {
  if (!child.Wait(grace).has_value()) child.Signal(SIGKILL);
  const ExitStatus status = child.Wait();
  {
    absl::MutexLock lock(&mutex_);
    known_.erase(child.pid());
  }
  KillOrphans();
  return status;
}

void ChildProcesses::KillOrphans() {
  // Killing an orphan may orphan its own children, which then arrive here: until nothing is found.
  for (bool found = true; std::exchange(found, false);) {
    absl::MutexLock lock(&mutex_);
    for (pid_t pid : ChildrenOfThisProcess()) {
      if (known_.contains(pid)) continue;
      found = true;
      kill(-pid, SIGKILL);
      kill(pid, SIGKILL);
      while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }
}

}  // namespace strata::agent
