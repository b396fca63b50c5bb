#include "server/store/job_queries.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/sha256.h"
#include "server/error.h"
#include "server/store/columns.h"

namespace strata::store {
namespace {

constexpr char kColumns[] =
    "SELECT j.id, j.request_id, j.model_name, m.entry, j.device, j.resolved_device, j.threads, "
    "j.wall_seconds,"
    " j.memory_bytes, j.output_bytes, j.file_bytes, j.state, j.failure_json, j.created_us, j.started_us, "
    "j.ended_us,"
    " j.updated_us, j.last_event, j.has_bundle, j.composition_status, j.composition_max_diff, "
    "j.composition_bit_exact,"
    " j.n, j.cancel_reason, j.kind, COALESCE(v.verdict, '') FROM jobs j JOIN models m ON m.id = j.model"
    " LEFT JOIN folder_verdicts v ON v.job = j.id";

template <typename Message>
void SetTime(Message* message, google::protobuf::Timestamp* (Message::*field)(), absl::Time time) {
  if (time != absl::InfinitePast()) *(message->*field)() = ToMessage(time);
}

v1::Decomposition FromRow(const Rows& row) {
  v1::Decomposition d;
  d.set_id(row.Text(0));
  d.set_request_id(row.Text(1));
  d.set_model_name(row.Text(2));
  d.mutable_source()->set_entry(row.Text(3));
  d.set_device(row.Enum<v1::Device>(4));
  d.set_resolved_device(row.Text(5));
  d.set_threads(static_cast<uint32_t>(row.Int(6)));
  d.mutable_limits()->set_wall_seconds(static_cast<uint32_t>(row.Int(7)));
  d.mutable_limits()->set_memory_bytes(static_cast<uint64_t>(row.Int(8)));
  d.mutable_limits()->set_output_bytes(static_cast<uint64_t>(row.Int(9)));
  d.mutable_limits()->set_file_bytes(static_cast<uint64_t>(row.Int(10)));
  d.set_state(row.Enum<v1::State>(11));
  if (const auto failure = FailureFromColumn(row.Text(12))) *d.mutable_failure() = ToMessage(*failure);
  SetTime(&d, &v1::Decomposition::mutable_create_time, row.Time(13));
  SetTime(&d, &v1::Decomposition::mutable_start_time, row.Time(14));
  SetTime(&d, &v1::Decomposition::mutable_end_time, row.Time(15));
  SetTime(&d, &v1::Decomposition::mutable_update_time, row.Time(16));
  d.set_last_event(static_cast<uint64_t>(row.Int(17)));
  d.set_has_bundle(row.Int(18) != 0);
  d.set_cancel_reason(row.Text(23));
  d.set_kind(row.Enum<v1::JobKind>(24));
  d.set_verdict(row.Text(25));
  if (!row.Text(19).empty()) {
    d.mutable_composition()->set_status(row.Text(19));
    d.mutable_composition()->set_max_difference(row.Real(20));
    d.mutable_composition()->set_bit_exact(row.Int(21) != 0);
  }
  return d;
}

void AddCountsAndLabels(Database& db, v1::Decomposition& d) {
  jobs::Job job;
  Rows tasks = db.Query("SELECT kind, state, component FROM tasks WHERE job=? ORDER BY ord", {d.id()});
  while (tasks.Next()) {
    jobs::Task& task = job.tasks.emplace_back();
    task.kind = tasks.Enum<jobs::TaskKind>(0);
    task.state = tasks.Enum<jobs::TaskState>(1);
    task.component = tasks.Text(2);
  }
  *d.mutable_counts() = ToMessage(jobs::CountTasks(job));
  Rows labels = db.Query("SELECT key, value FROM labels WHERE job=?", {d.id()});
  while (labels.Next()) (*d.mutable_labels())[labels.Text(0)] = labels.Text(1);
}

void AddSourceAndRunning(Database& db, v1::Decomposition& d) {
  Rows files = db.Query(
      "SELECT f.path, f.digest, f.size FROM model_files f JOIN jobs j ON j.model = f.model WHERE j.id=?",
      {d.id()});
  while (files.Next()) {
    v1::File* file = d.mutable_source()->add_files();
    file->set_path(files.Text(0));
    file->set_digest(files.Text(1));
    file->set_size_bytes(static_cast<uint64_t>(files.Int(2)));
  }
  Rows tasks = db.Query(
      "SELECT t.id, t.kind, t.component, t.state, t.attempt, COALESCE(w.name, ''), t.leased_us FROM tasks t"
      " LEFT JOIN workers w ON w.id = t.last_worker WHERE t.job=? AND t.state=? ORDER BY t.ord",
      {d.id(), v1::TASK_STATE_RUNNING});
  while (tasks.Next()) {
    v1::TaskStatus* task = d.add_running_tasks();
    task->set_task_id(tasks.Text(0));
    task->set_kind(tasks.Enum<v1::TaskKind>(1));
    task->set_component(tasks.Text(2));
    task->set_state(tasks.Enum<v1::TaskState>(3));
    task->set_attempt(static_cast<uint32_t>(tasks.Int(4)));
    task->set_worker(tasks.Text(5));
    SetTime(task, &v1::TaskStatus::mutable_start_time, tasks.Time(6));
  }
}

}  // namespace

v1::Counts ToMessage(const jobs::Counts& counts) {
  v1::Counts message;
  message.set_steps_known(counts.steps_known);
  message.set_steps_total(counts.steps_total);
  message.set_steps_done(counts.steps_done);
  message.set_steps_failed(counts.steps_failed);
  message.set_steps_left(counts.steps_left);
  message.set_tasks_total(counts.tasks_total);
  message.set_tasks_done(counts.tasks_done);
  message.set_tasks_running(counts.tasks_running);
  return message;
}

absl::Status CheckJobExists(Database& db, const std::string& id) {
  if (db.QueryInt("SELECT COUNT(*) FROM jobs WHERE id=?", {id}) > 0) return absl::OkStatus();
  return NotFound("DECOMPOSITION_NOT_FOUND",
                  absl::StrCat("there is no decomposition '", id.substr(0, 100), "'"));
}

absl::StatusOr<v1::Decomposition> GetDecomposition(Database& db, const std::string& id) {
  if (absl::Status status = CheckJobExists(db, id); !status.ok()) return status;
  Rows row = db.Query(absl::StrCat(kColumns, " WHERE j.id=?"), {id});
  if (!row.Next()) return absl::InternalError("decomposition without a model: " + id);
  v1::Decomposition d = FromRow(row);
  AddCountsAndLabels(db, d);
  AddSourceAndRunning(db, d);
  return d;
}

namespace {

struct Filter {
  std::vector<std::string> conditions;
  std::vector<Value> values;
  void Add(const std::string& condition, std::initializer_list<Value> bound) {
    conditions.push_back(condition);
    values.insert(values.end(), bound);
  }
};

absl::Time FromMessage(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::Status CheckEnums(const v1::ListDecompositionsRequest& request) {
  for (int state : request.states()) {
    if (!v1::State_IsValid(state) || state == v1::STATE_UNSPECIFIED)
      return BadField("BAD_STATE", "states", absl::StrCat(state, " is no known state"));
  }
  if (!v1::Order_IsValid(request.order()))
    return BadField("BAD_ORDER", "order", absl::StrCat(request.order(), " is no known order"));
  return absl::OkStatus();
}

Filter FilterOf(const v1::ListDecompositionsRequest& request) {
  Filter filter;
  if (request.states_size() > 0) {
    std::vector<int> states(request.states().begin(), request.states().end());
    filter.conditions.push_back(absl::StrCat("j.state IN (", absl::StrJoin(states, ","), ")"));
  }
  for (const auto& [key, value] : request.labels()) {
    filter.Add("EXISTS (SELECT 1 FROM labels l WHERE l.job=j.id AND l.key=? AND l.value=?)", {key, value});
  }
  if (!request.model_name().empty()) filter.Add("j.model_name=?", {request.model_name()});
  if (request.has_created_from()) filter.Add("j.created_us>=?", {FromMessage(request.created_from())});
  if (request.has_created_before()) filter.Add("j.created_us<?", {FromMessage(request.created_before())});
  return filter;
}

// What a page token is bound to: the question without page size and token.
std::string QuestionDigest(const v1::ListDecompositionsRequest& request) {
  std::vector<std::string> labels;
  for (const auto& [key, value] : request.labels()) labels.push_back(key + "=" + value);
  std::sort(labels.begin(), labels.end());
  const std::vector<int> states(request.states().begin(), request.states().end());
  return Sha256Hex(absl::StrCat(absl::StrJoin(states, ","), "\n", absl::StrJoin(labels, "\n"), "\n",
                                request.model_name(), "\n", request.created_from().SerializeAsString(), "\n",
                                request.created_before().SerializeAsString(), "\n", request.order()))
      .substr(0, 16);
}

// "DIGEST N NAME": the last row of the page before.
std::string PageToken(const v1::ListDecompositionsRequest& request, int64_t n, const std::string& name) {
  return absl::WebSafeBase64Escape(absl::StrCat(QuestionDigest(request), " ", n, " ", name));
}

absl::Status ContinueAfter(const v1::ListDecompositionsRequest& request, Filter& filter) {
  if (request.page_token().empty()) return absl::OkStatus();
  const auto bad = [] {
    return BadField("BAD_PAGE_TOKEN", "page_token", "it does not belong to this request");
  };
  std::string token;
  if (!absl::WebSafeBase64Unescape(request.page_token(), &token) || token.size() < 18) return bad();
  const size_t space = token.find(' ', 17);
  int64_t n = 0;
  if (token.substr(0, 16) != QuestionDigest(request) || space == std::string::npos) return bad();
  if (!absl::SimpleAtoi(token.substr(17, space - 17), &n)) return bad();
  const std::string name = token.substr(space + 1);
  switch (request.order()) {
    case v1::ORDER_CREATED_ASC:
      filter.Add("j.n>?", {n});
      break;
    case v1::ORDER_MODEL_NAME_ASC:
      filter.Add("(j.model_name>? OR (j.model_name=? AND j.n<?))", {name, name, n});
      break;
    default:
      filter.Add("j.n<?", {n});
  }
  return absl::OkStatus();
}

const char* OrderOf(v1::Order order) {
  switch (order) {
    case v1::ORDER_CREATED_ASC:
      return " ORDER BY j.n";
    case v1::ORDER_MODEL_NAME_ASC:
      return " ORDER BY j.model_name, j.n DESC";
    default:
      return " ORDER BY j.n DESC";
  }
}

}  // namespace

absl::StatusOr<v1::ListDecompositionsResponse> ListDecompositions(
    Database& db, const v1::ListDecompositionsRequest& request) {
  if (absl::Status status = CheckEnums(request); !status.ok()) return status;
  Filter filter = FilterOf(request);
  if (absl::Status status = ContinueAfter(request, filter); !status.ok()) return status;
  std::string sql = kColumns;
  if (!filter.conditions.empty()) absl::StrAppend(&sql, " WHERE ", absl::StrJoin(filter.conditions, " AND "));
  const uint32_t page = request.page_size() == 0 ? 50 : std::min(request.page_size(), kMaxPage);
  absl::StrAppend(&sql, OrderOf(request.order()), " LIMIT ?");
  filter.values.push_back(page + 1);
  v1::ListDecompositionsResponse response;
  int64_t last_n = 0;
  Rows rows = db.QueryWith(sql, filter.values);
  while (rows.Next()) {
    if (response.decompositions_size() == static_cast<int>(page)) {
      const auto& last = response.decompositions(response.decompositions_size() - 1);
      response.set_next_page_token(PageToken(request, last_n, last.model_name()));
      break;
    }
    last_n = rows.Int(22);
    v1::Decomposition& d = *response.add_decompositions();
    d = FromRow(rows);
    d.mutable_failure()->clear_traceback();
    if (d.failure().message().empty()) d.clear_failure();
    AddCountsAndLabels(db, d);
  }
  return response;
}

std::vector<v1::WorkerInfo> ListWorkers(Database& db) {
  std::vector<v1::WorkerInfo> workers;
  Rows rows = db.Query(
      "SELECT id, name, connected, draining, slots, devices_json, engine_version, torch_version, isolation,"
      " device_memory_bytes, last_seen_us FROM workers ORDER BY connected DESC, name, id");
  while (rows.Next()) {
    v1::WorkerInfo& worker = workers.emplace_back();
    worker.set_worker_id(rows.Text(0));
    worker.set_name(rows.Text(1));
    worker.set_connected(rows.Int(2) != 0);
    worker.set_draining(rows.Int(3) != 0);
    worker.set_slots(static_cast<uint32_t>(rows.Int(4)));
    for (const std::string& device : ListFromColumn(rows.Text(5))) worker.add_devices(device);
    worker.set_engine_version(rows.Text(6));
    worker.set_torch_version(rows.Text(7));
    worker.set_isolation(rows.Text(8));
    worker.set_device_memory_bytes(static_cast<uint64_t>(rows.Int(9)));
    SetTime(&worker, &v1::WorkerInfo::mutable_last_seen, rows.Time(10));
  }
  Rows tasks =
      db.Query("SELECT last_worker, job || '/' || id FROM tasks WHERE state=?", {v1::TASK_STATE_RUNNING});
  while (tasks.Next()) {
    for (v1::WorkerInfo& worker : workers) {
      if (worker.worker_id() != tasks.Text(0)) continue;
      worker.add_task_ids(tasks.Text(1));
      worker.set_busy(worker.busy() + 1);
    }
  }
  return workers;
}

namespace {

const char* OutcomeName(jobs::Outcome outcome) {
  switch (outcome) {
    case jobs::Outcome::kRunning:
      return "RUNNING";
    case jobs::Outcome::kPassed:
      return "PASSED";
    case jobs::Outcome::kGateFailed:
      return "GATE_FAILED";
    case jobs::Outcome::kFailed:
      return "FAILED";
    case jobs::Outcome::kEngineDied:
      return "ENGINE_DIED";
    case jobs::Outcome::kReturned:
      return "RETURNED";
    case jobs::Outcome::kCanceled:
      return "CANCELED";
    case jobs::Outcome::kLost:
      return "LOST";
  }
  return "";
}

void AddStreams(Database& db, const std::string& job, v1::AttemptLog& log) {
  Rows rows = db.Query(
      "SELECT stream, data FROM attempt_logs WHERE job=? AND task=? AND attempt=? ORDER BY stream, seq",
      {job, log.task_id(), log.attempt()});
  while (rows.Next()) {
    switch (rows.Int(0)) {
      case 1:
        log.mutable_stdout()->append(rows.Text(1));
        break;
      case 2:
        log.mutable_stderr()->append(rows.Text(1));
        break;
      case 3:
        log.mutable_traceback()->append(rows.Text(1));
        break;
    }
  }
}

}  // namespace

absl::StatusOr<v1::GetJobLogsResponse> GetJobLogs(Database& db, const v1::GetJobLogsRequest& request) {
  const std::string& job = request.decomposition_id();
  if (absl::Status status = CheckJobExists(db, job); !status.ok()) return status;
  std::string sql =
      "SELECT a.task, t.kind, t.component, a.attempt, a.worker_name, a.outcome, a.leased_us, a.ended_us, "
      "a.seconds,"
      " a.peak_memory_bytes, a.failure_json, a.stdout_dropped, a.stderr_dropped FROM attempts a"
      " JOIN tasks t ON t.job = a.job AND t.id = a.task WHERE a.job=?1 AND (?2='' OR a.task=?2)"
      " AND (?3='' OR t.component=?3)";
  if (request.failed_only()) absl::StrAppend(&sql, " AND a.outcome NOT IN (1, 2)");
  absl::StrAppend(&sql, " ORDER BY a.leased_us DESC, t.ord DESC, a.attempt DESC");
  v1::GetJobLogsResponse response;
  size_t bytes = 0;
  Rows rows = db.Query(sql, {job, request.task_id(), request.component()});
  while (rows.Next()) {
    v1::AttemptLog log;
    log.set_task_id(rows.Text(0));
    log.set_kind(rows.Enum<v1::TaskKind>(1));
    log.set_component(rows.Text(2));
    log.set_attempt(static_cast<uint32_t>(rows.Int(3)));
    log.set_worker(rows.Text(4));
    log.set_outcome(OutcomeName(rows.Enum<jobs::Outcome>(5)));
    SetTime(&log, &v1::AttemptLog::mutable_start_time, rows.Time(6));
    SetTime(&log, &v1::AttemptLog::mutable_end_time, rows.Time(7));
    log.set_seconds(rows.Real(8));
    log.set_peak_memory_bytes(static_cast<uint64_t>(rows.Int(9)));
    if (const auto failure = FailureFromColumn(rows.Text(10))) *log.mutable_failure() = ToMessage(*failure);
    log.set_stdout_dropped_bytes(static_cast<uint64_t>(rows.Int(11)));
    log.set_stderr_dropped_bytes(static_cast<uint64_t>(rows.Int(12)));
    AddStreams(db, job, log);
    bytes += log.ByteSizeLong();
    if (bytes > kMaxLogAnswerBytes) {
      response.set_truncated(true);
      break;
    }
    *response.add_attempts() = std::move(log);
  }
  std::reverse(response.mutable_attempts()->begin(), response.mutable_attempts()->end());
  return response;
}

std::vector<v1::Event> EventsAfter(Database& db, const std::string& id, uint64_t after, int limit) {
  std::vector<v1::Event> events;
  const auto number = static_cast<int64_t>(std::min<uint64_t>(after, INT64_MAX));
  Rows rows =
      id.empty()
          ? db.Query("SELECT number, body FROM events WHERE number>? ORDER BY number LIMIT ?",
                     {number, limit})
          : db.Query("SELECT number, body FROM events WHERE job=? AND number>? ORDER BY number LIMIT ?",
                     {id, number, limit});
  while (rows.Next()) {
    v1::Event& event = events.emplace_back();
    if (!event.ParseFromString(rows.Text(1))) {
      db.Fail(absl::InternalError(absl::StrCat("event ", rows.Int(0), " does not parse")));
    }
    event.set_number(static_cast<uint64_t>(rows.Int(0)));
  }
  return events;
}

bool HasEnded(Database& db, const std::string& id) {
  return db.QueryInt("SELECT COUNT(*) FROM jobs WHERE id=? AND state IN (1, 2, 3)", {id}) == 0;
}

std::optional<KnownRequest> FindRequest(Database& db, const std::string& request_id) {
  Rows rows = db.Query("SELECT id, request_digest FROM jobs WHERE request_id=?", {request_id});
  if (!rows.Next()) return std::nullopt;
  return KnownRequest{rows.Text(0), rows.Text(1)};
}

namespace {
std::optional<uint64_t> SizeIn(Database& db, const char* sql, const std::string& digest) {
  Rows rows = db.Query(sql, {digest});
  if (!rows.Next()) return std::nullopt;
  return static_cast<uint64_t>(rows.Int(0));
}
}  // namespace

std::optional<uint64_t> BlobSize(Database& db, const std::string& digest) {
  return SizeIn(db, "SELECT size FROM blobs WHERE digest=?", digest);
}

std::optional<uint64_t> UploadSize(Database& db, const std::string& digest) {
  return SizeIn(db, "SELECT size FROM uploads WHERE digest=?", digest);
}

}  // namespace strata::store
