#include "worker/engine/host/child_setup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata::host {
namespace {

constexpr int kFirstFree = 16;  // above every descriptor that the child keeps

absl::Status SetLimit(int resource, int64_t value, const char* name) {
  rlimit limit;
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0)
    return absl::ErrnoToStatus(errno, name);
  const rlim_t wanted = std::min(static_cast<rlim_t>(value), limit.rlim_max);
  limit = {wanted, wanted};
  if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot set ", name));
}

void CloseFrom(int first) {
  if (syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0U) == 0) return;
  const long most = sysconf(_SC_OPEN_MAX);
  for (int fd = first; fd < most; ++fd) close(fd);
}

// What Python would have set, had it been told to install handlers; and a write past RLIMIT_FSIZE ends the
// process by signal, so that it cannot be mistaken for another error.
void SetSignals() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool WriteAll(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

absl::StatusOr<ChildPipes> ChildPipes::Make() {
  ChildPipes pipes;
  for (int i = 0; i < kCount; ++i) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe");
    pipes.read_[i] = ends[0];
    pipes.write_[i] = ends[1];
  }
  return pipes;
}

ChildPipes::ChildPipes(ChildPipes&& other) noexcept {
  for (int i = 0; i < kCount; ++i) {
    read_[i] = std::exchange(other.read_[i], -1);
    write_[i] = std::exchange(other.write_[i], -1);
  }
}

ChildPipes::~ChildPipes() { CloseAll(); }

void ChildPipes::CloseAll() {
  for (int i = 0; i < kCount; ++i) {
    if (read_[i] >= 0) close(std::exchange(read_[i], -1));
    if (write_[i] >= 0) close(std::exchange(write_[i], -1));
  }
}

absl::Status ChildPipes::EnterChild(const Limits& limits, const std::string& work_dir, pid_t parent) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  // Out of the way first, so that no dup2 overwrites the source of another.
  int sources[] = {null, write_[kOut], write_[kErr], write_[kResult], write_[kTrace]};
  for (int& fd : sources) {
    if ((fd = fcntl(fd, F_DUPFD_CLOEXEC, kFirstFree)) < 0)
      return absl::ErrnoToStatus(errno, "cannot move descriptors");
  }
  for (int target = 0; target < static_cast<int>(std::size(sources)); ++target) {
    if (dup2(sources[target], target) < 0) return absl::ErrnoToStatus(errno, "cannot place descriptors");
  }
  for (const int fd : {kResultFd, kTraceFd}) fcntl(fd, F_SETFD, FD_CLOEXEC);
  CloseFrom(kTraceFd + 1);
  for (int i = 0; i < kCount; ++i) read_[i] = write_[i] = -1;
  write_[kResult] = kResultFd;
  SetSignals();
  STRATA_RETURN_IF_ERROR(SetLimit(RLIMIT_CORE, 0, "RLIMIT_CORE"));
  STRATA_RETURN_IF_ERROR(SetLimit(RLIMIT_FSIZE, limits.file_bytes, "RLIMIT_FSIZE"));
  STRATA_RETURN_IF_ERROR(SetLimit(RLIMIT_NOFILE, limits.open_files, "RLIMIT_NOFILE"));
  if (!work_dir.empty() && chdir(work_dir.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot enter ", work_dir));
  }
  return absl::OkStatus();
}

void ChildPipes::FinishChild(const std::string& message) {
  fflush(nullptr);
  _exit(WriteAll(kResultFd, message) ? 0 : 1);
}

void ChildPipes::FailChild(const absl::Status& status) {
  WriteAll(2, absl::StrCat("the runner cannot be prepared: ", std::string(status.message()), "\n"));
  _exit(1);
}

Child ChildPipes::ParentEnds(pid_t pid) {
  for (const int fd : read_) fcntl(fd, F_SETFL, O_NONBLOCK);
  Child child{.pid = pid,
              .out = std::exchange(read_[kOut], -1),
              .err = std::exchange(read_[kErr], -1),
              .result = std::exchange(read_[kResult], -1),
              .trace = std::exchange(read_[kTrace], -1)};
  CloseAll();
  return child;
}

}  // namespace strata::host
