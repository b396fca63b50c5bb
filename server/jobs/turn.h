#pragma once
// One turn of the scheduling core: the event being handled, what it touched, what it wants done. Inside of
// server/jobs only.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "server/jobs/scheduler.h"

namespace strata::jobs {

struct Turn {
  State& state;
  absl::Time now;
  const Config& config;

  std::vector<Effect> effects;
  std::map<JobId, JobState> touched;                // with the state before; 0 for a new job
  std::map<JobId, std::set<size_t>> touched_tasks;  // indices

  void Do(Effect effect) { effects.push_back(std::move(effect)); }
  void Touch(const Job& job, bool is_new = false) {
    touched.emplace(job.id, is_new ? static_cast<JobState>(0) : job.state);
  }
  void Touch(const Job& job, const Task& task) {
    Touch(job);
    touched_tasks[job.id].insert(static_cast<size_t>(&task - job.tasks.data()));
  }
  void Announce(const Job& job, const Task& task, std::optional<Failure> failure = std::nullopt,
                double seconds = 0) {
    Do(AnnounceTask{job.id, task, std::move(failure), seconds, CountTasks(job)});
  }
};

struct Ended {
  Outcome outcome = Outcome::kLost;
  std::optional<Failure> failure;
  bool retryable = false;
  std::optional<Graph> graph;
  double seconds = 0;
  uint64_t peak_memory_bytes = 0;
};

// The task that holds live lease `id`. REQUIRES: one does.
Task* TaskOf(State& state, const JobId& job, const LeaseId& id);

Failure LostFailure(const Task& task, const std::string& how);

// Ends the task's live attempt and decides what becomes of task and job. REQUIRES: task.lease.
void EndAttempt(Turn& turn, Job& job, Task& task, Ended ended);

// Asks the worker to stop; the lease ends with its answer or soon by itself. REQUIRES: task.lease.
void Revoke(Turn& turn, const Job& job, Task& task, Revoked why, const std::string& reason);

// Releases, drops and ends what the job's tasks now allow.
void Advance(Turn& turn, Job& job);

// Leases ready tasks to free slots.
void GiveOut(Turn& turn);

// The effects of the turn, saves of what was touched before all else. Removes ended jobs from the state.
std::vector<Effect> Finish(Turn& turn);

}  // namespace strata::jobs
