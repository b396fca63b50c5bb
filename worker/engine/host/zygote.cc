#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "worker/engine/host/zygote.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "worker/engine/capture/capture.h"
#include "worker/engine/host/child_setup.h"
#include "worker/engine/host/hiding.h"
#include "worker/engine/host/interpreter.h"
#include "worker/engine/host/python_module.h"
#include "worker/engine/host/run_message.h"
#include "worker/engine/host/supervisor.h"

namespace strata::embedded {
extern const char kBlamePy[];
extern const char kKeptPy[];
extern const char kRunnerPy[];
extern const char kSettingPy[];
extern const char kTreesPy[];
}  // namespace strata::embedded

namespace strata::host {
namespace {

using nlohmann::json;

constexpr char kWorkDir[] = "work";
constexpr int64_t kMaxTrustedResultBytes = int64_t{256} << 20;

int CountThreads() {
  int count = 0;
  DIR* tasks = opendir("/proc/self/task");
  while (const dirent* entry = tasks != nullptr ? readdir(tasks) : nullptr) count += entry->d_name[0] != '.';
  if (tasks != nullptr) closedir(tasks);
  return count;
}

// A page shared with the children of this process; lives as long as the process.
volatile uint8_t* MakeStagePage() {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return page == MAP_FAILED ? nullptr : static_cast<volatile uint8_t*>(page);
}

RunOutcome Ours(const std::string& message) {
  RunOutcome outcome;
  outcome.stage = kStages[0];
  outcome.message = message;
  return outcome;
}

std::string InternalMessage(const absl::Status& status) {
  return json{{"status", "internal"}, {"message", std::string(status.message())}}.dump(
      -1, ' ', true, json::error_handler_t::replace);
}

absl::Status CheckRequest(const RunRequest& request) {
  if (request.file.empty() || request.file[0] != '/' || !FileExists(request.file)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file to run, '", request.file, "', is no existing absolute path"));
  }
  if (request.device != "cpu" && request.device != "cuda") {
    return absl::InvalidArgumentError(absl::StrCat("device '", request.device, "' is neither cpu nor cuda"));
  }
  if (request.numeric.threads < 1) return absl::InvalidArgumentError("at least one thread is needed");
  if (request.out_dir.empty() || request.out_dir[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat("out_dir '", request.out_dir, "' is no absolute path"));
  }
  STRATA_RETURN_IF_ERROR(MakeDirs(request.out_dir));
  STRATA_ASSIGN_OR_RETURN(const std::vector<std::string> old_files, ListFiles(request.out_dir));
  if (!old_files.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("out_dir ", request.out_dir, " is not empty: it has ", old_files[0]));
  }
  return absl::OkStatus();
}

class ForkingZygote : public Zygote {
 public:
  explicit ForkingZygote(volatile uint8_t* stage_page) : stage_page_(stage_page) {}

  RunOutcome Run(const RunRequest& request, const Limits& limits) override {
    if (const absl::Status status = CheckRequest(request); !status.ok()) {
      return Ours(std::string(status.message()));
    }
    if (request.device != "cpu" && !has_device_) {
      return Ours(
          absl::StrCat("device '", request.device, "' was asked for, but torch sees none here; ask for cpu"));
    }
    // Where user code finds itself, and where its temporary files go: not among the results.
    const std::string work_dir = JoinPath(request.out_dir, kWorkDir);
    if (const absl::Status made = MakeDirs(work_dir); !made.ok()) return Ours(std::string(made.message()));
    *stage_page_ = 0;
    const std::string text = RequestJson(request);
    const auto child = Fork(limits, work_dir, [&](int trace_fd) {
      if ((!request.hidden.empty() || request.read_only) && CanHideFiles()) {
        const absl::Status hidden = HideFiles(request.hidden, request.read_only, {request.out_dir});
        if (!hidden.ok()) return InternalMessage(hidden);
      }
      const auto result = CallText("strata_runner", "main", text, trace_fd);
      return result.ok() ? *result : InternalMessage(result.status());
    });
    if (!child.ok()) return Ours(std::string(child.status().message()));
    ChildEnd end = Supervise(*child, limits, kMaxResultBytes, /*ask_for_trace=*/true);
    RemoveTree(work_dir).IgnoreError();
    const uint8_t stage = *stage_page_;
    return OutcomeOf(request, limits, kStages[stage < std::size(kStages) ? stage : 0], std::move(end));
  }

  absl::StatusOr<std::string> RunTrusted(const std::function<absl::StatusOr<std::string>()>& work,
                                         const Limits& limits) override {
    // One byte of status code, then the value or the message.
    const auto child = Fork(limits, /*work_dir=*/"", [&](int) {
      absl::StatusOr<std::string> result = absl::InternalError("not run");
      try {
        result = work();
      } catch (const std::exception& error) {
        const std::string what = error.what();  // torch's goes on with a stack
        result = absl::InternalError(what.substr(0, what.find("\nException raised from")));
      }
      const char code = static_cast<char>(result.status().code());
      return std::string(1, code) + (result.ok() ? *result : std::string(result.status().message()));
    });
    if (!child.ok()) return child.status();
    const ChildEnd end = Supervise(*child, limits, kMaxTrustedResultBytes, /*ask_for_trace=*/false);
    return TrustedResult(end, limits);
  }

  std::vector<std::pair<std::string, std::string>> Environment() const override { return environment_; }

  absl::Status FillEnvironment() {
    STRATA_ASSIGN_OR_RETURN(const std::string versions, CallText("strata_setting", "versions"));
    // Asking for devices starts CUDA, which no fork survives: a child asks.
    Limits limits;
    STRATA_ASSIGN_OR_RETURN(const std::string devices,
                            RunTrusted([] { return CallText("strata_setting", "probe"); }, limits));
    for (const std::string& text : {versions, devices}) {
      const json fields = json::parse(text, nullptr, /*allow_exceptions=*/false);
      if (!fields.is_object()) return absl::InternalError("the interpreter does not say its versions");
      for (const auto& [key, value] : fields.items()) {
        if (value.is_string()) environment_.emplace_back(key, value.get<std::string>());
        if (key == "devices" && value != "0") has_device_ = true;
      }
    }
    environment_.emplace_back("isolation", CanHideFiles() ? "process, landlock" : "process");
    environment_.emplace_back("zygote_threads", absl::StrCat(CountThreads()));
    return absl::OkStatus();
  }

 private:
  // Forks; the child prepares itself, writes what `body(trace_fd)` returns to the result pipe and ends.
  absl::StatusOr<Child> Fork(const Limits& limits, const std::string& work_dir,
                             const std::function<std::string(int trace_fd)>& body) {
    STRATA_ASSIGN_OR_RETURN(ChildPipes pipes, ChildPipes::Make());
    fflush(nullptr);  // or the child prints it again
    const pid_t parent = getpid();
    PyOS_BeforeFork();
    const pid_t pid = fork();
    if (pid == 0) {
      const absl::Status ready = pipes.EnterChild(limits, work_dir, parent);
      PyOS_AfterFork_Child();
      if (!ready.ok()) pipes.FailChild(ready);
      pipes.FinishChild(body(ChildPipes::kTraceFd));
    }
    const int error = errno;
    PyOS_AfterFork_Parent();
    if (pid < 0) return absl::ErrnoToStatus(error, "cannot fork a runner");
    return pipes.ParentEnds(pid);
  }

  static absl::StatusOr<std::string> TrustedResult(const ChildEnd& end, const Limits& limits) {
    using Cause = ChildEnd::Cause;
    if (end.cause == Cause::kWall) {
      return absl::DeadlineExceededError(
          absl::StrCat("judging took longer than ", limits.wall.count(), " s"));
    }
    if (end.cause == Cause::kMemory || end.cause == Cause::kMachineMemory) {
      return absl::ResourceExhaustedError(
          absl::StrCat("judging needed more than ", end.peak_rss_bytes, " bytes of memory"));
    }
    if (end.cause != Cause::kEnded || end.signal != 0 || end.exit_code != 0 || end.result.empty()) {
      return absl::InternalError(absl::StrCat("the judging process ended with exit code ", end.exit_code,
                                              ", signal ", end.signal, ": ", end.err));
    }
    const auto code = static_cast<absl::StatusCode>(end.result[0]);
    std::string text = end.result.substr(1);
    if (code == absl::StatusCode::kOk) return text;
    return absl::Status(code, text);
  }

  volatile uint8_t* const stage_page_;
  std::vector<std::pair<std::string, std::string>> environment_;
  bool has_device_ = false;
};

absl::Status DefineModules() {
  STRATA_RETURN_IF_ERROR(DefineModule("strata_setting", embedded::kSettingPy));
  STRATA_RETURN_IF_ERROR(capture::InstallPythonHalf());
  STRATA_RETURN_IF_ERROR(DefineModule("strata_blame", embedded::kBlamePy));
  STRATA_RETURN_IF_ERROR(DefineModule("strata_trees", embedded::kTreesPy));
  STRATA_RETURN_IF_ERROR(DefineModule("strata_kept", embedded::kKeptPy));
  return DefineModule("strata_runner", embedded::kRunnerPy);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Zygote>> Zygote::Start(const Options& options) {
  if (CountThreads() > 1)
    return absl::FailedPreconditionError("the zygote must start before any thread does");
  if (!FileExists(options.python)) {
    return absl::FailedPreconditionError(absl::StrCat("the interpreter ", options.python, " does not exist"));
  }
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return absl::ErrnoToStatus(errno, "cannot become a subreaper");
  volatile uint8_t* page = MakeStagePage();
  if (page == nullptr) return absl::ErrnoToStatus(errno, "cannot map a page");
  SetStagePage(page);
  RegisterHostModule();
  capture::RegisterPythonModule();
  STRATA_RETURN_IF_ERROR(StartInterpreter(options.python));
  const absl::Status defined = DefineModules();
  if (!defined.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        options.python, " cannot be used; it needs torch 2.11 to 2.13: ", std::string(defined.message())));
  }
  auto zygote = std::make_unique<ForkingZygote>(page);
  STRATA_RETURN_IF_ERROR(zygote->FillEnvironment());
  return zygote;
}

}  // namespace strata::host
