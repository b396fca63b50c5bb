#include "tests/service/e2e/harness.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace strata::e2e {
namespace {

using Clock = std::chrono::steady_clock;

std::unique_ptr<Subprocess> Launch(const std::vector<std::string>& argv, SubprocessOptions::Stdio stdio) {
  SubprocessOptions options;
  options.argv = argv;
  options.standard_output = options.standard_error = stdio;
  auto process = Subprocess::Start(options);
  if (!process.ok()) {
    std::fprintf(stderr, "%s\n", std::string(process.status().message()).c_str());
    std::abort();
  }
  return *std::move(process);
}

// Appends what there is; false at the end.
bool Drain(int fd, std::string* text) {
  char buffer[8192];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    text->append(buffer, got);
  }
}

bool Answers(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool connected = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return connected;
}

}  // namespace

std::string Program(const std::string& name) { return JoinPath(ProgramDir(), name); }

Background::Background(const std::vector<std::string>& argv)
    : process_(Launch(argv, SubprocessOptions::Stdio::kPipe)) {}

void Background::Read(std::chrono::milliseconds patience) {
  pollfd fds[] = {{process_->output_fd(), POLLIN, 0}, {process_->error_fd(), POLLIN, 0}};
  poll(fds, 2, static_cast<int>(patience.count()));
  const bool out = Drain(process_->output_fd(), &result_.out);
  const bool err = Drain(process_->error_fd(), &result_.err);
  if (!out || !err) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

bool Background::AwaitOutput(const std::string& text, std::chrono::seconds patience) {
  const auto end = Clock::now() + patience;
  while (result_.out.find(text) == std::string::npos) {
    if (Clock::now() >= end || process_->Poll().has_value()) {
      Read(std::chrono::milliseconds(0));
      return result_.out.find(text) != std::string::npos;
    }
    Read(std::chrono::milliseconds(50));
  }
  return true;
}

CliResult Background::Wait(std::chrono::seconds patience) {
  const auto end = Clock::now() + patience;
  while (!process_->Poll().has_value() && Clock::now() < end) Read(std::chrono::milliseconds(50));
  if (!process_->Poll().has_value()) process_->Signal(SIGKILL);
  const ExitStatus status = process_->Wait();
  Read(std::chrono::milliseconds(0));
  result_.code = status.signal != 0 ? 128 + status.signal : status.code;
  return result_;
}

CliResult RunProgram(const std::vector<std::string>& argv, std::chrono::seconds patience) {
  return Background(argv).Wait(patience);
}

Service::Service(std::string engine, int slots)
    : dir_(*TempDir::Create("strata_e2e")), engine_(std::move(engine)), slots_(slots) {
  StartServer();
  StartWorker();
}

Service::~Service() {
  if (worker_ != nullptr) worker_->Terminate(std::chrono::seconds(10));
  if (server_ != nullptr) server_->Terminate(std::chrono::seconds(10));
}

void Service::StartServer() {
  server_ = Launch({Program("strata-server"), "--listen", address(), "--data-dir", Path("data"),
                    "--lease-seconds", "3", "--log-level", "warn"},
                   SubprocessOptions::Stdio::kInherit);
  for (int i = 0; i < 600 && !Answers(Path("s.sock")); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

void Service::StartWorker() {
  worker_ = Launch({Program("strata-worker"), "--server", address(), "--engine", engine_, "--cache-dir",
                    Path("cache"), "--slots", std::to_string(slots_), "--log-level", "warning"},
                   SubprocessOptions::Stdio::kInherit);
}

void Service::KillServer() {
  server_->Signal(SIGKILL);
  server_->Wait();
}

void Service::KillWorker() {
  worker_->Signal(SIGKILL);
  worker_->Wait();
}

std::string Service::Write(const std::string& name, const std::string& text) const {
  const std::string path = Path(name);
  if (!WriteFile(path, text).ok()) std::abort();
  return path;
}

std::vector<std::string> Service::CliArgv(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), Program("strata"));
  arguments.insert(arguments.end(), {"--server", address()});
  return arguments;
}

CliResult Service::Cli(std::vector<std::string> arguments, std::chrono::seconds patience) const {
  return RunProgram(CliArgv(std::move(arguments)), patience);
}

}  // namespace strata::e2e
