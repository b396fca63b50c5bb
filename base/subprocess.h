#pragma once
// Starts another program and keeps it on a lead.

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace strata {

struct ExitStatus {
  int code = 0;    // meaningful when signal is 0
  int signal = 0;  // that ended it
  bool ok() const { return code == 0 && signal == 0; }
  std::string ToString() const;  // for people: "exit status 3", "signal 9 (Killed)"
};

struct SubprocessOptions {
  std::vector<std::string> argv;  // argv[0] is a path, not searched for
  std::string cwd;                // empty: this process's
  enum class Stdio { kInherit, kNull, kPipe };
  Stdio standard_input = Stdio::kNull;  // kNull or kInherit
  Stdio standard_output = Stdio::kInherit;
  Stdio standard_error = Stdio::kInherit;
  // Descriptors of this process that the program gets as 3, 4, …; it gets no other.
  std::vector<int> descriptors;
  // SIGKILL for the program when the *thread* that calls Start ends: call from one that lives long enough.
  bool die_with_parent = true;
};

// Threading: one thread at a time. Reaps its own child only; do not use beside a wait for any child (-1).
class Subprocess {
 public:
  // The program runs in a process group of its own. NotFound, PermissionDenied, … where exec failed.
  static absl::StatusOr<std::unique_ptr<Subprocess>> Start(const SubprocessOptions& options);
  // Kills the group if the program still runs, and reaps it.
  ~Subprocess();
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  pid_t pid() const { return pid_; }
  // Read ends of kPipe, non-blocking, owned by this object; else -1.
  int output_fd() const { return output_fd_; }
  int error_fd() const { return error_fd_; }

  // Empty while it runs (for Wait: still runs after `patience`).
  std::optional<ExitStatus> Poll();
  std::optional<ExitStatus> Wait(std::chrono::milliseconds patience);
  ExitStatus Wait();

  void Signal(int signal);  // to the whole group; nothing once it was reaped
  // SIGTERM, then SIGKILL after `grace`.
  ExitStatus Terminate(std::chrono::milliseconds grace);

 private:
  explicit Subprocess(pid_t pid) : pid_(pid) {}
  pid_t pid_;
  int output_fd_ = -1;
  int error_fd_ = -1;
  std::optional<ExitStatus> ended_;
};

// The folder that holds the running program, to find its sister programs in; "." where unknown.
std::string ProgramDir();

}  // namespace strata
