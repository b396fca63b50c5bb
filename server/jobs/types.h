#pragma once
// What the scheduling core is made of: jobs, their tasks, leases, workers. Values only; the core is their one
// writer (scheduler.h), the store keeps copies of them.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace strata::jobs {

using JobId = std::string;
using TaskId = std::string;  // unique in its job: "prepare", "verify/mini_gpt"
using WorkerId = std::string;
using LeaseId = std::string;  // "JOB/verify/mini_gpt#3": names job, task and attempt
using SessionId = uint64_t;   // one stream of a worker; rises, 0 is none

// kQueued ⇄ kRunning → kSucceeded | kFailed;  both → kCanceling → kCanceled;  kQueued → any final one.
// kRunning says that a task is leased at this moment, so a job whose workers died is queued again.
enum class JobState { kQueued = 1, kRunning, kCanceling, kSucceeded, kFailed, kCanceled };

// kWaiting → kReady → kRunning → kPassed | kGateFailed | kFailed;  kRunning → kReady (lost, another attempt);
// kWaiting, kReady, kRunning → kDropped (a gate failed elsewhere; canceled).
enum class TaskState { kWaiting = 1, kReady, kRunning, kPassed, kGateFailed, kFailed, kDropped };

enum class TaskKind { kPrepare = 1, kDecompose, kVerify, kCompose, kCoverage, kPublish, kJudge };

enum class Device { kAuto = 1, kCpu, kCuda };

enum class FailureKind { kUser = 1, kLimits, kGate, kOurs };

struct Failure {
  FailureKind kind = FailureKind::kOurs;
  std::string message;
  std::string component;
  std::string file;
  uint32_t line = 0;
  std::string traceback;
  TaskId task;
};

// How an attempt ended. kLost: its lease expired, or its worker came back without it.
enum class Outcome { kRunning = 1, kPassed, kGateFailed, kFailed, kEngineDied, kReturned, kCanceled, kLost };

// Why the server took a lease back. Until the worker answers or the lease expires the slot counts as taken.
enum class Revoked { kNo, kCanceled, kDeadline };

struct Lease {
  LeaseId id;
  WorkerId worker;
  uint32_t attempt = 0;
  absl::Time leased_at;
  absl::Time expires_at;
  absl::Time deadline;  // of the task, however often the lease is renewed
  Revoked revoked = Revoked::kNo;
};

struct Task {
  TaskId id;
  TaskKind kind = TaskKind::kPrepare;
  std::string component;      // decompose, verify
  std::string step;           // name of the component's step; decompose, verify
  std::vector<TaskId> after;  // all must have passed
  TaskState state = TaskState::kWaiting;
  uint32_t attempt = 0;  // number of the latest attempt; the fencing token
  uint32_t tries = 0;    // attempts that ended without a verdict and were not the worker's own choice
  uint32_t engine_deaths = 0;
  absl::Time not_before = absl::InfinitePast();  // backoff of a retry
  WorkerId last_worker;
  std::optional<Lease> lease;  // exactly in kRunning
};

struct Job {
  JobId id;
  Device device = Device::kAuto;
  std::string resolved_device;  // "cpu", "cuda"; set by the first lease, then all tasks keep to it
  JobState state = JobState::kQueued;
  std::optional<Failure> failure;  // the first; set while the rest of the job winds down
  bool cancel_requested = false;
  std::string cancel_reason;  // what the client said
  bool has_bundle = false;    // publish passed
  absl::Time started_at = absl::InfinitePast();
  absl::Time ended_at = absl::InfinitePast();
  uint64_t turn = 0;        // place in the round robin; smallest is served next
  std::vector<Task> tasks;  // tree order: what is earlier is given out first
};

struct Worker {
  WorkerId id;
  std::string name;
  SessionId session = 0;  // 0: not connected
  uint32_t slots = 0;
  std::set<std::string> devices;
  bool draining = false;
  std::map<LeaseId, JobId> leases;  // live ones; at most `slots`, but after a restart with fewer slots
};

struct State {
  std::map<JobId, Job> jobs;           // not ended
  std::map<WorkerId, Worker> workers;  // connected, or with a live lease
  uint64_t next_turn = 1;
};

inline bool IsFinal(JobState s) {
  return s == JobState::kSucceeded || s == JobState::kFailed || s == JobState::kCanceled;
}
inline bool IsFinal(TaskState s) {
  return s == TaskState::kPassed || s == TaskState::kGateFailed || s == TaskState::kFailed ||
         s == TaskState::kDropped;
}

LeaseId MakeLeaseId(const JobId& job, const TaskId& task, uint32_t attempt);

// nullopt for a text that MakeLeaseId cannot have made.
struct LeaseName {
  JobId job;
  TaskId task;
  uint32_t attempt = 0;
};
std::optional<LeaseName> ParseLeaseId(const LeaseId& id);

// nullptr where there is none.
Task* FindTask(Job& job, const TaskId& id);
const Task* FindTask(const Job& job, const TaskId& id);

struct Counts {
  bool steps_known = false;
  uint32_t steps_total = 0, steps_done = 0, steps_failed = 0, steps_left = 0;
  uint32_t tasks_total = 0, tasks_done = 0, tasks_running = 0;
};
// REQUIRES: tasks in tree order.
Counts CountTasks(const Job& job);

const char* Name(TaskKind kind);  // "prepare"

}  // namespace strata::jobs
