#include "base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace strata {
namespace {

using Stdio = SubprocessOptions::Stdio;

struct Pipe {
  int read_end = -1, write_end = -1;
  ~Pipe() {
    if (read_end >= 0) close(read_end);
    if (write_end >= 0) close(write_end);
  }
  bool Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    read_end = ends[0], write_end = ends[1];
    return true;
  }
  int TakeReadEnd() {
    if (read_end >= 0) fcntl(read_end, F_SETFL, O_NONBLOCK);
    return std::exchange(read_end, -1);
  }
};

// Everything the child needs, made before fork: between fork and exec only async-signal-safe calls.
struct Launch {
  std::vector<char*> argv;
  const char* cwd = nullptr;
  std::vector<int> wanted;  // becomes 0, 1, 2, 3, …; -1: as inherited
  int report_fd = -1;
  bool die_with_parent = true;
  pid_t parent = -1;
};

// Moves every wanted descriptor above the target range first, so that no dup2 overwrites another's source.
bool PlaceDescriptors(Launch& launch) {
  const int count = static_cast<int>(launch.wanted.size());
  launch.report_fd = fcntl(launch.report_fd, F_DUPFD_CLOEXEC, count);
  if (launch.report_fd < 0) return false;
  for (int& fd : launch.wanted) {
    if (fd >= 0 && (fd = fcntl(fd, F_DUPFD_CLOEXEC, count)) < 0) return false;
  }
  for (int target = 0; target < count; ++target) {
    if (launch.wanted[target] >= 0 && dup2(launch.wanted[target], target) < 0) return false;
  }
  // Other threads may have opened descriptors without close-on-exec.
  constexpr unsigned kCloseOnExec = 1U << 2;  // CLOSE_RANGE_CLOEXEC
  if (syscall(SYS_close_range, static_cast<unsigned>(count), ~0U, kCloseOnExec) != 0) {
    for (int fd = count; fd < 4096; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  return true;
}

[[noreturn]] void ReportErrnoAndExit(const Launch& launch) {
  const int error = errno;
  (void)!write(launch.report_fd, &error, sizeof error);
  _exit(127);
}

[[noreturn]] void RunChild(Launch& launch) {
  setpgid(0, 0);
  if (launch.die_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launch.parent) _exit(127);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (!PlaceDescriptors(launch)) ReportErrnoAndExit(launch);
  if (launch.cwd != nullptr && chdir(launch.cwd) != 0) ReportErrnoAndExit(launch);
  execv(launch.argv[0], launch.argv.data());
  ReportErrnoAndExit(launch);
}

}  // namespace

std::string ExitStatus::ToString() const {
  if (signal != 0) return absl::StrCat("signal ", signal, " (", strsignal(signal), ")");
  return absl::StrCat("exit status ", code);
}

absl::StatusOr<std::unique_ptr<Subprocess>> Subprocess::Start(const SubprocessOptions& options) {
  if (options.argv.empty()) return absl::InvalidArgumentError("no program to start");
  Pipe report, output, error;
  if (!report.Open() || (options.standard_output == Stdio::kPipe && !output.Open()) ||
      (options.standard_error == Stdio::kPipe && !error.Open())) {
    return absl::ErrnoToStatus(errno, "cannot make a pipe");
  }
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return absl::ErrnoToStatus(errno, "cannot open /dev/null");
  const auto choose = [null](Stdio stdio, int pipe_end) {
    return stdio == Stdio::kNull ? null : stdio == Stdio::kPipe ? pipe_end : -1;
  };
  Launch launch;
  for (const std::string& argument : options.argv) launch.argv.push_back(const_cast<char*>(argument.c_str()));
  launch.argv.push_back(nullptr);
  if (!options.cwd.empty()) launch.cwd = options.cwd.c_str();
  launch.wanted = {choose(options.standard_input, null), choose(options.standard_output, output.write_end),
                   choose(options.standard_error, error.write_end)};
  launch.wanted.insert(launch.wanted.end(), options.descriptors.begin(), options.descriptors.end());
  launch.report_fd = report.write_end;
  launch.die_with_parent = options.die_with_parent;
  launch.parent = getpid();

  const pid_t pid = fork();
  if (pid == 0) RunChild(launch);
  const int fork_error = errno;
  close(null);
  if (pid < 0) return absl::ErrnoToStatus(fork_error, "cannot fork");
  setpgid(pid, pid);  // in both, whoever comes first
  std::unique_ptr<Subprocess> process(new Subprocess(pid));

  close(std::exchange(report.write_end, -1));
  int exec_error = 0;
  ssize_t n;
  do {
    n = read(report.read_end, &exec_error, sizeof exec_error);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof exec_error) {
    return absl::ErrnoToStatus(exec_error, absl::StrCat("cannot start ", options.argv[0]));
  }
  process->output_fd_ = output.TakeReadEnd();
  process->error_fd_ = error.TakeReadEnd();
  return process;
}

Subprocess::~Subprocess() {
  if (!Poll()) {
    Signal(SIGKILL);
    Wait();
  }
  if (output_fd_ >= 0) close(output_fd_);
  if (error_fd_ >= 0) close(error_fd_);
}

std::optional<ExitStatus> Subprocess::Poll() {
  if (ended_) return ended_;
  int status = 0;
  const pid_t got = waitpid(pid_, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return std::nullopt;
  ExitStatus ended;
  if (got == pid_ && WIFSIGNALED(status)) {
    ended.signal = WTERMSIG(status);
  } else {
    ended.code = got == pid_ && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
  }
  ended_ = ended;
  return ended_;
}

std::optional<ExitStatus> Subprocess::Wait(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    if (auto ended = Poll()) return ended;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::nullopt;
    poll(nullptr, 0, static_cast<int>(std::min<int64_t>(left.count(), 5)));
  }
}

ExitStatus Subprocess::Wait() {
  while (true) {
    if (auto ended = Wait(std::chrono::hours(1))) return *ended;
  }
}

void Subprocess::Signal(int signal) {
  if (!ended_) kill(-pid_, signal);
}

ExitStatus Subprocess::Terminate(std::chrono::milliseconds grace) {
  Signal(SIGTERM);
  if (auto ended = Wait(grace)) return *ended;
  Signal(SIGKILL);
  return Wait();
}

std::string ProgramDir() {
  char path[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  return n <= 0 ? "." : DirName(std::string_view(path, static_cast<size_t>(n)));
}

}  // namespace strata
