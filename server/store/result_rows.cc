#include "server/store/result_rows.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/store/columns.h"
#include "server/store/json_view.h"

#include <google/protobuf/util/json_util.h>

namespace strata::store {
namespace {

void Clear(Database& db, const std::string& job, std::initializer_list<const char*> tables) {
  for (const char* table : tables) db.Run(absl::StrCat("DELETE FROM ", table, " WHERE job=?"), {job});
}

void ClearStep(Database& db, const std::string& job, const std::string& step,
               std::initializer_list<const char*> tables) {
  for (const char* table : tables)
    db.Run(absl::StrCat("DELETE FROM ", table, " WHERE job=? AND step=?"), {job, step});
}

std::string WorkloadsColumn(const v1::Node& node) {
  v1::Node only;
  *only.mutable_workloads() = node.workloads();
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(only, &text);
  return text;
}

void InsertTensors(Database& db, const std::string& job, const v1::Node& node, bool output,
                   const google::protobuf::RepeatedPtrField<v1::TensorSpec>& tensors) {
  int ord = 0;
  for (const v1::TensorSpec& t : tensors) {
    db.Run(
        "INSERT INTO node_tensors(job, node, is_output, ord, name, shape_json, dtype) VALUES (?,?,?,?,?,?,?)",
        {job, node.id(), output, ord++, t.name(), NumbersColumn(Numbers(t.shape())), t.dtype()});
  }
}

void InsertNode(Database& db, const std::string& job, int ord, const v1::Node& node) {
  db.Run(
      "INSERT INTO nodes(job, ord, id, name, level, path, instance_count, children_json, workloads_json)"
      " VALUES (?,?,?,?,?,?,?,?,?)",
      {job, ord, node.id(), node.name(), node.level(), node.path(),
       static_cast<int64_t>(node.instance_count()), ListColumn(Texts(node.children())),
       WorkloadsColumn(node)});
  InsertTensors(db, job, node, false, node.inputs());
  InsertTensors(db, job, node, true, node.outputs());
  int n = 0;
  for (const v1::Call& call : node.calls()) {
    db.Run("INSERT INTO node_calls(job, parent, ord, child, calls) VALUES (?,?,?,?,?)",
           {job, node.id(), n++, call.child(), static_cast<int64_t>(call.calls())});
  }
  n = 0;
  for (const v1::Instance& instance : node.instances()) {
    db.Run("INSERT INTO node_instances(job, node, ord, scope, calls) VALUES (?,?,?,?,?)",
           {job, node.id(), n++, instance.scope(), static_cast<int64_t>(instance.calls())});
  }
}

std::string RootOf(const v1::Tree& tree) {
  std::set<std::string> children;
  for (const v1::Node& node : tree.nodes()) children.insert(node.children().begin(), node.children().end());
  for (const v1::Node& node : tree.nodes()) {
    if (!children.count(node.id())) return node.id();
  }
  return "";
}

void ReplaceTree(Database& db, const std::string& job, const v1::Tree& tree) {
  Clear(db, job, {"trees", "nodes", "node_tensors", "node_calls", "node_instances", "data_flow"});
  db.Run(
      "INSERT INTO trees(job, root, source_file, source_level, model_name, total_components, unique_kernels,"
      " verification_status) VALUES (?,?,?,?,?,?,?,?)",
      {job, RootOf(tree), tree.source_file(), tree.source_level(), tree.model_name(), tree.total_components(),
       tree.unique_kernels(), tree.verification_status()});
  int ord = 0;
  for (const v1::Node& node : tree.nodes()) InsertNode(db, job, ord++, node);
  ord = 0;
  for (const v1::Flow& flow : tree.data_flow()) {
    db.Run(
        "INSERT INTO data_flow(job, ord, source, target, tensor_name, shape_json, dtype) VALUES "
        "(?,?,?,?,?,?,?)",
        {job, ord++, flow.from(), flow.to(), flow.tensor_name(), NumbersColumn(Numbers(flow.shape())),
         flow.dtype()});
  }
}

void InsertSteps(Database& db, const std::string& job, const jobs::Graph& graph) {
  int ord = 0;
  for (const jobs::Component& c : graph.components) {
    if (c.level == 0) continue;
    db.Run("INSERT INTO steps(job, ord, name, component, level, children_json) VALUES (?,?,?,?,?,?)",
           {job, ord++, c.step, c.id, c.level + v1::LEVEL_KERNEL, ListColumn(c.children)});
  }
}

void InsertTrial(Database& db, const std::string& job, const std::string& step, const v1::Trial& trial) {
  db.Run("INSERT OR REPLACE INTO trials(job, step, trial, seed, max_diff, pass) VALUES (?,?,?,?,?,?)",
         {job, step, trial.trial(), static_cast<int64_t>(trial.seed()), trial.max_diff(), trial.pass()});
  for (const v1::OutputComparison& o : trial.outputs()) {
    db.Run(
        "INSERT OR REPLACE INTO trial_outputs(job, step, trial, output_idx, shape_json, dtype, max_diff, "
        "mean_diff,"
        " matches) VALUES (?,?,?,?,?,?,?,?,?)",
        {job, step, trial.trial(), o.output_idx(), NumbersColumn(Numbers(o.shape())), o.dtype(), o.max_diff(),
         o.mean_diff(), o.matches()});
  }
}

void ReplaceVerdict(Database& db, const std::string& job, const v1::StepResult& result) {
  const v1::Step& step = result.step();
  ClearStep(db, job, step.name(), {"step_results", "trials", "trial_outputs"});
  db.Run("UPDATE steps SET status=?, anticheat_status=?, max_diff=?, bit_exact=? WHERE job=? AND name=?",
         {step.status(), step.anticheat_status(), step.max_diff(), step.bit_exact(), job, step.name()});
  db.Run(
      "INSERT INTO step_results(job, step, original_file, refactored_file, violations_json, weights_mapped,"
      " unmapped_original_json, unmapped_refactored_json, rtol, atol, input_dtype, environment_json)"
      " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
      {job, step.name(), result.original_file(), result.refactored_file(),
       ListColumn(Texts(result.violations())), result.weights_mapped(),
       ListColumn(Texts(result.unmapped_original())), ListColumn(Texts(result.unmapped_refactored())),
       result.rtol(), result.atol(), result.input_dtype(), result.environment_json()});
  for (const v1::Trial& trial : result.trials()) InsertTrial(db, job, step.name(), trial);
}

void ReplaceCoverage(Database& db, const std::string& job, const v1::Coverage& c) {
  ClearStep(db, job, c.step(), {"coverage", "coverage_operators", "coverage_kernels", "coverage_plumbing"});
  // A step whose numbers agree has passed only if its children execute all of its operators.
  db.Run(
      "UPDATE steps SET coverage_pct=?, status=CASE WHEN status='PASS' AND ?<>'FULL_COVERAGE' THEN 'FAIL' "
      "ELSE status END WHERE job=? AND name=?",
      {c.coverage_pct(), c.status(), job, c.step()});
  db.Run(
      "INSERT INTO coverage(job, step, status, total_original_ops, total_decomposed_ops, covered_op_count,"
      " coverage_pct, missing_json, extra_json) VALUES (?,?,?,?,?,?,?,?,?)",
      {job, c.step(), c.status(), static_cast<int64_t>(c.total_original_ops()),
       static_cast<int64_t>(c.total_decomposed_ops()), static_cast<int64_t>(c.covered_op_count()),
       c.coverage_pct(), ListColumn(Texts(c.missing_op_types())), ListColumn(Texts(c.extra_op_types()))});
  int ord = 0;
  for (const v1::OperatorCoverage& op : c.operators()) {
    db.Run(
        "INSERT INTO coverage_operators(job, step, ord, op_type, original_count, decomposed_count, status,"
        " kernel_files_json) VALUES (?,?,?,?,?,?,?,?)",
        {job, c.step(), ord++, op.op_type(), static_cast<int64_t>(op.original_count()),
         static_cast<int64_t>(op.decomposed_count()), op.status(), ListColumn(Texts(op.kernel_files()))});
  }
  ord = 0;
  for (const v1::KernelUse& kernel : c.kernels()) {
    db.Run(
        "INSERT INTO coverage_kernels(job, step, ord, file, op_types_json, instance_count) VALUES "
        "(?,?,?,?,?,?)",
        {job, c.step(), ord++, kernel.file(), ListColumn(Texts(kernel.op_types())),
         static_cast<int64_t>(kernel.instance_count())});
  }
  for (const auto& [op, count] : c.plumbing()) {
    db.Run("INSERT INTO coverage_plumbing(job, step, op, count) VALUES (?,?,?,?)",
           {job, c.step(), op, static_cast<int64_t>(count)});
  }
}

void InsertFolderVerdict(Database& db, const std::string& job, const v1::FolderVerdict& verdict) {
  db.Run(
      "INSERT INTO folder_verdicts(job, verdict, kind, folder, notes_json, not_judged_json, error)"
      " VALUES (?,?,?,?,?,?,?)",
      {job, verdict.verdict(), verdict.kind(), verdict.folder(), ListColumn(Texts(verdict.notes())),
       ListColumn(Texts(verdict.not_judged())), verdict.error()});
  int ord = 0;
  for (const v1::Violation& v : verdict.violations()) {
    db.Run("INSERT INTO violations(job, ord, rule, file, line, what, advice) VALUES (?,?,?,?,?,?,?)",
           {job, ord++, v.rule(), v.file(), v.line(), v.what(), v.advice()});
  }
}

// The log of publish joins those of all tasks before.
void ReplaceLog(Database& db, const std::string& job, const std::string& task, bool is_publish,
                const std::vector<v1::LogEntry>& entries) {
  if (is_publish) Clear(db, job, {"log_entries"});
  db.Run("DELETE FROM log_entries WHERE job=? AND task=?", {job, task});
  int ord = 0;
  for (const v1::LogEntry& e : entries) {
    db.Run(
        "INSERT INTO log_entries(job, task, ord, step, type, title, description, resolution, timestamp)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        {job, task, ord++, e.step(), e.type(), e.title(), e.description(), e.resolution(), e.timestamp()});
  }
}

}  // namespace

void RecordResult(Database& db, const std::string& job, const std::string& task, bool is_publish,
                  const std::vector<v1::File>& outputs, const Findings& findings) {
  const std::string verb = is_publish ? "INSERT OR REPLACE" : "INSERT OR IGNORE";
  for (const v1::File& file : outputs) {
    db.Run(verb +
               " INTO files(job, path, digest, size, task) SELECT ?, ?, digest, size, ? FROM blobs WHERE "
               "digest=?",
           {job, file.path(), task, file.digest()});
  }
  if (findings.graph) InsertSteps(db, job, *findings.graph);
  if (findings.tree) ReplaceTree(db, job, *findings.tree);
  for (const auto& verdict : findings.verdicts) ReplaceVerdict(db, job, verdict);
  for (const auto& coverage : findings.coverages) ReplaceCoverage(db, job, coverage);
  if (!findings.log.empty()) ReplaceLog(db, job, task, is_publish, findings.log);
  if (findings.folder_verdict) InsertFolderVerdict(db, job, *findings.folder_verdict);
  if (findings.composition) {
    db.Run("UPDATE jobs SET composition_status=?, composition_max_diff=?, composition_bit_exact=? WHERE id=?",
           {findings.composition->status, findings.composition->max_difference,
            findings.composition->bit_exact, job});
  }
}

absl::Status TryRecordResult(Database& db, const std::string& job, const std::string& task, bool is_publish,
                             const std::vector<v1::File>& outputs, const Findings& findings) {
  db.Script("SAVEPOINT trial");
  if (!db.ok()) return absl::OkStatus();  // not this result's doing
  RecordResult(db, job, task, is_publish, outputs, findings);
  const absl::Status status = db.TakeStatus();
  db.Script("ROLLBACK TO trial; RELEASE trial");
  return status;
}

std::string ConflictingPath(Database& db, const std::string& job, bool is_publish,
                            const std::vector<v1::File>& outputs) {
  for (const v1::File& file : outputs) {
    const bool source = absl::StartsWith(file.path(), "source/");
    if (!source && (is_publish || absl::StartsWith(file.path(), ".strata/"))) continue;
    Rows row = db.Query("SELECT digest FROM files WHERE job=? AND path=?", {job, file.path()});
    const bool there = row.Next();
    if (there ? row.Text(0) != file.digest() : source) return file.path();
  }
  return "";
}

std::vector<std::string> MissingBlobs(Database& db, const std::vector<std::string>& digests) {
  std::vector<std::string> missing;
  for (const std::string& digest : digests) {
    if (db.QueryInt("SELECT COUNT(*) FROM blobs WHERE digest=?", {digest}) == 0) missing.push_back(digest);
  }
  return missing;
}

std::vector<v1::File> InputsOf(Database& db, const std::string& job, jobs::TaskKind kind,
                               const std::string& step) {
  using jobs::TaskKind;
  const std::string own_step = "steps/" + step + "/";
  const auto reads = [&](const std::string& path) {
    const auto under = [&path](const char* folder) { return absl::StartsWith(path, folder); };
    if (under("source/") || kind == TaskKind::kPublish) return true;
    if (kind == TaskKind::kPrepare) return false;
    if (under("level_") || path == "decomposition_tree.json") return true;
    const bool plan = under(".strata/") && path.find('/', sizeof(".strata/") - 1) == std::string::npos;
    if (kind == TaskKind::kDecompose) return plan;
    if (kind == TaskKind::kVerify) return plan || absl::StartsWith(path, own_step);
    return under(".strata/") || under("verification/");
  };
  std::vector<v1::File> inputs;
  Rows rows = db.Query("SELECT path, digest, size FROM files WHERE job=? ORDER BY path", {job});
  while (rows.Next()) {
    if (!reads(rows.Text(0))) continue;
    v1::File& file = inputs.emplace_back();
    file.set_path(rows.Text(0));
    file.set_digest(rows.Text(1));
    file.set_size_bytes(static_cast<uint64_t>(rows.Int(2)));
  }
  return inputs;
}

namespace {

constexpr char kUnused[] =
    " NOT EXISTS (SELECT 1 FROM files f WHERE f.digest = blobs.digest)"
    " AND NOT EXISTS (SELECT 1 FROM model_files m WHERE m.digest = blobs.digest)";

Removed RemoveListed(Database& db, std::vector<std::pair<std::string, int64_t>> listed) {
  Removed removed;
  for (auto& [digest, size] : listed) {
    db.Run("DELETE FROM blobs WHERE digest=?", {digest});
    removed.bytes += size;
    removed.digests.push_back(std::move(digest));
  }
  return removed;
}

}  // namespace

Removed DeleteJob(Database& db, const std::string& job) {
  std::vector<std::string> candidates;
  {
    Rows rows = db.Query("SELECT DISTINCT digest FROM files WHERE job=?", {job});
    while (rows.Next()) candidates.push_back(rows.Text(0));
  }
  std::string model;
  if (Rows rows = db.Query("SELECT model FROM jobs WHERE id=?", {job}); rows.Next()) model = rows.Text(0);
  db.Run("DELETE FROM jobs WHERE id=?", {job});
  db.Run("DELETE FROM models WHERE id=? AND NOT EXISTS (SELECT 1 FROM jobs WHERE model = models.id)",
         {model});
  std::vector<std::pair<std::string, int64_t>> unused;
  for (const std::string& digest : candidates) {
    Rows rows = db.Query(absl::StrCat("SELECT size FROM blobs WHERE digest=? AND", kUnused), {digest});
    if (rows.Next()) unused.emplace_back(digest, rows.Int(0));
  }
  return RemoveListed(db, std::move(unused));
}

Removed DeleteUnused(Database& db, absl::Time before) {
  std::vector<std::pair<std::string, int64_t>> unused;
  {
    Rows rows =
        db.Query(absl::StrCat("SELECT digest, size FROM blobs WHERE stored_us < ? AND", kUnused), {before});
    while (rows.Next()) unused.emplace_back(rows.Text(0), rows.Int(1));
  }
  return RemoveListed(db, std::move(unused));
}

}  // namespace strata::store
