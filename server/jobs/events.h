#pragma once
// What the scheduling core hears and what it wants done.

#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "server/jobs/graph.h"
#include "server/jobs/types.h"

namespace strata::jobs {

// ---- events ----------------------------------------------------------------------------------------------

// REQUIRES: a fresh job id. That one request makes one job is checked against the disk before.
struct Submit {
  JobId job;
  Device device = Device::kAuto;
  TaskKind first = TaskKind::kPrepare;  // or kJudge, which is then the only one
};

struct Cancel {
  JobId job;
  std::string reason;
};

// A worker's stream began. `held`: the leases it says it still works on.
struct Join {
  WorkerId worker;
  SessionId session = 0;
  std::string name;
  uint32_t slots = 0;
  std::set<std::string> devices;
  std::set<LeaseId> held;
};

// A worker's stream ended. Its leases live on until they expire: it may come back.
struct Leave {
  WorkerId worker;
  SessionId session = 0;
};

struct Heartbeat {
  WorkerId worker;
  SessionId session = 0;
  std::set<LeaseId> held;
  bool draining = false;
};

// The end of an attempt, as its worker tells it. `graph` with a passed prepare, checked by CheckGraph.
struct Report {
  WorkerId worker;
  SessionId session = 0;
  LeaseId lease;
  Outcome outcome = Outcome::kPassed;
  std::optional<Failure> failure;
  bool retryable = false;  // kFailed: another try may go better
  std::optional<Graph> graph;
  double seconds = 0;
  uint64_t peak_memory_bytes = 0;
};

// Time passed. Leases expire here and nowhere else.
struct Tick {};

using Event = std::variant<Submit, Cancel, Join, Leave, Heartbeat, Report, Tick>;

// ---- effects ---------------------------------------------------------------------------------------------
// In two kinds: what must be on disk first, and what is then said to others. If the disk fails, none of the
// second kind may happen, and the state is thrown away and built again from the disk.

struct SaveJob {
  Job job;  // without tasks
};
struct SaveTask {
  JobId job;
  Task task;
  size_t order = 0;  // place in Job::tasks
};
struct SaveAttempt {
  JobId job;
  TaskId task;
  Lease lease;
  Outcome outcome = Outcome::kRunning;
  absl::Time ended_at = absl::InfinitePast();
  std::optional<Failure> failure;
  double seconds = 0;
  uint64_t peak_memory_bytes = 0;
};
// The report being handled is the one that counts: store its files and what they say.
struct RecordOutputs {
  JobId job;
  TaskId task;
  LeaseId lease;
};
struct SaveWorker {
  Worker worker;
};
struct AnnounceState {
  JobId job;
  JobState state = JobState::kQueued;
  std::optional<Failure> failure;
  std::string reason;
  Counts counts;
};
struct AnnounceTask {
  JobId job;
  Task task;
  std::optional<Failure> failure;
  double seconds = 0;
  Counts counts;
};

// Second kind. All three are said to a session; if it is gone they are lost, which the core survives.
struct SendLease {
  WorkerId worker;
  SessionId session = 0;
  JobId job;
  Task task;
  std::string device;
};
struct SendRevoke {
  WorkerId worker;
  SessionId session = 0;
  LeaseId lease;
  std::string reason;
};
enum class Ack { kRecorded = 1, kStale };
struct SendAck {
  WorkerId worker;
  SessionId session = 0;
  LeaseId lease;
  Ack ack = Ack::kRecorded;
};
struct EndSession {  // another one of the same worker took its place
  WorkerId worker;
  SessionId session = 0;
};

using Effect = std::variant<SaveJob, SaveTask, SaveAttempt, RecordOutputs, SaveWorker, AnnounceState,
                            AnnounceTask, SendLease, SendRevoke, SendAck, EndSession>;

}  // namespace strata::jobs
