#include "server/store/job_rows.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "server/store/columns.h"

namespace strata::store {
namespace {

// One source is one model, whoever submits it and however often.
std::string InsertModel(Database& db, const v1::Source& source, absl::Time now) {
  std::map<std::string, std::string> files;
  for (const v1::File& file : source.files()) files[file.path()] = file.digest();
  std::string text = source.entry() + "\n";
  for (const auto& [path, digest] : files) absl::StrAppend(&text, digest, " ", path, "\n");
  const std::string id = Sha256Hex(text);
  db.Run("INSERT OR IGNORE INTO models(id, entry, created_us) VALUES (?,?,?)", {id, source.entry(), now});
  if (db.changes() == 0) return id;
  for (const auto& [path, digest] : files) {
    db.Run(
        "INSERT INTO model_files(model, path, digest, size) SELECT ?, ?, digest, size FROM blobs WHERE "
        "digest = ?",
        {id, path, digest});
  }
  return id;
}

}  // namespace

void InsertJob(Database& db, const std::string& id, const v1::CreateDecompositionRequest& request,
               const std::string& request_digest, absl::Time now) {
  const std::string model = InsertModel(db, request.source(), now);
  const v1::Limits& limits = request.limits();
  db.Run(
      "INSERT INTO jobs(id, request_id, request_digest, model, model_name, device, threads, wall_seconds, "
      "memory_bytes,"
      " output_bytes, file_bytes, state, created_us, updated_us, kind) VALUES "
      "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
      {id, request.request_id(), request_digest, model, request.model_name(), request.device(),
       request.threads(), limits.wall_seconds(), limits.memory_bytes(), limits.output_bytes(),
       limits.file_bytes(), v1::STATE_QUEUED, now, now, request.kind()});
  for (const auto& [key, value] : request.labels()) {
    db.Run("INSERT INTO labels(job, key, value) VALUES (?,?,?)", {id, key, value});
  }
  db.Run(
      "INSERT INTO files(job, path, digest, size, task)"
      " SELECT ?, 'source/' || path, digest, size, '' FROM model_files WHERE model = ?",
      {id, model});
}

void Save(Database& db, const jobs::SaveJob& save, absl::Time now) {
  const jobs::Job& job = save.job;
  db.Run(
      "UPDATE jobs SET state=?, resolved_device=?, cancel_requested=?, cancel_reason=?, has_bundle=?, "
      "failure_json=?, "
      "started_us=?,"
      " ended_us=?, updated_us=? WHERE id=?",
      {job.state, job.resolved_device, job.cancel_requested, job.cancel_reason, job.has_bundle,
       FailureColumn(job.failure), job.started_at, job.ended_at, now, job.id});
}

void Save(Database& db, const jobs::SaveTask& save) {
  const jobs::Task& task = save.task;
  const auto lease = task.lease.value_or(jobs::Lease{.leased_at = absl::InfinitePast(),
                                                     .expires_at = absl::InfinitePast(),
                                                     .deadline = absl::InfinitePast()});
  db.Run(
      "INSERT INTO tasks(job, ord, id, kind, component, step, after_json, state, attempt, tries, "
      "engine_deaths,"
      " not_before_us, last_worker, leased_us, expires_us, deadline_us, revoked)"
      " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(job, ord) DO UPDATE SET state=excluded.state,"
      " attempt=excluded.attempt, tries=excluded.tries, engine_deaths=excluded.engine_deaths,"
      " not_before_us=excluded.not_before_us, last_worker=excluded.last_worker, leased_us=excluded.leased_us,"
      " expires_us=excluded.expires_us, deadline_us=excluded.deadline_us, revoked=excluded.revoked",
      {save.job, save.order, task.id, task.kind, task.component, task.step, ListColumn(task.after),
       task.state, task.attempt, task.tries, task.engine_deaths, task.not_before, task.last_worker,
       lease.leased_at, lease.expires_at, lease.deadline, lease.revoked});
}

void Save(Database& db, const jobs::SaveAttempt& save) {
  const jobs::Lease& lease = save.lease;
  db.Run(
      "INSERT INTO attempts(job, task, attempt, worker, worker_name, outcome, leased_us, ended_us, seconds,"
      " peak_memory_bytes, failure_json)"
      " VALUES (?,?,?,?,COALESCE((SELECT name FROM workers WHERE id=?),''),?,?,?,?,?,?)"
      " ON CONFLICT(job, task, attempt) DO UPDATE SET outcome=excluded.outcome, ended_us=excluded.ended_us,"
      " seconds=excluded.seconds, peak_memory_bytes=excluded.peak_memory_bytes, "
      "failure_json=excluded.failure_json",
      {save.job, save.task, lease.attempt, lease.worker, lease.worker, save.outcome, lease.leased_at,
       save.ended_at, save.seconds, save.peak_memory_bytes, FailureColumn(save.failure)});
}

void Save(Database& db, const jobs::SaveWorker& save, absl::Time now) {
  db.Run("UPDATE workers SET connected=?, draining=?, last_seen_us=? WHERE id=?",
         {save.worker.session != 0, save.worker.draining, now, save.worker.id});
}

void SaveRegister(Database& db, const v1::Register& worker, absl::Time now) {
  db.Run(
      "INSERT OR REPLACE INTO workers(id, name, slots, devices_json, engine_version, torch_version, "
      "isolation,"
      " device_memory_bytes, connected, draining, last_seen_us) VALUES (?,?,?,?,?,?,?,?,1,0,?)",
      {worker.worker_id(), worker.name(), worker.slots(), ListColumn(Texts(worker.devices())),
       worker.engine_version(), worker.torch_version(), worker.isolation(),
       static_cast<int64_t>(worker.device_memory_bytes()), now});
}

void InsertEvent(Database& db, v1::Event& event) {
  const absl::Time time =
      absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
  db.Run("INSERT INTO events(job, time_us, body) VALUES (?,?,?)",
         {event.decomposition_id(), time, Bytes{event.SerializeAsString()}});
  event.set_number(static_cast<uint64_t>(db.last_insert_id()));
  db.Run("UPDATE jobs SET last_event=? WHERE id=?", {event.number(), event.decomposition_id()});
}

void AppendLog(Database& db, const jobs::LeaseName& attempt, v1::Stream stream, const std::string& data) {
  db.Run(
      "INSERT INTO attempt_logs(job, task, attempt, stream, seq, data) SELECT ?1, ?2, ?3, ?4, "
      "COALESCE(MAX(seq), 0) + 1,"
      " ?5 FROM attempt_logs WHERE job=?1 AND task=?2 AND attempt=?3 AND stream=?4",
      {attempt.job, attempt.task, attempt.attempt, stream, Bytes{data}});
}

int64_t LoggedBytes(Database& db, const jobs::LeaseName& attempt, v1::Stream stream) {
  return db.QueryInt(
      "SELECT COALESCE(SUM(LENGTH(data)), 0) FROM attempt_logs WHERE job=? AND task=? AND attempt=? AND "
      "stream=?",
      {attempt.job, attempt.task, attempt.attempt, stream});
}

void SetDropped(Database& db, const jobs::LeaseName& attempt, uint64_t stdout_bytes, uint64_t stderr_bytes) {
  db.Run("UPDATE attempts SET stdout_dropped=?, stderr_dropped=? WHERE job=? AND task=? AND attempt=?",
         {static_cast<int64_t>(stdout_bytes), static_cast<int64_t>(stderr_bytes), attempt.job, attempt.task,
          attempt.attempt});
}

namespace {

jobs::Task TaskFromRow(const jobs::JobId& job, const Rows& row) {
  jobs::Task task;
  task.id = row.Text(0);
  task.kind = row.Enum<jobs::TaskKind>(1);
  task.component = row.Text(2);
  task.step = row.Text(3);
  task.after = ListFromColumn(row.Text(4));
  task.state = row.Enum<jobs::TaskState>(5);
  task.attempt = static_cast<uint32_t>(row.Int(6));
  task.tries = static_cast<uint32_t>(row.Int(7));
  task.engine_deaths = static_cast<uint32_t>(row.Int(8));
  task.not_before = row.Time(9);
  task.last_worker = row.Text(10);
  if (task.state != jobs::TaskState::kRunning) return task;
  jobs::Lease lease;
  lease.id = jobs::MakeLeaseId(job, task.id, task.attempt);
  lease.worker = task.last_worker;
  lease.attempt = task.attempt;
  lease.leased_at = row.Time(11);
  lease.expires_at = row.Time(12);
  lease.deadline = row.Time(13);
  lease.revoked = row.Enum<jobs::Revoked>(14);
  task.lease = std::move(lease);
  return task;
}

}  // namespace

std::vector<jobs::Job> LoadLiveJobs(Database& db) {
  std::vector<jobs::Job> jobs;
  Rows rows = db.Query(
      "SELECT id, device, resolved_device, state, failure_json, cancel_requested, has_bundle, started_us, "
      "cancel_reason FROM jobs"
      " WHERE state IN (1, 2, 3) ORDER BY n");
  while (rows.Next()) {
    jobs::Job job;
    job.id = rows.Text(0);
    job.device = rows.Enum<jobs::Device>(1);
    job.resolved_device = rows.Text(2);
    job.state = rows.Enum<jobs::JobState>(3);
    job.failure = FailureFromColumn(rows.Text(4));
    job.cancel_requested = rows.Int(5) != 0;
    job.has_bundle = rows.Int(6) != 0;
    job.started_at = rows.Time(7);
    job.cancel_reason = rows.Text(8);
    Rows tasks = db.Query(
        "SELECT id, kind, component, step, after_json, state, attempt, tries, engine_deaths, not_before_us, "
        "last_worker,"
        " leased_us, expires_us, deadline_us, revoked FROM tasks WHERE job=? ORDER BY ord",
        {job.id});
    while (tasks.Next()) job.tasks.push_back(TaskFromRow(job.id, tasks));
    jobs.push_back(std::move(job));
  }
  return jobs;
}

void SetDisconnected(Database& db, const std::string& worker) {
  db.Run("UPDATE workers SET connected=0 WHERE id=?", {worker});
}

void DisconnectAllWorkers(Database& db) { db.Run("UPDATE workers SET connected=0"); }

}  // namespace strata::store
