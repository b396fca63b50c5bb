// What workers say.
#include "absl/strings/str_cat.h"
#include "server/coordinator/coordinator.h"
#include "server/coordinator/request_check.h"
#include "server/coordinator/result_check.h"
#include "server/store/columns.h"
#include "server/store/job_rows.h"
#include "server/store/result_rows.h"

namespace strata {
namespace {

constexpr int64_t kMaxLoggedBytes = 256 << 10;  // of one stream of an attempt
constexpr int kMaxProgressLines = 2000;         // of an attempt
constexpr size_t kMaxProgressBytes = 500;
constexpr size_t kMaxMessageBytes = 8 << 10;
constexpr size_t kMaxTracebackBytes = 64 << 10;

// At most `max` bytes, not in the middle of a character.
std::string Cut(std::string text, size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xc0) == 0x80) --max;
  text.resize(max);
  return text;
}

std::set<jobs::LeaseId> Held(const google::protobuf::RepeatedPtrField<std::string>& ids) {
  return {ids.begin(), ids.end()};
}

jobs::Outcome OutcomeOf(v1::ResultStatus status) {
  switch (status) {
    case v1::RESULT_STATUS_PASSED:
      return jobs::Outcome::kPassed;
    case v1::RESULT_STATUS_GATE_FAILED:
      return jobs::Outcome::kGateFailed;
    case v1::RESULT_STATUS_ENGINE_DIED:
      return jobs::Outcome::kEngineDied;
    case v1::RESULT_STATUS_RETURNED:
      return jobs::Outcome::kReturned;
    case v1::RESULT_STATUS_CANCELED:
      return jobs::Outcome::kCanceled;
    default:
      return jobs::Outcome::kFailed;
  }
}

jobs::TaskKind KindOf(const jobs::TaskId& task) {
  using jobs::TaskKind;
  for (TaskKind kind : {TaskKind::kPrepare, TaskKind::kDecompose, TaskKind::kVerify, TaskKind::kCompose,
                        TaskKind::kCoverage, TaskKind::kPublish, TaskKind::kJudge}) {
    if (task.substr(0, task.find('/')) == jobs::Name(kind)) return kind;
  }
  return TaskKind::kPrepare;
}

bool Delivers(jobs::Outcome outcome) {
  return outcome == jobs::Outcome::kPassed || outcome == jobs::Outcome::kGateFailed;
}

// The worker wrote what no engine of ours may write: not the user's fault, and not better next time.
void Distrust(jobs::Report& report, const jobs::LeaseName& name, const std::string& why) {
  report.outcome = jobs::Outcome::kFailed;
  report.retryable = false;
  report.failure = jobs::Failure{};
  report.failure->kind = jobs::FailureKind::kOurs;
  report.failure->message = absl::StrCat("task ", name.task, " ", why);
}

}  // namespace

void Coordinator::Join(v1::Register worker, jobs::SessionId session, std::shared_ptr<WorkerLink> link,
                       Done<Nothing> done) {
  if (absl::Status status = CheckRegister(worker); !status.ok()) return done(status);
  Write<Nothing>(
      [this, worker = std::move(worker), session, link](Turn& turn) -> absl::StatusOr<Nothing> {
        store::SaveRegister(*turn.db, worker, turn.now);
        v1::ServerMessage hello;
        hello.mutable_registered()->set_lease_seconds(
            static_cast<uint32_t>(absl::ToInt64Seconds(options_.jobs.lease)));
        hello.mutable_registered()->set_heartbeat_seconds(
            std::max<uint32_t>(1, static_cast<uint32_t>(absl::ToInt64Seconds(options_.jobs.lease) / 3)));
        hello.mutable_registered()->set_server_version(STRATA_VERSION);
        // Before all that the core has to say to the new stream.
        turn.after_commit.push_back([this, id = worker.worker_id(), session, link, hello] {
          Link& slot = links_[id];
          if (slot.session > session)
            return link->End(absl::AbortedError("a newer stream of this worker is open"));
          if (slot.link != nullptr)
            slot.link->End(absl::AbortedError("another stream of this worker took its place"));
          slot = {session, link};
          link->Send(hello);
        });
        jobs::Join event{worker.worker_id(), session, worker.name(),
                         worker.slots(),     {},      Held(worker.lease_ids())};
        event.devices = {worker.devices().begin(), worker.devices().end()};
        Apply(turn, event);
        return Nothing{};
      },
      std::move(done));
}

void Coordinator::Leave(const std::string& worker, jobs::SessionId session) {
  Write<Nothing>(
      [this, worker, session](Turn& turn) -> absl::StatusOr<Nothing> {
        Apply(turn, jobs::Leave{worker, session});
        // The core forgets who was connected when it is read from disk again.
        const auto known = state_.workers.find(worker);
        if (known == state_.workers.end() || known->second.session == 0)
          store::SetDisconnected(*turn.db, worker);
        turn.after_commit.push_back([this, worker, session] {
          const auto it = links_.find(worker);
          if (it != links_.end() && it->second.session == session) links_.erase(it);
        });
        return Nothing{};
      },
      [](absl::StatusOr<Nothing>) {});
}

void Coordinator::Heard(const std::string& worker, jobs::SessionId session, const v1::Heartbeat& heartbeat,
                        Done<Nothing> done) {
  Write<Nothing>(
      [this, worker, session, heartbeat](Turn& turn) -> absl::StatusOr<Nothing> {
        Apply(turn, jobs::Heartbeat{worker, session, Held(heartbeat.lease_ids()), heartbeat.draining()});
        turn.db->Run("UPDATE workers SET last_seen_us=? WHERE id=? AND last_seen_us<?",
                     {turn.now, worker, turn.now - absl::Seconds(30)});
        return Nothing{};
      },
      std::move(done));
}

Coordinator::Printing& Coordinator::PrintingOf(store::Database& db, const jobs::LeaseId& lease) {
  const auto [it, is_new] = printing_.try_emplace(lease);
  if (is_new) {
    for (v1::Stream stream : {v1::STREAM_STDOUT, v1::STREAM_STDERR, v1::STREAM_TRACEBACK}) {
      it->second.stored[stream] = store::LoggedBytes(db, *jobs::ParseLeaseId(lease), stream);
    }
  }
  return it->second;
}

void Coordinator::Progressed(const std::string& worker, jobs::SessionId session,
                             const v1::TaskProgress& progress, Done<Nothing> done) {
  Write<Nothing>(
      [this, worker, session, progress](Turn& turn) -> absl::StatusOr<Nothing> {
        if (!jobs::IsCurrent(state_, worker, session, progress.lease_id())) return Nothing{};
        if (++PrintingOf(*turn.db, progress.lease_id()).progress_lines > kMaxProgressLines) return Nothing{};
        const auto name = *jobs::ParseLeaseId(progress.lease_id());
        v1::Event event;
        event.set_decomposition_id(name.job);
        event.mutable_progress()->set_task_id(name.task);
        event.mutable_progress()->set_text(Cut(progress.text(), kMaxProgressBytes));
        Announce(turn, std::move(event));
        return Nothing{};
      },
      std::move(done));
}

void Coordinator::Printed(const std::string& worker, jobs::SessionId session, v1::TaskOutput output,
                          Done<Nothing> done) {
  Write<Nothing>(
      [this, worker, session, output = std::move(output)](Turn& turn) -> absl::StatusOr<Nothing> {
        const bool known = output.stream() >= v1::STREAM_STDOUT && output.stream() <= v1::STREAM_TRACEBACK;
        if (!known || !jobs::IsCurrent(state_, worker, session, output.lease_id())) return Nothing{};
        Printing& printing = PrintingOf(*turn.db, output.lease_id());
        const int64_t room = std::max<int64_t>(0, kMaxLoggedBytes - printing.stored[output.stream()]);
        const auto size = static_cast<int64_t>(output.data().size());
        const int64_t keep = std::min(room, size);
        printing.stored[output.stream()] += keep;
        printing.dropped[output.stream()] += size - keep;
        if (keep > 0) {
          store::AppendLog(*turn.db, *jobs::ParseLeaseId(output.lease_id()), output.stream(),
                           output.data().substr(0, static_cast<size_t>(keep)));
        }
        return Nothing{};
      },
      std::move(done));
}

jobs::Report Coordinator::Judge(const std::string& worker, jobs::SessionId session,
                                const v1::TaskResult& result, Result* read) {
  jobs::Report report{worker, session, result.lease_id(), OutcomeOf(result.status())};
  report.seconds = result.seconds();
  report.peak_memory_bytes = result.peak_memory_bytes();
  report.retryable = result.retryable();
  if (result.has_failure()) {
    report.failure = store::FromMessage(result.failure());
    report.failure->message = Cut(report.failure->message, kMaxMessageBytes);
    report.failure->traceback = Cut(report.failure->traceback, kMaxTracebackBytes);
    report.failure->file = Cut(report.failure->file, kMaxProgressBytes);
    report.failure->component = Cut(report.failure->component, kMaxProgressBytes);
  }
  const auto name = jobs::ParseLeaseId(result.lease_id());
  if (!name || !Delivers(report.outcome)) return report;
  const jobs::TaskKind kind = KindOf(name->task);
  absl::Status status = CheckOutputs(result);
  if (status.ok()) {
    auto findings = ReadFindings(*blobs_, result, kind);
    if (findings.ok()) {
      const auto step = readers_->Do([&](store::Database& db) -> absl::StatusOr<std::string> {
        store::Rows row = db.Query("SELECT step FROM tasks WHERE job=? AND id=?", {name->job, name->task});
        return row.Next() ? row.Text(0) : "";
      });
      status = step.ok() ? CheckFindings(kind, *step, report.outcome, *findings) : step.status();
      read->findings = std::move(*findings);
    } else {
      status = findings.status();
    }
  }
  if (absl::IsInvalidArgument(status)) {
    Distrust(report, *name, std::string(status.message()));
  } else if (!status.ok()) {
    // The disk, not the worker: another try.
    Distrust(report, *name,
             absl::StrCat("wrote files that could not be read: ", std::string(status.message())));
    report.retryable = true;
  }
  report.graph = read->findings.graph;
  read->outputs.assign(result.outputs().begin(), result.outputs().end());
  return report;
}

void Coordinator::Finished(const std::string& worker, jobs::SessionId session, v1::TaskResult result,
                           Done<Nothing> done) {
  // Only a result that counts brings files; what it names is asked for only if it can be stored at all.
  std::vector<std::string> digests;
  if (Delivers(OutcomeOf(result.status())) && CheckOutputs(result).ok()) {
    for (const v1::File& file : result.outputs()) digests.push_back(file.digest());
  }
  const auto missing = readers_->Do([&](store::Database& db) -> absl::StatusOr<std::vector<std::string>> {
    return store::MissingBlobs(db, digests);
  });
  auto read = std::make_shared<Result>();
  const bool whole = missing.ok() && missing->empty();
  jobs::Report report = whole ? Judge(worker, session, result, read.get()) : jobs::Report{};
  Write<Nothing>(
      [this, worker, session, lease = result.lease_id(), digests, read, whole,
       report](Turn& turn) mutable -> absl::StatusOr<Nothing> {
        const auto missing = store::MissingBlobs(*turn.db, digests);
        if (!whole || !missing.empty()) {
          AskFor(turn, worker, session, lease, missing);
          return Nothing{};
        }
        const auto name = jobs::ParseLeaseId(lease);
        if (name && Delivers(report.outcome)) {
          const std::string path =
              store::ConflictingPath(*turn.db, name->job, name->task == "publish", read->outputs);
          if (!path.empty())
            Distrust(report, *name,
                     absl::StrCat("wrote ", path, " with other bytes than the task before it"));
          const absl::Status fits =
              store::TryRecordResult(*turn.db, name->job, name->task, false, read->outputs, read->findings);
          if (absl::IsInternal(fits))
            Distrust(report, *name,
                     absl::StrCat("wrote what cannot be stored: ", std::string(fits.message())));
        }
        Apply(turn, report, read.get());
        return Nothing{};
      },
      std::move(done));
}

void Coordinator::AskFor(Turn& turn, const std::string& worker, jobs::SessionId session,
                         const std::string& lease, const std::vector<std::string>& missing) {
  v1::ServerMessage message;
  message.mutable_ack()->set_lease_id(lease);
  message.mutable_ack()->set_outcome(v1::ACK_OUTCOME_MISSING_BLOBS);
  for (const std::string& digest : missing) message.mutable_ack()->add_missing_digests(digest);
  SendLater(turn, worker, session, std::move(message));
}

}  // namespace strata
