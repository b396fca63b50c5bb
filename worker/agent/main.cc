// strata-worker: see worker/agent/slot.h for what it does with a lease, session.h for how it gets one.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <future>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "worker/agent/options.h"
#include "worker/agent/slot.h"

namespace strata::agent {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitUnavailable = 3;
// How long running tasks get handed back before the agent goes.
constexpr auto kFarewell = std::chrono::seconds(5);

std::string RandomId() {
  std::random_device random;
  return absl::StrFormat("%08x-%08x-%08x-%08x", random(), random(), random(), random());
}

// Held until the process ends.
bool LockCache(const std::string& dir) {
  const int fd = open(JoinPath(dir, "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

std::shared_ptr<grpc::Channel> Dial(const std::string& server) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // how long one attempt to connect may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3000);
  // A server whose machine vanished sends no FIN: only pings find out.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
}

// What this agent offers of what the engine has; empty if nothing.
std::vector<std::string> Offered(const engine::v1::Hello& hello, const std::string& wanted) {
  std::vector<std::string> devices;
  for (const std::string& device : hello.devices()) {
    if (wanted == "auto" || wanted == device) devices.push_back(device);
  }
  return devices;
}

v1::Register MakeIdentity(const Options& options, const engine::v1::Hello& hello,
                          const std::vector<std::string>& devices) {
  v1::Register identity;
  identity.set_worker_id(RandomId());
  identity.set_name(options.name);
  identity.set_slots(options.slots);
  for (const std::string& device : devices) identity.add_devices(device);
  identity.set_engine_version(hello.engine_version());
  identity.set_torch_version(hello.torch_version());
  identity.set_isolation(hello.isolation());
  identity.set_device_memory_bytes(hello.device_memory_bytes());
  return identity;
}

EngineOptions MakeEngineOptions(const Options& options) {
  EngineOptions engine{.path = options.engine};
  if (!options.python.empty()) engine.arguments = {"--python", options.python};
  return engine;
}

// Every slot's engine is started on the thread that runs the slot: the engine lives as long as it.
struct RunningSlot {
  std::unique_ptr<Slot> slot;
  std::promise<Slot::Parts> parts;
  std::thread thread;
};

void Start(RunningSlot& running, std::promise<absl::StatusOr<engine::v1::Hello>>* hello) {
  running.thread = std::thread([&running, hello] {
    if (hello != nullptr) hello->set_value(running.slot->Warm());
    const Slot::Parts parts = running.parts.get_future().get();
    if (parts.book != nullptr) running.slot->Run(parts);
  });
}

int WaitForSignal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  int signal = 0;
  sigwait(&signals, &signal);
  return signal;
}

void Serve(const Options& options, const v1::Register& identity, BlobCache& cache,
           std::vector<RunningSlot>& slots) {
  const auto channel = Dial(options.server);
  LeaseBook book;
  Session session(channel, identity, &book);
  BlobClient blobs(channel);
  std::thread dialer([&session] { session.Run(); });
  for (RunningSlot& running : slots) running.parts.set_value({&book, &session, &cache, &blobs});

  spdlog::info("stopping signal={}", strsignal(WaitForSignal()));
  book.Stop();
  session.Wake();
  const auto end = std::chrono::steady_clock::now() + kFarewell;
  while (!book.Held().empty() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  book.Abandon();
  session.Stop();
  dialer.join();
  for (RunningSlot& running : slots) running.thread.join();
}

int Run(const Options& options) {
  if (absl::Status made = MakeDirs(options.cache_dir); !made.ok() || !LockCache(options.cache_dir)) {
    spdlog::error("cache folder {} cannot be used or belongs to another agent; name another with --cache-dir",
                  options.cache_dir);
    return kExitUsage;
  }
  const std::string work_dir = JoinPath(options.cache_dir, "work");
  (void)RemoveTree(work_dir);
  auto cache = BlobCache::Open(JoinPath(options.cache_dir, "blobs"), options.cache_bytes);
  if (!cache.ok()) {
    spdlog::error("{}", std::string(cache.status().message()));
    return kExitUsage;
  }
  std::vector<RunningSlot> slots(options.slots);
  for (RunningSlot& running : slots)
    running.slot = std::make_unique<Slot>(MakeEngineOptions(options), work_dir);

  std::promise<absl::StatusOr<engine::v1::Hello>> first;
  for (RunningSlot& running : slots) Start(running, &running == &slots[0] ? &first : nullptr);
  const auto hello = first.get_future().get();
  const auto devices = hello.ok() ? Offered(*hello, options.device) : std::vector<std::string>();
  if (devices.empty()) {
    for (RunningSlot& running : slots) running.parts.set_value({});
    for (RunningSlot& running : slots) running.thread.join();
    spdlog::error("{}", hello.ok() ? "the engine has no device " + options.device + " here; it has " +
                                         absl::StrJoin(hello->devices(), ", ")
                                   : std::string(hello.status().message()));
    return kExitUnavailable;
  }
  spdlog::info("ready server={} slots={} devices={} cache_dir={}", options.server, options.slots,
               absl::StrJoin(devices, ","), options.cache_dir);
  Serve(options, MakeIdentity(options, *hello, devices), **cache, slots);
  return 0;
}

}  // namespace
}  // namespace strata::agent

int main(int argc, char** argv) {
  strata::agent::Options options;
  int exit_code = 0;
  if (!strata::agent::ParseOptions(argc, argv, &options, &exit_code)) return exit_code;
  spdlog::set_default_logger(spdlog::stderr_logger_mt("strata-worker"));
  spdlog::set_level(spdlog::level::from_str(options.log_level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  setenv("GRPC_VERBOSITY", "ERROR", /*overwrite=*/0);  // its own chatter about lost connections
  // Before any thread exists, so that all inherit it: signals are read in one place.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return strata::agent::Run(options);
}
