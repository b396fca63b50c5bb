// What the scheduling core wants done: rows inside the transaction, words after its commit.
#include "absl/strings/str_cat.h"
#include "server/coordinator/coordinator.h"
#include "server/store/columns.h"
#include "server/store/job_queries.h"
#include "server/store/job_rows.h"
#include "server/store/result_queries.h"
#include "server/store/result_rows.h"

namespace strata {
namespace {

v1::TaskStatus StatusOf(const jobs::Task& task, const std::string& worker) {
  v1::TaskStatus status;
  status.set_task_id(task.id);
  status.set_kind(static_cast<v1::TaskKind>(task.kind));
  status.set_component(task.component);
  status.set_state(static_cast<v1::TaskState>(task.state));
  status.set_attempt(task.attempt);
  status.set_worker(worker);
  if (task.lease) *status.mutable_start_time() = store::ToMessage(task.lease->leased_at);
  return status;
}

std::string SourcePath(store::Database& db, const std::string& job) {
  store::Rows row =
      db.Query("SELECT m.entry FROM jobs j JOIN models m ON m.id = j.model WHERE j.id=?", {job});
  return row.Next() ? "source/" + row.Text(0) : "";
}

}  // namespace

void Coordinator::Do(Turn& turn, const Result*, const jobs::SaveJob& effect) {
  store::Save(*turn.db, effect, turn.now);
}
void Coordinator::Do(Turn& turn, const Result*, const jobs::SaveTask& effect) {
  store::Save(*turn.db, effect);
}
void Coordinator::Do(Turn& turn, const Result*, const jobs::SaveWorker& effect) {
  store::Save(*turn.db, effect, turn.now);
  const jobs::Worker& w = effect.worker;
  const char* now = w.session == 0 ? "is gone" : w.draining ? "drains" : "is here";
  std::string line = absl::StrCat("worker ", w.name, " (", w.id, ") ", now, ", ", w.leases.size(), " of ",
                                  w.slots, " slots busy");
  turn.after_commit.push_back([this, line] { options_.log(line); });
}

void Coordinator::Do(Turn& turn, const Result*, const jobs::SaveAttempt& effect) {
  store::Save(*turn.db, effect);
  const auto it = printing_.find(effect.lease.id);
  if (effect.outcome == jobs::Outcome::kRunning || it == printing_.end()) return;
  auto& dropped = it->second.dropped;
  store::SetDropped(*turn.db, *jobs::ParseLeaseId(effect.lease.id),
                    static_cast<uint64_t>(dropped[v1::STREAM_STDOUT]),
                    static_cast<uint64_t>(dropped[v1::STREAM_STDERR]));
  printing_.erase(it);
}

void Coordinator::Do(Turn& turn, const Result* result, const jobs::RecordOutputs& effect) {
  if (result == nullptr) return;
  store::RecordResult(*turn.db, effect.job, effect.task, effect.task == "publish", result->outputs,
                      result->findings);
}

std::string Coordinator::WorkerName(const jobs::WorkerId& id) const {
  const auto it = state_.workers.find(id);
  return it == state_.workers.end() ? "" : it->second.name;
}

void Coordinator::Announce(Turn& turn, v1::Event event) {
  *event.mutable_time() = store::ToMessage(turn.now);
  store::InsertEvent(*turn.db, event);
  turn.after_commit.push_back([this, job = event.decomposition_id()] { events_.Notify(job); });
}

void Coordinator::Do(Turn& turn, const Result*, const jobs::AnnounceState& effect) {
  v1::Event event;
  event.set_decomposition_id(effect.job);
  *event.mutable_counts() = store::ToMessage(effect.counts);
  v1::StateChanged* changed = event.mutable_state_changed();
  changed->set_state(static_cast<v1::State>(effect.state));
  if (effect.failure) *changed->mutable_failure() = store::ToMessage(*effect.failure);
  changed->set_reason(effect.reason);
  std::string line =
      absl::StrCat("decomposition ", effect.job, " ", v1::State_Name(changed->state()).substr(6));
  if (effect.failure) absl::StrAppend(&line, ": ", effect.failure->message);
  turn.after_commit.push_back([this, line] { options_.log(line); });
  Announce(turn, std::move(event));
}

void Coordinator::Do(Turn& turn, const Result*, const jobs::AnnounceTask& effect) {
  v1::Event event;
  event.set_decomposition_id(effect.job);
  *event.mutable_counts() = store::ToMessage(effect.counts);
  v1::TaskChanged* changed = event.mutable_task_changed();
  *changed->mutable_task() = StatusOf(effect.task, WorkerName(effect.task.last_worker));
  if (effect.failure) *changed->mutable_failure() = store::ToMessage(*effect.failure);
  changed->set_seconds(effect.seconds);
  Announce(turn, event);
  if (effect.task.kind != jobs::TaskKind::kVerify || !jobs::IsFinal(effect.task.state)) return;
  const auto steps = store::ListSteps(*turn.db, effect.job);
  if (!steps.ok()) return;
  for (const v1::Step& step : steps->steps()) {
    if (step.component() != effect.task.component) continue;
    *event.mutable_step_finished()->mutable_step() = step;
    Announce(turn, event);
  }
}

void Coordinator::SendLater(Turn& turn, const std::string& worker, jobs::SessionId session,
                            v1::ServerMessage message) {
  turn.after_commit.push_back([this, worker, session, message = std::move(message)] {
    const auto it = links_.find(worker);
    if (it != links_.end() && it->second.session == session) it->second.link->Send(message);
  });
}

void Coordinator::Do(Turn& turn, const Result*, const jobs::SendLease& effect) {
  store::Database& db = *turn.db;
  v1::ServerMessage message;
  v1::Lease* lease = message.mutable_lease();
  lease->set_lease_id(effect.task.lease->id);
  lease->set_decomposition_id(effect.job);
  lease->set_task_id(effect.task.id);
  lease->set_attempt(effect.task.attempt);
  lease->set_kind(static_cast<v1::TaskKind>(effect.task.kind));
  lease->set_component(effect.task.component);
  lease->set_source(SourcePath(db, effect.job));
  lease->set_device(effect.device);
  lease->set_deadline_seconds(static_cast<uint32_t>(absl::ToInt64Seconds(options_.jobs.task_deadline)));
  store::Rows row =
      db.Query("SELECT threads, wall_seconds, memory_bytes, output_bytes, file_bytes FROM jobs WHERE id=?",
               {effect.job});
  if (row.Next()) {
    lease->set_threads(static_cast<uint32_t>(row.Int(0)));
    lease->mutable_limits()->set_wall_seconds(static_cast<uint32_t>(row.Int(1)));
    lease->mutable_limits()->set_memory_bytes(static_cast<uint64_t>(row.Int(2)));
    lease->mutable_limits()->set_output_bytes(static_cast<uint64_t>(row.Int(3)));
    lease->mutable_limits()->set_file_bytes(static_cast<uint64_t>(row.Int(4)));
  }
  for (v1::File& file : store::InputsOf(db, effect.job, effect.task.kind, effect.task.step)) {
    *lease->add_inputs() = std::move(file);
  }
  SendLater(turn, effect.worker, effect.session, std::move(message));
}

void Coordinator::Do(Turn& turn, const Result*, const jobs::SendRevoke& effect) {
  v1::ServerMessage message;
  message.mutable_revoke()->set_lease_id(effect.lease);
  message.mutable_revoke()->set_reason(effect.reason);
  SendLater(turn, effect.worker, effect.session, std::move(message));
}

void Coordinator::Do(Turn& turn, const Result*, const jobs::SendAck& effect) {
  v1::ServerMessage message;
  message.mutable_ack()->set_lease_id(effect.lease);
  const bool recorded = effect.ack == jobs::Ack::kRecorded;
  message.mutable_ack()->set_outcome(recorded ? v1::ACK_OUTCOME_RECORDED : v1::ACK_OUTCOME_STALE);
  SendLater(turn, effect.worker, effect.session, std::move(message));
}

void Coordinator::Do(Turn& turn, const Result*, const jobs::EndSession& effect) {
  turn.after_commit.push_back([this, effect] {
    const auto it = links_.find(effect.worker);
    if (it == links_.end() || it->second.session != effect.session) return;
    it->second.link->End(absl::AbortedError("another stream of this worker took its place"));
    links_.erase(it);
  });
}

}  // namespace strata
