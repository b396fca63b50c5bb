#include "worker/agent/child_processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace strata::agent {
namespace {

constexpr int kWireFd = 3;

absl::Status ErrnoStatus(std::string_view what) {
  return absl::InternalError(absl::StrCat(std::string(what), ": ", std::strerror(errno)));
}

void CloseAll(std::initializer_list<int> fds) {
  for (int fd : fds) {
    if (fd >= 0) close(fd);
  }
}

// Between fork and exec: async-signal-safe calls only, the parent has threads.
[[noreturn]] void ExecChild(char* const* argv, int wire, int output, pid_t parent) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before the line above
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGPIPE, SIG_DFL);
  const int null = open("/dev/null", O_RDONLY);
  // Out of the way first: `wire` or `output` may themselves lie on 0 to 3.
  const int high_wire = fcntl(wire, F_DUPFD, 16);
  const int high_output = fcntl(output, F_DUPFD, 16);
  if (null < 0 || high_wire < 0 || high_output < 0) _exit(127);
  dup2(null, 0);
  dup2(high_output, 1);
  dup2(high_output, 2);
  dup2(high_wire, kWireFd);
  close_range(kWireFd + 1, ~0U, 0);
  execv(argv[0], argv);
  const char message[] = "cannot execute the engine\n";
  (void)!write(2, message, sizeof message - 1);
  _exit(127);
}

std::string DescribeEnd(int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return absl::StrCat("signal ", signal, " (", strsignal(signal), ")");
  }
  return absl::StrCat("exit status ", WEXITSTATUS(status));
}

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

absl::StatusOr<Child> ChildProcesses::Start(const std::vector<std::string>& argv) {
  if (argv.empty() || access(argv[0].c_str(), X_OK) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("engine ", argv.empty() ? "" : argv[0], " is not an executable file; name it with --engine"));
  }
  std::vector<char*> raw;
  for (const std::string& argument : argv) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);

  int wire[2] = {-1, -1};
  int output[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire) != 0) return ErrnoStatus("socketpair");
  if (pipe2(output, O_CLOEXEC) != 0) {
    CloseAll({wire[0], wire[1]});
    return ErrnoStatus("pipe");
  }
  fcntl(wire[0], F_SETFL, O_NONBLOCK);
  fcntl(output[0], F_SETFL, O_NONBLOCK);

  absl::MutexLock lock(&mutex_);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) ExecChild(raw.data(), wire[1], output[1], parent);
  CloseAll({wire[1], output[1]});
  if (pid < 0) {
    CloseAll({wire[0], output[0]});
    return ErrnoStatus("fork");
  }
  known_.insert(pid);
  return Child{pid, wire[0], output[0]};
}

void ChildProcesses::AwaitExit(const Child& child, std::chrono::milliseconds grace) {
  const auto deadline = std::chrono::steady_clock::now() + grace;
  for (;;) {
    siginfo_t info{};
    if (waitid(P_PID, child.pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == child.pid) return;
    if (std::chrono::steady_clock::now() >= deadline) return;
    absl::SleepFor(absl::Milliseconds(5));
  }
}

std::string ChildProcesses::KillAndReap(const Child& child) {
  kill(-child.pid, SIGKILL);
  kill(child.pid, SIGKILL);  // it may not have reached setsid() yet
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  {
    absl::MutexLock lock(&mutex_);
    known_.erase(child.pid);
  }
  KillOrphans();
  return DescribeEnd(status);
}

void ChildProcesses::KillOrphans() {
  // Killing an orphan may orphan its own children, which then arrive here: until nothing is found.
  for (bool found = true; found;) {
    found = false;
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
