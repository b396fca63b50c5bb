#pragma once
// The scheduling core: (state, event, now) → (state, effects). No clock, thread, socket or SQL, so that a
// seeded simulator drives thousands of workers, crashes and lost messages through this very code.
//
// A job starts with one task, prepare, whose result says which further tasks there are (graph.h), and
// succeeds when the last of them, publish, has passed; or it consists of the task judge alone. A task is
// released when all tasks it comes after have passed, and leased to a connected worker with a free slot and
// the job's device: jobs take turns, in the order they came; within a job tree order decides.
//
// Failures. An attempt that ends without a verdict (lease expired, engine died, a retryable failure) is tried
// again after a growing pause, preferably elsewhere, up to `max_tries`; two dead engines quarantine the task
// at once. The first task that fails for good, or whose gate says no, fails the job: what has not started is
// dropped, what runs finishes, then publish delivers what was proved, if prepare has passed.
//
// Fencing. Each lease of a task has the next attempt number; only the live lease's holder may report. What is
// said about an older attempt gets Ack::kStale or SendRevoke.

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/jobs/events.h"
#include "server/jobs/types.h"

namespace strata::jobs {

struct Config {
  absl::Duration lease = absl::Seconds(30);         // since the last heartbeat that named it
  absl::Duration revoke_grace = absl::Seconds(15);  // a revoked lease holds its slot at most so long
  absl::Duration task_deadline = absl::Hours(2);    // of one attempt
  absl::Duration retry_pause = absl::Seconds(1);    // doubled with each try
  uint32_t max_tries = 3;
  uint32_t max_engine_deaths = 2;
  uint32_t max_attempts = 20;  // also counts those that workers gave back
};

// REQUIRES: now never goes back.
std::vector<Effect> Step(State& state, const Event& event, absl::Time now, const Config& config);

// State from what the disk says after a restart: every live lease gets a full lease time anew, so that its
// worker can come back; workers are not connected. `jobs` in the order they were submitted.
State Restore(std::vector<Job> jobs, std::vector<Worker> workers, absl::Time now, const Config& config);

// Whether `worker` may still write as the holder of `lease`: output, progress.
bool IsCurrent(const State& state, const WorkerId& worker, SessionId session, const LeaseId& lease);

// The first broken rule of the state, in words; empty if all hold. For tests and the simulator:
// one live lease per running task and none else; leases and slots agree; attempts only of the current number;
// nothing released before what it comes after has passed; no ended job in the state; a running job has a live
// lease that ends in the future, or ended less than `grace` ago.
std::string BrokenInvariant(const State& state, absl::Time now, absl::Duration grace);

}  // namespace strata::jobs
