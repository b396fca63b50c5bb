#include "worker/engine/pipeline/wire.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/capped_text.h"
#include "strata/engine/v1/engine.pb.h"
#include "worker/engine/verify/findings.h"

namespace strata::pipeline {
namespace {

namespace pb = strata::engine::v1;

constexpr uint64_t kMaxMessageBytes = uint64_t{4} << 20;

class Channel {
 public:
  explicit Channel(int fd) : fd_(fd) {}

  bool Send(const pb::Event& event) {
    const std::string body = event.SerializeAsString();
    std::string bytes;
    for (uint64_t rest = body.size();; rest >>= 7) {
      bytes.push_back(static_cast<char>(rest < 0x80 ? rest : (rest & 0x7f) | 0x80));
      if (rest < 0x80) break;
    }
    bytes += body;
    return WriteAll(bytes);
  }

  enum class Read { kMessage, kEnd, kBroken };
  Read Receive(pb::Request& request) {
    uint64_t size = 0;
    for (int shift = 0;; shift += 7) {
      uint8_t byte = 0;
      if (!ReadAll(&byte, 1)) return shift == 0 ? Read::kEnd : Read::kBroken;
      size |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
      if (shift > 28) return Read::kBroken;
    }
    if (size > kMaxMessageBytes) return Read::kBroken;
    std::string body(size, '\0');
    if (!ReadAll(body.data(), body.size())) return Read::kBroken;
    return request.ParseFromString(body) ? Read::kMessage : Read::kBroken;
  }

 private:
  bool WriteAll(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  bool ReadAll(void* data, size_t size) {
    auto* at = static_cast<char*>(data);
    while (size > 0) {
      const ssize_t n = read(fd_, at, size);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      at += n;
      size -= static_cast<size_t>(n);
    }
    return true;
  }

  int fd_;
};

class WireReporter : public Reporter {
 public:
  WireReporter(Channel& channel, std::string task_id) : channel_(channel), task_id_(std::move(task_id)) {}

  void Progress(std::string_view line) override {
    pb::Event event;
    event.set_task_id(task_id_);
    event.set_progress(ValidUtf8(line));
    channel_.Send(event);  // where the agent is gone, the next Receive says so
  }

  void Output(Stream stream, std::string_view text) override {
    pb::Event event;
    event.set_task_id(task_id_);
    event.mutable_output()->set_stream(stream == Stream::kStdout   ? pb::Output::STDOUT
                                       : stream == Stream::kStderr ? pb::Output::STDERR
                                                                   : pb::Output::TRACEBACK);
    event.mutable_output()->set_data(text.data(), text.size());
    channel_.Send(event);
  }

 private:
  Channel& channel_;
  const std::string task_id_;
};

std::string Lookup(const host::Zygote& zygote, const std::string& name) {
  for (const auto& [key, value] : zygote.Environment()) {
    if (key == name) return value;
  }
  return "";
}

pb::Event HelloEvent(const host::Zygote& zygote) {
  pb::Event event;
  pb::Hello& hello = *event.mutable_hello();
  hello.set_engine_version(STRATA_VERSION);
  hello.set_torch_version(Lookup(zygote, "torch"));
  hello.set_python_version(Lookup(zygote, "python"));
  hello.add_devices("cpu");
  const std::string devices = Lookup(zygote, "devices");
  if (!devices.empty() && devices != "0") hello.add_devices("cuda");
  hello.set_isolation("process");
  const std::string memory = Lookup(zygote, "device_memory_bytes");
  if (!memory.empty()) hello.set_device_memory_bytes(std::strtoull(memory.c_str(), nullptr, 10));
  return event;
}

std::optional<TaskKind> KindOf(pb::TaskKind kind) {
  switch (kind) {
    case pb::TASK_KIND_PREPARE:
      return TaskKind::kPrepare;
    case pb::TASK_KIND_DECOMPOSE:
      return TaskKind::kDecompose;
    case pb::TASK_KIND_VERIFY:
      return TaskKind::kVerify;
    case pb::TASK_KIND_COMPOSE:
      return TaskKind::kCompose;
    case pb::TASK_KIND_COVERAGE:
      return TaskKind::kCoverage;
    case pb::TASK_KIND_PUBLISH:
      return TaskKind::kPublish;
    case pb::TASK_KIND_JUDGE:
      return TaskKind::kJudge;
    default:
      return std::nullopt;
  }
}

Task ToTask(const pb::Task& task, TaskKind kind) {
  Task plain{.kind = kind,
             .component = task.component(),
             .source = task.source(),
             .input_dir = task.input_dir(),
             .output_dir = task.output_dir(),
             .device = task.device().empty() ? "cpu" : task.device()};
  if (task.threads() > 0) plain.numeric.threads = static_cast<int>(task.threads());
  const pb::Limits& limits = task.limits();
  if (limits.wall_seconds() > 0) plain.limits.wall = std::chrono::seconds(limits.wall_seconds());
  if (limits.memory_bytes() > 0) plain.limits.memory_bytes = static_cast<int64_t>(limits.memory_bytes());
  if (limits.output_bytes() > 0) plain.limits.output_bytes = static_cast<int64_t>(limits.output_bytes());
  if (limits.file_bytes() > 0) plain.limits.file_bytes = static_cast<int64_t>(limits.file_bytes());
  return plain;
}

pb::FailureKind ToProto(FailureKind kind) {
  switch (kind) {
    case FailureKind::kUser:
      return pb::FAILURE_KIND_USER;
    case FailureKind::kLimits:
      return pb::FAILURE_KIND_LIMITS;
    case FailureKind::kGate:
      return pb::FAILURE_KIND_GATE;
    case FailureKind::kOurs:
      return pb::FAILURE_KIND_OURS;
  }
  return pb::FAILURE_KIND_OURS;
}

pb::Event FinishedEvent(const std::string& task_id, const Outcome& outcome) {
  pb::Event event;
  event.set_task_id(task_id);
  pb::Finished& finished = *event.mutable_finished();
  finished.set_status(pb::TASK_STATUS_PASSED);
  if (outcome.failure) {
    const Failure& failure = *outcome.failure;
    finished.set_status(failure.kind == FailureKind::kGate ? pb::TASK_STATUS_GATE_FAILED
                                                           : pb::TASK_STATUS_FAILED);
    pb::Failure& out = *finished.mutable_failure();
    out.set_kind(ToProto(failure.kind));
    out.set_message(ValidUtf8(failure.message));
    out.set_component(ValidUtf8(failure.component));
    out.set_file(ValidUtf8(failure.file));
    out.set_line(static_cast<uint32_t>(std::max(0, failure.line)));
    out.set_traceback(ValidUtf8(failure.traceback));
  }
  for (const std::string& file : outcome.files) finished.add_files(ValidUtf8(file));
  finished.set_seconds(outcome.seconds);
  finished.set_peak_memory_bytes(static_cast<uint64_t>(std::max<int64_t>(0, outcome.peak_memory_bytes)));
  return event;
}

// "" or why the task cannot start.
std::string CheckTask(const pb::Task& task) {
  namespace fs = std::filesystem;
  if (!KindOf(task.kind())) return absl::StrCat("unknown task kind ", static_cast<int>(task.kind()));
  for (const std::string& dir : {task.input_dir(), task.output_dir()}) {
    if (!fs::path(dir).is_absolute() || !fs::is_directory(dir))
      return absl::StrCat("'", dir, "' is no absolute folder");
  }
  return "";
}

Outcome RunOne(host::Zygote& zygote, verify::Findings& findings, const pb::Task& task, Channel& channel) {
  if (const std::string wrong = CheckTask(task); !wrong.empty())
    return {.failure = Failure{.message = wrong}};
  WireReporter reporter(channel, task.task_id());
  return RunTask(zygote, findings, ToTask(task, *KindOf(task.kind())), reporter);
}

}  // namespace

int Serve(host::Zygote& zygote, int fd) {
  std::signal(SIGPIPE, SIG_IGN);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  Channel channel(fd);
  verify::Findings findings;
  if (!channel.Send(HelloEvent(zygote))) return 1;
  while (true) {
    pb::Request request;
    switch (channel.Receive(request)) {
      case Channel::Read::kEnd:
        return 0;
      case Channel::Read::kBroken:
        std::fprintf(stderr, "strata-engine: the peer on descriptor %d sent no valid request\n", fd);
        return 1;
      case Channel::Read::kMessage:
        break;
    }
    if (request.kind_case() == pb::Request::kShutdown) return 0;
    if (request.kind_case() != pb::Request::kTask) return 1;
    const Outcome outcome = RunOne(zygote, findings, request.task(), channel);
    if (!channel.Send(FinishedEvent(request.task().task_id(), outcome))) return 1;
  }
}

}  // namespace strata::pipeline
