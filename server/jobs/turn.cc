#include "server/jobs/turn.h"

#include <algorithm>
#include <unordered_set>

#include "absl/strings/str_cat.h"

namespace strata::jobs {
namespace {

bool Unstarted(const Task& task) {
  return task.state == TaskState::kWaiting || task.state == TaskState::kReady;
}

bool WindingDown(const Job& job) { return job.failure.has_value() || job.cancel_requested; }

void SetState(Turn& turn, Job& job, Task& task, TaskState state) {
  task.state = state;
  turn.Touch(job, task);
}

void FailTask(Turn& turn, Job& job, Task& task, TaskState state, Failure failure, double seconds) {
  SetState(turn, job, task, state);
  failure.task = task.id;
  if (failure.component.empty()) failure.component = task.component;
  if (!job.failure) job.failure = failure;
  turn.Announce(job, task, failure, seconds);
}

// Another attempt, later; or none if there were enough, or nobody needs it any more.
void TryAgain(Turn& turn, Job& job, Task& task, const Ended& ended, bool counts) {
  if (job.cancel_requested || (job.failure && task.kind != TaskKind::kPublish)) {
    SetState(turn, job, task, TaskState::kDropped);
    return;
  }
  if (counts) ++task.tries;
  const std::string why = ended.failure ? ended.failure->message : "it was given back";
  if (task.tries >= turn.config.max_tries || task.attempt >= turn.config.max_attempts) {
    Failure failure = ended.failure.value_or(Failure{});
    failure.message =
        absl::StrCat("task ", task.id, " was given up after ", task.attempt, " attempts; the last: ", why);
    FailTask(turn, job, task, TaskState::kFailed, std::move(failure), ended.seconds);
    return;
  }
  if (counts)
    task.not_before = turn.now + turn.config.retry_pause * (1 << std::min<uint32_t>(task.tries - 1, 10));
  SetState(turn, job, task, TaskState::kReady);
  turn.Announce(job, task, ended.failure, ended.seconds);
}

void Quarantine(Turn& turn, Job& job, Task& task, const Ended& ended) {
  Failure failure = ended.failure.value_or(Failure{});
  failure.message = absl::StrCat("task ", task.id, " ended ", task.engine_deaths,
                                 " engines and is not tried again; the last: ", failure.message);
  FailTask(turn, job, task, TaskState::kFailed, std::move(failure), ended.seconds);
}

void Pass(Turn& turn, Job& job, Task& task, Ended& ended, const LeaseId& lease) {
  turn.Do(RecordOutputs{job.id, task.id, lease});
  SetState(turn, job, task, TaskState::kPassed);
  if (task.kind == TaskKind::kPublish) job.has_bundle = true;
  turn.Announce(job, task, std::nullopt, ended.seconds);
  if (task.kind != TaskKind::kPrepare || !ended.graph) return;
  for (Task& next : TasksOf(*ended.graph)) job.tasks.push_back(std::move(next));  // `task` dangles from here
  for (const Task& next : job.tasks) turn.Touch(job, next);
}

Failure DeadlineFailure(const Turn& turn, const Task& task) {
  Failure failure;
  failure.kind = FailureKind::kLimits;
  failure.message = absl::StrCat("task ", task.id, " ran longer than ",
                                 absl::FormatDuration(turn.config.task_deadline), ", the limit of one task");
  return failure;
}

void Decide(Turn& turn, Job& job, Task& task, Ended ended, const Lease& lease) {
  if (lease.revoked == Revoked::kCanceled) return SetState(turn, job, task, TaskState::kDropped);
  const bool verdict = ended.outcome == Outcome::kPassed || ended.outcome == Outcome::kGateFailed;
  if (lease.revoked == Revoked::kDeadline && !verdict) {
    return FailTask(turn, job, task, TaskState::kFailed, DeadlineFailure(turn, task), ended.seconds);
  }
  switch (ended.outcome) {
    case Outcome::kPassed:
      return Pass(turn, job, task, ended, lease.id);
    case Outcome::kGateFailed:
      turn.Do(RecordOutputs{job.id, task.id, lease.id});
      return FailTask(turn, job, task, TaskState::kGateFailed,
                      ended.failure.value_or(Failure{FailureKind::kGate}), ended.seconds);
    case Outcome::kFailed:
      if (ended.retryable) return TryAgain(turn, job, task, ended, true);
      return FailTask(turn, job, task, TaskState::kFailed, ended.failure.value_or(Failure{}), ended.seconds);
    case Outcome::kEngineDied:
      if (++task.engine_deaths >= turn.config.max_engine_deaths) return Quarantine(turn, job, task, ended);
      return TryAgain(turn, job, task, ended, true);
    case Outcome::kLost:
      return TryAgain(turn, job, task, ended, true);
    case Outcome::kReturned:
    case Outcome::kCanceled:  // nobody asked for it: as given back
    case Outcome::kRunning:
      return TryAgain(turn, job, task, ended, false);
  }
}

void ReleaseWaiting(Turn& turn, Job& job) {
  std::unordered_set<std::string> passed;
  for (const Task& task : job.tasks) {
    if (task.state == TaskState::kPassed) passed.insert(task.id);
  }
  for (Task& task : job.tasks) {
    if (task.state != TaskState::kWaiting) continue;
    const bool free =
        std::all_of(task.after.begin(), task.after.end(), [&](const TaskId& id) { return passed.count(id); });
    if (free) SetState(turn, job, task, TaskState::kReady);
  }
}

bool AnyRunning(const Job& job) {
  return std::any_of(job.tasks.begin(), job.tasks.end(), [](const Task& t) { return t.lease.has_value(); });
}

void DropUnstarted(Turn& turn, Job& job, bool publish_too) {
  for (Task& task : job.tasks) {
    if (Unstarted(task) && (publish_too || task.kind != TaskKind::kPublish))
      SetState(turn, job, task, TaskState::kDropped);
  }
}

void End(Turn& turn, Job& job, JobState state) {
  turn.Touch(job);
  job.state = state;
  job.ended_at = turn.now;
}

}  // namespace

Task* TaskOf(State& state, const JobId& job, const LeaseId& id) {
  return FindTask(state.jobs.at(job), ParseLeaseId(id)->task);
}

Failure LostFailure(const Task& task, const std::string& how) {
  Failure failure;
  failure.kind = FailureKind::kOurs;
  failure.message = absl::StrCat("attempt ", task.attempt, " of task ", task.id, " was lost: ", how);
  return failure;
}

void EndAttempt(Turn& turn, Job& job, Task& task, Ended ended) {
  turn.Touch(job, task);
  const Lease lease = *task.lease;
  task.lease.reset();
  if (const auto it = turn.state.workers.find(lease.worker); it != turn.state.workers.end()) {
    it->second.leases.erase(lease.id);
    if (it->second.session == 0 && it->second.leases.empty()) turn.state.workers.erase(it);
  }
  turn.Do(SaveAttempt{job.id, task.id, lease, ended.outcome, turn.now, ended.failure, ended.seconds,
                      ended.peak_memory_bytes});
  Decide(turn, job, task, std::move(ended), lease);
  Advance(turn, job);
}

void Revoke(Turn& turn, const Job& job, Task& task, Revoked why, const std::string& reason) {
  turn.Touch(job, task);
  Lease& lease = *task.lease;
  lease.revoked = why;
  lease.expires_at = std::min(lease.expires_at, turn.now + turn.config.revoke_grace);
  const auto it = turn.state.workers.find(lease.worker);
  if (it != turn.state.workers.end() && it->second.session != 0) {
    turn.Do(SendRevoke{lease.worker, it->second.session, lease.id, reason});
  }
}

void Advance(Turn& turn, Job& job) {
  if (IsFinal(job.state)) return;
  if (!WindingDown(job)) {
    ReleaseWaiting(turn, job);
    const Task& last = job.tasks.back();
    const bool has_more = last.kind == TaskKind::kPrepare;
    if (!has_more && last.state == TaskState::kPassed) End(turn, job, JobState::kSucceeded);
    return;
  }
  DropUnstarted(turn, job, /*publish_too=*/job.cancel_requested);
  if (AnyRunning(job)) return;
  if (job.cancel_requested) return End(turn, job, JobState::kCanceled);
  Task* publish = FindTask(job, "publish");
  if (publish == nullptr || IsFinal(publish->state)) return End(turn, job, JobState::kFailed);
  if (publish->state == TaskState::kWaiting) SetState(turn, job, *publish, TaskState::kReady);
}

std::vector<Effect> Finish(Turn& turn) {
  std::vector<Effect> saves;
  for (const auto& [id, before] : turn.touched) {
    Job& job = turn.state.jobs.at(id);
    if (!IsFinal(job.state)) {
      job.state = job.cancel_requested ? JobState::kCanceling
                  : AnyRunning(job)    ? JobState::kRunning
                                       : JobState::kQueued;
    }
    Job meta = job;
    meta.tasks.clear();
    saves.push_back(SaveJob{std::move(meta)});
    for (size_t index : turn.touched_tasks[id]) saves.push_back(SaveTask{id, job.tasks[index], index});
    if (job.state != before) {
      const auto failure = job.state == JobState::kFailed ? job.failure : std::nullopt;
      turn.Do(AnnounceState{id, job.state, failure, job.cancel_reason, CountTasks(job)});
    }
  }
  for (const auto& [id, _] : turn.touched) {
    if (IsFinal(turn.state.jobs.at(id).state)) turn.state.jobs.erase(id);
  }
  saves.insert(saves.end(), std::make_move_iterator(turn.effects.begin()),
               std::make_move_iterator(turn.effects.end()));
  return saves;
}

}  // namespace strata::jobs
