#pragma once
// One strata-engine process: started once, kept warm, one task at a time.
//
// Life:  Start() ─ Hello ─→ idle ─ Run() ─→ busy ─→ idle │ dead
// A dead engine stays dead; its owner starts another. The engine is judged by its wire only: it is dead
// when the wire closes, carries nonsense, or a task ran past its deadline.
//
// Threading: Start and Run block and belong to one thread that lives as long as the engine; Cancel() may
// come from any thread.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/subprocess.h"
#include "strata/engine/v1/engine.pb.h"
#include "worker/agent/wire.h"

namespace strata::agent {

struct EngineOptions {
  std::string path;                    // the program
  std::vector<std::string> arguments;  // besides `serve --wire-fd 3`
  std::chrono::seconds start_timeout{120};
};

// How a task ended, as the agent saw it.
struct TaskEnd {
  enum class Kind {
    kFinished,   // `finished` is the engine's word
    kDied,       // the engine ended or broke the wire; it may or may not be the submission's fault
    kTimedOut,   // killed at the deadline
    kCancelled,  // killed by Cancel()
  };
  Kind kind = Kind::kDied;
  engine::v1::Finished finished;
  std::string detail;  // unless kFinished: how the engine ended, with the tail of what it printed
};

// What the engine says while it works. Called on the thread of Run().
struct TaskEvents {
  std::function<void(const std::string& line)> progress;
  std::function<void(const engine::v1::Output& output)> output;
};

class EngineProcess {
 public:
  // Returns when the engine has said Hello. FailedPrecondition: it does not start here (with what it
  // printed); what to do is in the message.
  static absl::StatusOr<std::unique_ptr<EngineProcess>> Start(const EngineOptions& options);

  // Kills the engine and everything it started.
  ~EngineProcess();
  EngineProcess(const EngineProcess&) = delete;

  // REQUIRES: alive().
  TaskEnd Run(const engine::v1::Task& task, std::chrono::steady_clock::time_point deadline,
              const TaskEvents& events);

  // Makes the Run() in progress end with kCancelled, whatever the engine does. The engine is dead then.
  // Without a Run() in progress the next one ends at once, unless ForgetCancel() comes before it.
  void Cancel();
  void ForgetCancel();

  bool alive() const { return alive_; }
  const engine::v1::Hello& hello() const { return hello_; }
  pid_t pid() const { return child_->pid(); }

 private:
  enum class Wait { kEvent, kClosed, kBroken, kDeadline, kCancelled };

  EngineProcess(std::unique_ptr<Subprocess> child, int wire_fd, int cancel_fd)
      : child_(std::move(child)), wire_fd_(wire_fd), cancel_fd_(cancel_fd) {}

  // The next event, or why there is none. What the engine prints is drained meanwhile.
  Wait NextEvent(std::chrono::steady_clock::time_point deadline, engine::v1::Event* event);
  bool Send(const engine::v1::Request& request);
  Wait ReadWire();
  void DrainOutput();
  bool Drain(int fd);  // false: at its end
  // Kills and reaps, after `grace` if it does not end by itself. Says how it ended and what it printed last.
  std::string Bury(std::string_view why, std::chrono::milliseconds grace);

  std::unique_ptr<Subprocess> child_;
  int wire_fd_;    // our end of the socketpair, non-blocking
  int cancel_fd_;  // eventfd
  bool output_open_ = true;
  bool error_open_ = true;
  bool alive_ = true;
  FrameReader frames_;
  engine::v1::Hello hello_;
  std::string output_tail_;
};

}  // namespace strata::agent
