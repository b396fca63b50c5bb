#include "worker/agent/engine_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "worker/agent/child_processes.h"

namespace strata::agent {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kOutputTailBytes = 8 << 10;
constexpr auto kSendTimeout = std::chrono::seconds(10);

// A closed wire means that the engine is on its way out: its own exit status says more than our signal.
constexpr auto kExitGrace = std::chrono::milliseconds(500);
constexpr auto kNow = std::chrono::milliseconds(0);

int PollMillis(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EngineProcess>> EngineProcess::Start(const EngineOptions& options) {
  SubprocessOptions start;
  start.argv = {options.path, "serve", "--wire-fd", "3"};
  start.argv.insert(start.argv.end(), options.arguments.begin(), options.arguments.end());
  start.standard_output = start.standard_error = SubprocessOptions::Stdio::kPipe;

  int wire[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire) != 0)
    return absl::ErrnoToStatus(errno, "socketpair");
  fcntl(wire[0], F_SETFL, O_NONBLOCK);
  start.descriptors = {wire[1]};
  auto child = ChildProcesses::Instance().Start(start);
  close(wire[1]);  // before anything is read: only then does the engine's end come as end of file
  const int cancel_fd = child.ok() ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
  if (!child.ok()) {
    close(wire[0]);
    return absl::FailedPreconditionError(absl::StrCat("the engine does not start: ", child.status().message(),
                                                      "; name the program with --engine"));
  }
  std::unique_ptr<EngineProcess> engine(new EngineProcess(*std::move(child), wire[0], cancel_fd));
  engine::v1::Event event;
  const Wait wait = engine->NextEvent(Clock::now() + options.start_timeout, &event);
  if (wait == Wait::kEvent && event.has_hello()) {
    engine->hello_ = event.hello();
    return engine;
  }
  const std::string why = wait == Wait::kDeadline
                              ? absl::StrCat("said nothing for ", options.start_timeout.count(), " s")
                          : wait == Wait::kEvent ? "did not say Hello first"
                                                 : "ended before it said Hello";
  return absl::FailedPreconditionError(absl::StrCat(
      "engine ", options.path, " ", engine->Bury(why, wait == Wait::kClosed ? kExitGrace : kNow)));
}

EngineProcess::~EngineProcess() {
  if (alive_) {
    shutdown(wire_fd_, SHUT_WR);  // it is idle: it sees the end and clears up after itself
    Bury("", kExitGrace);
  }
  close(cancel_fd_);
}

TaskEnd EngineProcess::Run(const engine::v1::Task& task, Clock::time_point deadline,
                           const TaskEvents& events) {
  TaskEnd end;
  engine::v1::Request request;
  *request.mutable_task() = task;
  if (!Send(request)) {
    end.detail = Bury("did not take the task", kNow);
    return end;
  }
  engine::v1::Event event;
  for (;;) {
    switch (NextEvent(deadline, &event)) {
      case Wait::kEvent:
        break;
      case Wait::kClosed:
        end.detail = Bury("ended", kExitGrace);
        return end;
      case Wait::kBroken:
        end.detail = Bury("wrote nonsense on its wire", kNow);
        return end;
      case Wait::kDeadline:
        end.kind = TaskEnd::Kind::kTimedOut;
        end.detail = Bury("ran past its deadline", kNow);
        return end;
      case Wait::kCancelled:
        end.kind = TaskEnd::Kind::kCancelled;
        end.detail = Bury("was cancelled", kNow);
        return end;
    }
    if (event.task_id() != task.task_id()) continue;
    if (event.has_progress() && events.progress) events.progress(event.progress());
    if (event.has_output() && events.output) events.output(event.output());
    if (event.has_finished()) {
      end.kind = TaskEnd::Kind::kFinished;
      end.finished = event.finished();
      return end;
    }
  }
}

void EngineProcess::Cancel() {
  const uint64_t one = 1;
  (void)!write(cancel_fd_, &one, sizeof one);
}

void EngineProcess::ForgetCancel() {
  uint64_t count = 0;
  (void)!read(cancel_fd_, &count, sizeof count);
}

EngineProcess::Wait EngineProcess::NextEvent(Clock::time_point deadline, engine::v1::Event* event) {
  for (;;) {
    auto frame = frames_.Next();
    if (!frame.ok()) return Wait::kBroken;
    if (frame->has_value()) return event->ParseFromString(**frame) ? Wait::kEvent : Wait::kBroken;
    if (Clock::now() >= deadline) return Wait::kDeadline;

    // poll() skips negative descriptors, so an engine that closes its stderr costs no spin.
    pollfd fds[] = {{wire_fd_, POLLIN, 0},
                    {cancel_fd_, POLLIN, 0},
                    {output_open_ ? child_->output_fd() : -1, POLLIN, 0},
                    {error_open_ ? child_->error_fd() : -1, POLLIN, 0}};
    if (poll(fds, 4, PollMillis(deadline)) < 0 && errno != EINTR) return Wait::kBroken;
    if (fds[1].revents != 0) return Wait::kCancelled;
    if ((fds[2].revents | fds[3].revents) != 0) DrainOutput();
    if (fds[0].revents != 0) {
      const Wait read = ReadWire();
      if (read != Wait::kEvent) return read;
    }
  }
}

EngineProcess::Wait EngineProcess::ReadWire() {
  char buffer[64 << 10];
  const ssize_t got = recv(wire_fd_, buffer, sizeof buffer, 0);
  if (got > 0) {
    frames_.Append(std::string_view(buffer, got));
    return Wait::kEvent;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Wait::kEvent;
  return Wait::kClosed;
}

void EngineProcess::DrainOutput() {
  output_open_ = output_open_ && Drain(child_->output_fd());
  error_open_ = error_open_ && Drain(child_->error_fd());
}

bool EngineProcess::Drain(int fd) {
  char buffer[16 << 10];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    output_tail_.append(buffer, got);
    if (output_tail_.size() > 2 * kOutputTailBytes)
      output_tail_.erase(0, output_tail_.size() - kOutputTailBytes);
  }
}

bool EngineProcess::Send(const engine::v1::Request& request) {
  const std::string frame = EncodeFrame(request);
  const auto deadline = Clock::now() + kSendTimeout;
  for (size_t sent = 0; sent < frame.size();) {
    const ssize_t put = send(wire_fd_, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (put > 0) {
      sent += put;
    } else if (errno == EAGAIN && Clock::now() < deadline) {
      pollfd fd{wire_fd_, POLLOUT, 0};
      poll(&fd, 1, PollMillis(deadline));
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

std::string EngineProcess::Bury(std::string_view why, std::chrono::milliseconds grace) {
  const ExitStatus status = ChildProcesses::Instance().End(*child_, grace);
  DrainOutput();
  close(wire_fd_);
  wire_fd_ = -1;
  alive_ = false;
  if (output_tail_.size() > kOutputTailBytes) output_tail_.erase(0, output_tail_.size() - kOutputTailBytes);
  std::string text = absl::StrCat(std::string(why), " (", status.ToString(), ")");
  if (!output_tail_.empty()) absl::StrAppend(&text, "; it printed last:\n", output_tail_);
  return text;
}

}  // namespace strata::agent
