#include <set>

#include "absl/strings/str_cat.h"
#include "server/jobs/scheduler.h"

namespace strata::jobs {
namespace {

std::string BrokenInTask(const State& state, const Job& job, const Task& task) {
  const std::string who = absl::StrCat(job.id, "/", task.id);
  if (task.lease.has_value() != (task.state == TaskState::kRunning))
    return who + ": lease and state disagree";
  if (task.lease) {
    if (task.lease->attempt != task.attempt) return who + ": the live lease is not of the current attempt";
    const auto worker = state.workers.find(task.lease->worker);
    if (worker == state.workers.end() || !worker->second.leases.count(task.lease->id)) {
      return who + ": its worker does not know the lease";
    }
  }
  const bool began = task.attempt > 0 || task.state == TaskState::kReady;
  if (!began || (task.kind == TaskKind::kPublish && job.failure)) return "";
  for (const TaskId& before : task.after) {
    const Task* gate = FindTask(job, before);
    if (gate == nullptr || gate->state != TaskState::kPassed)
      return absl::StrCat(who, " began before ", before, " passed");
  }
  return "";
}

std::string BrokenInJob(const State& state, const Job& job, absl::Time now, absl::Duration grace) {
  if (IsFinal(job.state)) return job.id + " has ended and is still in the state";
  std::set<TaskId> ids;
  bool owned = false;
  for (const Task& task : job.tasks) {
    if (!ids.insert(task.id).second) return absl::StrCat(job.id, ": two tasks ", task.id);
    if (std::string broken = BrokenInTask(state, job, task); !broken.empty()) return broken;
    owned |= task.lease && task.lease->expires_at + grace >= now;
  }
  if (job.state == JobState::kRunning && !owned) return job.id + " runs without an owner";
  return "";
}

}  // namespace

std::string BrokenInvariant(const State& state, absl::Time now, absl::Duration grace) {
  size_t live = 0, held = 0;
  for (const auto& [_, job] : state.jobs) {
    if (std::string broken = BrokenInJob(state, job, now, grace); !broken.empty()) return broken;
    for (const Task& task : job.tasks) live += task.lease.has_value();
  }
  for (const auto& [id, worker] : state.workers) {
    if (worker.id != id) return "worker " + id + " goes by another id";
    held += worker.leases.size();
  }
  if (live != held) return absl::StrCat(live, " live leases, but the workers' slots hold ", held);
  return "";
}

}  // namespace strata::jobs
