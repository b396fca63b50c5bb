#include "client/cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "client/cli/status.h"

namespace strata::cli {
namespace {

std::atomic<int> signals{0};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void OnSignal(int) {
  if (signals.fetch_add(1) > 0) _exit(kExitInterrupted);
}

}  // namespace

void WatchForInterrupt() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

bool Interrupted() { return signals.load() > 0; }

}  // namespace strata::cli
