// Which ready task goes to which free slot.
#include <algorithm>

#include "server/jobs/turn.h"

namespace strata::jobs {
namespace {

bool TakesWork(const Worker& w) { return w.session != 0 && !w.draining; }

bool HasFreeSlot(const Worker& w) { return TakesWork(w) && w.leases.size() < w.slots; }

std::string DeviceOn(const Job& job, const Worker& worker) {
  const auto has = [&](const std::string& d) { return worker.devices.count(d) > 0; };
  if (!job.resolved_device.empty()) return has(job.resolved_device) ? job.resolved_device : "";
  if (job.device != Device::kCpu && has("cuda")) return "cuda";
  if (job.device != Device::kCuda && has("cpu")) return "cpu";
  return "";
}

// A task that was lost on a worker goes to another one, if one that could run it appears soon.
bool Avoids(const Turn& turn, const Job& job, const Task& task, const Worker& worker) {
  if (task.tries == 0 || task.last_worker != worker.id || turn.now > task.not_before + turn.config.lease)
    return false;
  return std::any_of(turn.state.workers.begin(), turn.state.workers.end(), [&](const auto& entry) {
    return entry.first != worker.id && TakesWork(entry.second) && !DeviceOn(job, entry.second).empty();
  });
}

Worker* Choose(Turn& turn, const Job& job, const Task& task) {
  Worker* best = nullptr;
  for (auto& [_, worker] : turn.state.workers) {
    if (!HasFreeSlot(worker) || DeviceOn(job, worker).empty() || Avoids(turn, job, task, worker)) continue;
    if (best == nullptr || worker.slots - worker.leases.size() > best->slots - best->leases.size())
      best = &worker;
  }
  return best;
}

void LeaseTo(Turn& turn, Job& job, Task& task, Worker& worker) {
  turn.Touch(job, task);
  if (job.resolved_device.empty()) job.resolved_device = DeviceOn(job, worker);
  if (job.started_at == absl::InfinitePast()) job.started_at = turn.now;
  job.turn = turn.state.next_turn++;
  task.state = TaskState::kRunning;
  ++task.attempt;
  task.last_worker = worker.id;
  Lease lease;
  lease.id = MakeLeaseId(job.id, task.id, task.attempt);
  lease.worker = worker.id;
  lease.attempt = task.attempt;
  lease.leased_at = turn.now;
  lease.expires_at = turn.now + turn.config.lease;
  lease.deadline = turn.now + turn.config.task_deadline;
  worker.leases[lease.id] = job.id;
  task.lease = lease;
  turn.Do(SaveAttempt{job.id, task.id, lease});
  turn.Announce(job, task);
  turn.Do(SendLease{worker.id, worker.session, job.id, task, job.resolved_device});
}

// One task of the job to one worker; false where nothing fits.
bool GiveOne(Turn& turn, Job& job) {
  for (Task& task : job.tasks) {
    if (task.state != TaskState::kReady || task.not_before > turn.now) continue;
    if (Worker* worker = Choose(turn, job, task)) {
      LeaseTo(turn, job, task, *worker);
      return true;
    }
  }
  return false;
}

bool AnyFreeSlot(const State& state) {
  return std::any_of(state.workers.begin(), state.workers.end(),
                     [](const auto& e) { return HasFreeSlot(e.second); });
}

}  // namespace

void GiveOut(Turn& turn) {
  if (!AnyFreeSlot(turn.state)) return;
  std::vector<Job*> order;
  for (auto& [_, job] : turn.state.jobs) {
    if (!IsFinal(job.state)) order.push_back(&job);
  }
  std::sort(order.begin(), order.end(), [](const Job* a, const Job* b) { return a->turn < b->turn; });
  for (bool gave = true; gave;) {
    gave = false;
    for (Job* job : order) {
      if (!AnyFreeSlot(turn.state)) return;
      gave |= GiveOne(turn, *job);
    }
  }
}

}  // namespace strata::jobs
