#pragma once
// Watches one forked child until it has ended or broken a limit, and leaves nothing of it alive.

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "worker/engine/host/zygote.h"

namespace strata::host {

// Our ends of the child's pipes, non-blocking; Supervise closes them.
struct Child {
  pid_t pid = -1;
  int out = -1, err = -1;
  int result = -1;  // its one message
  int trace = -1;   // where faulthandler writes
};

struct ChildEnd {
  enum class Cause : uint8_t { kEnded, kWall, kMemory, kMachineMemory, kOutput, kProcesses, kResultTooLong };
  Cause cause = Cause::kEnded;
  int exit_code = 0;  // kEnded, signal 0
  int signal = 0;     // kEnded
  std::string result;
  std::string trace;  // the first 64 KiB
  std::string out, err;
  double seconds = 0;
  int64_t peak_rss_bytes = 0;
};

// REQUIRES: this process is a subreaper and has no other child. When a limit is broken, and `ask_for_trace`,
// the child gets SIGUSR1 and a moment to say where it stands before it is killed.
ChildEnd Supervise(Child child, const Limits& limits, int64_t max_result_bytes, bool ask_for_trace);

}  // namespace strata::host
