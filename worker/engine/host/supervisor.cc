#include "worker/engine/host/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "base/capped_text.h"
#include "base/process_tree.h"

namespace strata::host {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using Cause = ChildEnd::Cause;

constexpr milliseconds kPollInterval{20};
constexpr int kPollsPerScan = 5;  // looking for new processes costs a walk over /proc
constexpr milliseconds kTracePatience{500};
constexpr milliseconds kTracePause{10};
constexpr milliseconds kKillPatience{10000};
constexpr size_t kMaxTraceBytes = 64 << 10;
// Below this the machine itself is in danger: whoever holds much is killed, and at a quarter of it anyone.
constexpr int64_t kMachineFloorBytes = int64_t{1} << 30;

class Watch {
 public:
  Watch(const Child& child, const Limits& limits, int64_t max_result_bytes)
      : child_(child), limits_(limits), max_result_bytes_(max_result_bytes) {}

  ChildEnd Run(bool ask_for_trace) {
    const Clock::time_point start = Clock::now();
    const Clock::time_point deadline = start + limits_.wall;
    while (!TryReap()) {
      // A child that closed its result is about to end: a run must not cost a whole interval more.
      PollPipes(Closed(child_.result) ? milliseconds(1) : kPollInterval);
      if (TryReap()) break;
      const std::optional<Cause> broken = Clock::now() >= deadline ? Cause::kWall : BrokenLimit();
      if (broken) {
        end_.cause = *broken;
        if (ask_for_trace) AskForTrace();
        break;
      }
    }
    KillAll();
    end_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    PollPipes(milliseconds(0));  // what was still in the pipes
    // A writer faster than the polls may have ended before anyone counted.
    if (end_.cause == Cause::kEnded) end_.cause = BrokenByVolume().value_or(Cause::kEnded);
    end_.out = out_.Text();
    end_.err = err_.Text();
    for (const int fd : {child_.out, child_.err, child_.result, child_.trace}) close(fd);
    return std::move(end_);
  }

 private:
  std::optional<Cause> BrokenByVolume() const {
    if (out_.total_bytes() + err_.total_bytes() > limits_.output_bytes) return Cause::kOutput;
    if (static_cast<int64_t>(end_.result.size()) > max_result_bytes_) return Cause::kResultTooLong;
    return std::nullopt;
  }

  std::optional<Cause> BrokenLimit() {
    if (const auto broken = BrokenByVolume()) return broken;
    if (Clock::now() < next_look_) return std::nullopt;
    next_look_ = Clock::now() + kPollInterval / 2;
    if (polls_++ % kPollsPerScan == 0) descendants_ = Descendants(getpid());
    if (static_cast<int>(descendants_.size()) > limits_.processes) return Cause::kProcesses;
    const int64_t resident = UsedBytes();
    end_.peak_rss_bytes = std::max(end_.peak_rss_bytes, resident);
    if (resident > limits_.memory_bytes) return Cause::kMemory;
    const int64_t available = AvailableMemoryBytes();
    if (available >= 0 && available < kMachineFloorBytes &&
        (resident > kMachineFloorBytes || available < kMachineFloorBytes / 4)) {
      return Cause::kMachineMemory;
    }
    return std::nullopt;
  }

  // The resident sets, which count shared pages again in every fork; only where that is too much, exactly.
  int64_t UsedBytes() const {
    int64_t bytes = 0;
    for (const pid_t pid : descendants_) bytes += ResidentBytes(pid);
    if (bytes <= limits_.memory_bytes || descendants_.size() < 2) return bytes;
    bytes = 0;
    for (const pid_t pid : descendants_) bytes += ProportionalBytes(pid);
    return bytes;
  }

  // Reads what there is; returns early when something came or closed.
  void PollPipes(milliseconds patience) {
    pollfd entries[4];
    int count = 0;
    for (const int fd : {child_.out, child_.err, child_.result, child_.trace}) {
      if (!Closed(fd)) entries[count++] = {fd, POLLIN, 0};
    }
    poll(entries, static_cast<nfds_t>(count), static_cast<int>(patience.count()));
    for (int i = 0; i < count; ++i) {
      if (entries[i].revents != 0) Drain(entries[i].fd);
    }
  }

  void Drain(int fd) {
    char buffer[1 << 16];
    // Bounded, so that a fast writer cannot keep us here while it allocates.
    for (int round = 0; round < 16; ++round) {
      const ssize_t n = read(fd, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return;
      if (n == 0) {
        closed_.push_back(fd);
        return;
      }
      Keep(fd, std::string_view(buffer, static_cast<size_t>(n)));
    }
  }

  void Keep(int fd, std::string_view data) {
    if (fd == child_.out) return out_.Append(data);
    if (fd == child_.err) return err_.Append(data);
    if (fd == child_.result) {
      if (static_cast<int64_t>(end_.result.size()) <= max_result_bytes_) end_.result += data;
      return;
    }
    end_.trace += data.substr(0, kMaxTraceBytes - std::min(kMaxTraceBytes, end_.trace.size()));
  }

  bool Closed(int fd) const { return std::find(closed_.begin(), closed_.end(), fd) != closed_.end(); }

  // The signal goes to the main thread: another one may be a pool's and know no Python.
  void AskForTrace() {
    syscall(SYS_tgkill, child_.pid, child_.pid, SIGUSR1);
    const Clock::time_point deadline = Clock::now() + kTracePatience;
    size_t before = end_.trace.size();
    bool speaking = false;  // it writes in many small pieces
    while (Clock::now() < deadline && !Closed(child_.trace)) {
      PollPipes(kTracePause);
      const bool more = end_.trace.size() > std::exchange(before, end_.trace.size());
      if (speaking && !more) return;
      speaking = speaking || more;
      const int64_t available = AvailableMemoryBytes();
      if (available >= 0 && available < kMachineFloorBytes / 2) return;
    }
  }

  bool TryReap() {
    if (reaped_) return true;
    int status = 0;
    rusage usage{};
    if (wait4(child_.pid, &status, WNOHANG, &usage) != child_.pid) return false;
    reaped_ = true;
    end_.peak_rss_bytes = std::max<int64_t>(end_.peak_rss_bytes, int64_t{usage.ru_maxrss} * 1024);
    if (WIFSIGNALED(status)) {
      end_.signal = WTERMSIG(status);
    } else if (WIFEXITED(status)) {
      end_.exit_code = WEXITSTATUS(status);
    }
    return true;
  }

  void KillAll() {
    // The group first: one signal that no fork within it can outrun. Then what left the group.
    kill(-child_.pid, SIGKILL);
    if (!reaped_) {
      kill(child_.pid, SIGKILL);
      const Clock::time_point deadline = Clock::now() + kKillPatience;
      while (!TryReap() && Clock::now() < deadline) usleep(1000);
    }
    KillAllDescendants(kKillPatience);
  }

  const Child child_;
  const Limits& limits_;
  const int64_t max_result_bytes_;
  ChildEnd end_;
  CappedText out_, err_;
  std::vector<int> closed_;
  std::vector<pid_t> descendants_;  // of this process: the child and whatever it started, orphans too
  int polls_ = 0;
  Clock::time_point next_look_{};
  bool reaped_ = false;
};

}  // namespace

ChildEnd Supervise(Child child, const Limits& limits, int64_t max_result_bytes, bool ask_for_trace) {
  return Watch(child, limits, max_result_bytes).Run(ask_for_trace);
}

}  // namespace strata::host
