#include "server/jobs/scheduler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/jobs/turn.h"

namespace strata::jobs {
namespace {

void On(Turn& turn, const Submit& event) {
  Job job;
  job.id = event.job;
  job.device = event.device;
  job.turn = turn.state.next_turn++;
  Task first;
  first.id = Name(event.first);
  first.kind = event.first;
  job.tasks.push_back(std::move(first));
  Job& added = turn.state.jobs[event.job] = std::move(job);
  turn.Touch(added, /*is_new=*/true);
  Advance(turn, added);
}

void On(Turn& turn, const Cancel& event) {
  const auto it = turn.state.jobs.find(event.job);
  if (it == turn.state.jobs.end() || it->second.cancel_requested) return;
  Job& job = it->second;
  turn.Touch(job);
  job.cancel_requested = true;
  job.cancel_reason = event.reason;
  for (Task& task : job.tasks) {
    if (task.lease) Revoke(turn, job, task, Revoked::kCanceled, "the decomposition was cancelled");
  }
  Advance(turn, job);
}

// What a worker says it holds, against what it was given: renews, revokes.
void Reconcile(Turn& turn, Worker& worker, const std::set<LeaseId>& held) {
  for (const LeaseId& id : held) {
    const auto it = worker.leases.find(id);
    if (it == worker.leases.end()) {
      turn.Do(SendRevoke{worker.id, worker.session, id, "this attempt is no longer the current one"});
      continue;
    }
    Lease& lease = *TaskOf(turn.state, it->second, id)->lease;
    if (lease.revoked == Revoked::kNo) lease.expires_at = turn.now + turn.config.lease;
  }
  // A revoked lease that the worker no longer names is over. A fresh one may have crossed this message.
  const std::map<LeaseId, JobId> leases = worker.leases;
  for (const auto& [id, job_id] : leases) {
    if (held.count(id)) continue;
    Job& job = turn.state.jobs.at(job_id);
    Task& task = *TaskOf(turn.state, job_id, id);
    if (task.lease->revoked != Revoked::kNo) EndAttempt(turn, job, task, Ended{Outcome::kCanceled});
  }
}

void On(Turn& turn, const Join& event) {
  Worker& worker = turn.state.workers[event.worker];
  if (worker.session > event.session) return;
  if (worker.session != 0) turn.Do(EndSession{event.worker, worker.session});
  worker.id = event.worker;
  worker.session = event.session;
  worker.name = event.name;
  worker.slots = event.slots;
  worker.devices = event.devices;
  worker.draining = false;
  turn.Do(SaveWorker{worker});
  // Unlike in a heartbeat nothing can cross a Register: what it does not name is lost.
  const std::map<LeaseId, JobId> leases = worker.leases;
  for (const auto& [id, job_id] : leases) {
    if (event.held.count(id)) continue;
    Job& job = turn.state.jobs.at(job_id);
    Task& task = *TaskOf(turn.state, job_id, id);
    EndAttempt(turn, job, task, Ended{Outcome::kLost, LostFailure(task, "its worker came back without it")});
  }
  for (const auto& [id, job_id] : worker.leases) {
    const Task& task = *TaskOf(turn.state, job_id, id);
    if (task.lease->revoked != Revoked::kNo)
      turn.Do(SendRevoke{worker.id, worker.session, id, "revoked before"});
  }
  Reconcile(turn, worker, event.held);
}

void On(Turn& turn, const Leave& event) {
  const auto it = turn.state.workers.find(event.worker);
  if (it == turn.state.workers.end() || it->second.session != event.session) return;
  it->second.session = 0;
  turn.Do(SaveWorker{it->second});
  if (it->second.leases.empty()) turn.state.workers.erase(it);
}

void On(Turn& turn, const Heartbeat& event) {
  const auto it = turn.state.workers.find(event.worker);
  if (it == turn.state.workers.end() || it->second.session != event.session) return;
  if (it->second.draining != event.draining) {
    it->second.draining = event.draining;
    turn.Do(SaveWorker{it->second});
  }
  Reconcile(turn, it->second, event.held);
}

void On(Turn& turn, const Report& event) {
  const auto worker = turn.state.workers.find(event.worker);
  if (worker == turn.state.workers.end() || worker->second.session != event.session) return;
  const auto ack = [&](Ack a) { turn.Do(SendAck{event.worker, event.session, event.lease, a}); };
  const auto name = ParseLeaseId(event.lease);
  const auto it = name ? turn.state.jobs.find(name->job) : turn.state.jobs.end();
  if (it == turn.state.jobs.end()) return ack(Ack::kStale);
  Job& job = it->second;
  Task* task = FindTask(job, name->task);
  if (task == nullptr || task->attempt != name->attempt || task->last_worker != event.worker)
    return ack(Ack::kStale);
  if (!task->lease) {
    // The same report again, because its ack was lost, or one of an attempt that was taken back.
    return ack(IsFinal(task->state) ? Ack::kRecorded : Ack::kStale);
  }
  EndAttempt(turn, job, *task,
             Ended{event.outcome, event.failure, event.retryable, event.graph, event.seconds,
                   event.peak_memory_bytes});
  ack(Ack::kRecorded);
}

void On(Turn& turn, const Tick&) {
  std::vector<std::pair<LeaseId, JobId>> leases;
  for (const auto& [_, worker] : turn.state.workers)
    leases.insert(leases.end(), worker.leases.begin(), worker.leases.end());
  for (const auto& [id, job_id] : leases) {
    Job& job = turn.state.jobs.at(job_id);
    Task& task = *TaskOf(turn.state, job_id, id);
    if (task.lease->expires_at <= turn.now) {
      EndAttempt(turn, job, task,
                 Ended{Outcome::kLost, LostFailure(task, "its worker was not heard of any more")});
    } else if (task.lease->deadline <= turn.now && task.lease->revoked == Revoked::kNo) {
      Revoke(turn, job, task, Revoked::kDeadline, "the task ran past its deadline");
    }
  }
}

}  // namespace

std::vector<Effect> Step(State& state, const Event& event, absl::Time now, const Config& config) {
  Turn turn{state, now, config};
  std::visit([&turn](const auto& e) { On(turn, e); }, event);
  GiveOut(turn);
  return Finish(turn);
}

State Restore(std::vector<Job> jobs, std::vector<Worker> workers, absl::Time now, const Config& config) {
  State state;
  for (Worker& worker : workers) {
    worker.session = 0;
    worker.leases.clear();
    state.workers[worker.id] = std::move(worker);
  }
  for (Job& job : jobs) {
    job.turn = state.next_turn++;
    for (Task& task : job.tasks) {
      if (!task.lease) continue;
      const absl::Duration keep = task.lease->revoked == Revoked::kNo ? config.lease : config.revoke_grace;
      task.lease->expires_at = now + keep;
      Worker& worker = state.workers[task.lease->worker];
      worker.id = task.lease->worker;
      worker.leases[task.lease->id] = job.id;
    }
    const JobId id = job.id;
    state.jobs[id] = std::move(job);
  }
  for (auto it = state.workers.begin(); it != state.workers.end();) {
    it = it->second.leases.empty() ? state.workers.erase(it) : std::next(it);
  }
  return state;
}

bool IsCurrent(const State& state, const WorkerId& worker, SessionId session, const LeaseId& lease) {
  const auto it = state.workers.find(worker);
  return it != state.workers.end() && it->second.session == session && it->second.leases.count(lease) > 0;
}

}  // namespace strata::jobs
