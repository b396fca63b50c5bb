#include "client/cli/embedded.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata::cli {
namespace {

constexpr auto kGrace = std::chrono::seconds(8);
constexpr size_t kLogTailBytes = 4 << 10;

int DefaultSlots() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 4, 1, 4); }

}  // namespace

class EmbeddedService::Daemon {
 public:
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const std::string& name,
                                                       std::vector<std::string> arguments, bool verbose) {
    SubprocessOptions options;
    options.argv = {JoinPath(ProgramDir(), name)};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.standard_output = SubprocessOptions::Stdio::kNull;
    options.standard_error = verbose ? SubprocessOptions::Stdio::kInherit : SubprocessOptions::Stdio::kPipe;
    auto process = Subprocess::Start(options);
    if (!process.ok()) {
      return absl::UnavailableError(
          absl::StrCat(process.status().message(), "; ", name,
                       " has to lie beside strata, or name a server with --server"));
    }
    return std::unique_ptr<Daemon>(new Daemon(name, *std::move(process)));
  }

  ~Daemon() {
    process_->Terminate(kGrace);
    stopping_ = true;
    drainer_.join();
  }

  void Kill() { process_->Signal(SIGKILL); }

  absl::Status Health() {
    const auto ended = process_->Poll();
    if (!ended.has_value()) return absl::OkStatus();
    // What it said last may still be on its way through the pipe.
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    absl::MutexLock lock(&mutex_);
    return absl::UnavailableError(
        absl::StrCat(name_, " ended with ", ended->ToString(), log_.empty() ? "" : ":\n", log_));
  }

 private:
  Daemon(std::string name, std::unique_ptr<Subprocess> process)
      : name_(std::move(name)), process_(std::move(process)), drainer_([this] { Drain(); }) {}

  void Drain() {
    const int fd = process_->error_fd();
    char buffer[4096];
    while (fd >= 0 && !stopping_) {
      pollfd wait{fd, POLLIN, 0};
      if (poll(&wait, 1, 100) <= 0) continue;
      const ssize_t got = read(fd, buffer, sizeof buffer);
      if (got == 0) return;
      if (got < 0) continue;
      absl::MutexLock lock(&mutex_);
      log_.append(buffer, got);
      if (log_.size() <= kLogTailBytes) continue;
      log_.erase(0, log_.size() - kLogTailBytes);
      log_.erase(0, std::min(log_.size(), log_.find('\n') + 1));
    }
  }

  const std::string name_;
  const std::unique_ptr<Subprocess> process_;
  std::atomic<bool> stopping_{false};
  absl::Mutex mutex_;
  std::string log_ ABSL_GUARDED_BY(mutex_);
  std::thread drainer_;  // last: it uses the others
};

EmbeddedService::EmbeddedService(TempDir folder) : folder_(std::move(folder)) {}
EmbeddedService::~EmbeddedService() {
  worker_.reset();
  // Its data goes with the folder: nothing to wait for.
  if (server_ != nullptr) server_->Kill();
}

absl::StatusOr<std::unique_ptr<EmbeddedService>> EmbeddedService::Start(const EmbeddedOptions& options) {
  STRATA_ASSIGN_OR_RETURN(TempDir folder, TempDir::Create("strata-"));
  std::unique_ptr<EmbeddedService> service(new EmbeddedService(std::move(folder)));
  const std::string& path = service->folder_.path();
  STRATA_ASSIGN_OR_RETURN(
      service->server_,
      Daemon::Start("strata-server", {"--listen", service->address(), "--data-dir", JoinPath(path, "data")},
                    options.verbose));
  STRATA_ASSIGN_OR_RETURN(service->worker_,
                          Daemon::Start("strata-worker",
                                        {"--server", service->address(), "--cache-dir",
                                         JoinPath(path, "worker"), "--device", options.device, "--slots",
                                         absl::StrCat(options.slots > 0 ? options.slots : DefaultSlots())},
                                        options.verbose));
  return service;
}

absl::Status EmbeddedService::Health() {
  STRATA_RETURN_IF_ERROR(server_->Health());
  return worker_->Health();
}

}  // namespace strata::cli
