#include "client/cli/embedded.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata::cli {
namespace {

constexpr auto kGrace = std::chrono::seconds(8);
constexpr size_t kLogTailBytes = 4 << 10;

constexpr char kPrefix[] = "strata-";
constexpr char kSocket[] = "s.sock";

// $TMPDIR, but /tmp where that is too long for the path of a socket.
std::string FolderParent() {
  const char* from_environment = std::getenv("TMPDIR");
  const std::string parent =
      from_environment != nullptr && *from_environment != '\0' ? from_environment : "/tmp";
  const std::string socket = JoinPath(JoinPath(parent, absl::StrCat(kPrefix, "XXXXXX")), kSocket);
  return socket.size() < sizeof(sockaddr_un::sun_path) ? parent : "/tmp";
}

int DefaultSlots() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 4, 1, 4); }

}  // namespace

class EmbeddedService::Lock {
 public:
  static absl::StatusOr<std::unique_ptr<Lock>> Take(const std::string& folder) {
    // It gets its name when it is held: a lock that can be found and taken is a dead one's.
    const std::string path = JoinPath(folder, kName), fresh = path + ".new";
    const int fd = open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", fresh));
    std::unique_ptr<Lock> lock(new Lock(fd));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || rename(fresh.c_str(), path.c_str()) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot lock ", path));
    }
    return lock;
  }

  static void RemoveDeadFolders(const std::string& parent) {
    std::error_code error;
    for (std::filesystem::directory_iterator it(parent, error), end; !error && it != end;
         it.increment(error)) {
      const std::string folder = it->path().string();
      struct stat info {};
      if (!BaseName(folder).starts_with(kPrefix) || lstat(folder.c_str(), &info) != 0) continue;
      if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid()) continue;
      const int fd = open(JoinPath(folder, kName).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
      if (fd < 0) continue;
      const Lock lock(fd);
      if (flock(fd, LOCK_EX | LOCK_NB) == 0) RemoveTree(folder).IgnoreError();
    }
  }

  ~Lock() { close(fd_); }

 private:
  static constexpr char kName[] = "strata.lock";

  explicit Lock(int fd) : fd_(fd) {}
  const int fd_;
};

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

EmbeddedService::EmbeddedService(TempDir folder, std::unique_ptr<Lock> lock)
    : lock_(std::move(lock)), folder_(std::move(folder)) {}
EmbeddedService::~EmbeddedService() {
  worker_.reset();
  // Its data goes with the folder: nothing to wait for.
  if (server_ != nullptr) server_->Kill();
}

absl::StatusOr<std::unique_ptr<EmbeddedService>> EmbeddedService::Start(const EmbeddedOptions& options) {
  const std::string parent = FolderParent();
  Lock::RemoveDeadFolders(parent);
  STRATA_ASSIGN_OR_RETURN(TempDir folder, TempDir::Create(kPrefix, parent));
  STRATA_ASSIGN_OR_RETURN(std::unique_ptr<Lock> lock, Lock::Take(folder.path()));
  std::unique_ptr<EmbeddedService> service(new EmbeddedService(std::move(folder), std::move(lock)));
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

std::string EmbeddedService::address() const { return "unix:" + JoinPath(folder_.path(), kSocket); }

absl::Status EmbeddedService::Health() {
  STRATA_RETURN_IF_ERROR(server_->Health());
  return worker_->Health();
}

}  // namespace strata::cli
