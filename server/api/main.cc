// strata-server: the coordinator.
#include <pthread.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "server/api/server.h"

namespace {

// Blocked before any thread exists, so that only sigwait below sees them.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

int ExitCode(const absl::Status& status) { return absl::IsInvalidArgument(status) ? 2 : 3; }

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("strata-server: takes submissions, hands their tasks to workers, keeps the results.");
  std::string listen = "unix:/tmp/strata.sock";
  std::string data_dir = "strata-data";
  std::string log_level = "info";
  int lease_seconds = 30;
  int task_seconds = 7200;
  app.add_option("--listen", listen, "unix:PATH or a loopback HOST:PORT; port 0 finds a free one")
      ->capture_default_str();
  app.add_option("--data-dir", data_dir, "folder of the database and the stored files; made if missing")
      ->capture_default_str();
  app.add_option("--log-level", log_level, "what goes to stderr")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_option("--lease-seconds", lease_seconds, "a worker not heard of for so long has lost its tasks")
      ->check(CLI::Range(3, 3600))
      ->capture_default_str();
  app.add_option("--task-seconds", task_seconds, "the longest that one task may run")
      ->check(CLI::Range(10, 7 * 86400))
      ->capture_default_str();
  app.set_version_flag("--version", STRATA_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  spdlog::set_default_logger(spdlog::stderr_logger_mt("strata-server"));
  spdlog::set_level(spdlog::level::from_str(log_level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
  setenv("GRPC_VERBOSITY", "ERROR", /*overwrite=*/0);
  umask(077);  // submissions and the socket are nobody else's business
  const sigset_t signals = BlockSignals();

  strata::api::ServerOptions options;
  options.listen = listen;
  options.coordinator.data_dir = data_dir;
  options.coordinator.jobs.lease = absl::Seconds(lease_seconds);
  options.coordinator.jobs.task_deadline = absl::Seconds(task_seconds);
  options.coordinator.log = [](const std::string& line) { spdlog::info("{}", line); };
  options.coordinator.on_fatal = [](const absl::Status& status) {
    spdlog::critical("the database can be neither written nor read; stopping: {}",
                     std::string(status.message()));
    spdlog::shutdown();
    _exit(1);
  };
  auto server = strata::api::Server::Start(std::move(options));
  if (!server.ok()) {
    std::cerr << "strata-server: " << server.status().message() << "\n";
    return ExitCode(server.status());
  }
  std::cout << "strata-server " << STRATA_VERSION << " ready on " << (*server)->address() << std::endl;
  spdlog::info("ready on {} data_dir={} pid={}", (*server)->address(), data_dir, getpid());

  int received = 0;
  sigwait(&signals, &received);
  spdlog::info("{}: stopping", strsignal(received));
  (*server)->Stop(absl::Seconds(5));
  spdlog::info("stopped");
  return 0;
}
