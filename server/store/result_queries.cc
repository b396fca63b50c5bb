#include "server/store/result_queries.h"

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/error.h"
#include "server/store/columns.h"
#include "server/store/job_queries.h"

#include <google/protobuf/util/json_util.h>

namespace strata::store {
namespace {

absl::Status NotReady(Database& db, const std::string& job, const std::string& what) {
  if (HasEnded(db, job)) {
    return NotNow("NEVER_WRITTEN",
                  absl::StrCat(what, " does not exist: the job ended before it was written"));
  }
  return NotNow("NOT_READY", absl::StrCat(what, " is not written yet; watch the decomposition"),
                absl::Seconds(2));
}

void FillTensors(Database& db, const std::string& job, v1::Tree& tree) {
  std::map<std::string, v1::Node*> nodes;
  for (v1::Node& node : *tree.mutable_nodes()) nodes[node.id()] = &node;
  Rows rows = db.Query(
      "SELECT node, is_output, name, shape_json, dtype FROM node_tensors WHERE job=? ORDER BY node,"
      " is_output, ord",
      {job});
  while (rows.Next()) {
    v1::Node* node = nodes[rows.Text(0)];
    if (node == nullptr) continue;
    v1::TensorSpec* tensor = rows.Int(1) != 0 ? node->add_outputs() : node->add_inputs();
    tensor->set_name(rows.Text(2));
    for (int64_t n : NumbersFromColumn(rows.Text(3))) tensor->add_shape(n);
    tensor->set_dtype(rows.Text(4));
  }
  Rows calls =
      db.Query("SELECT parent, child, calls FROM node_calls WHERE job=? ORDER BY parent, ord", {job});
  while (calls.Next()) {
    if (nodes[calls.Text(0)] == nullptr) continue;
    v1::Call* call = nodes[calls.Text(0)]->add_calls();
    call->set_child(calls.Text(1));
    call->set_calls(static_cast<uint64_t>(calls.Int(2)));
  }
  Rows instances =
      db.Query("SELECT node, scope, calls FROM node_instances WHERE job=? ORDER BY node, ord", {job});
  while (instances.Next()) {
    if (nodes[instances.Text(0)] == nullptr) continue;
    v1::Instance* instance = nodes[instances.Text(0)]->add_instances();
    instance->set_scope(instances.Text(1));
    instance->set_calls(static_cast<uint64_t>(instances.Int(2)));
  }
}

void FillNodes(Database& db, const std::string& job, v1::Tree& tree) {
  Rows rows = db.Query(
      "SELECT n.id, n.name, n.level, n.path, n.instance_count, n.children_json, n.workloads_json, "
      "COALESCE(s.name, ''),"
      " COALESCE(t.state, 0) FROM nodes n LEFT JOIN steps s ON s.job = n.job AND s.component = n.id"
      " LEFT JOIN tasks t ON t.job = n.job AND t.id = 'verify/' || n.id WHERE n.job=? ORDER BY n.ord",
      {job});
  while (rows.Next()) {
    v1::Node* node = tree.add_nodes();
    // Written by MessageToJsonString, so it parses; begins with the workloads alone.
    (void)google::protobuf::util::JsonStringToMessage(rows.Text(6), node);
    node->set_id(rows.Text(0));
    node->set_name(rows.Text(1));
    node->set_level(rows.Enum<v1::Level>(2));
    node->set_path(rows.Text(3));
    node->set_instance_count(static_cast<uint64_t>(rows.Int(4)));
    for (const std::string& child : ListFromColumn(rows.Text(5))) node->add_children(child);
    node->set_step(rows.Text(7));
    node->set_verification(rows.Enum<v1::TaskState>(8));
  }
}

constexpr char kStepColumns[] =
    "SELECT s.name, s.component, s.level, s.children_json, COALESCE(d.state, 0), COALESCE(v.state, 0), "
    "s.status,"
    " s.max_diff, s.bit_exact, s.anticheat_status, s.coverage_pct FROM steps s"
    " LEFT JOIN tasks d ON d.job = s.job AND d.id = 'decompose/' || s.component"
    " LEFT JOIN tasks v ON v.job = s.job AND v.id = 'verify/' || s.component WHERE s.job=?";

void FillStep(const Rows& rows, v1::Step* step) {
  step->set_name(rows.Text(0));
  step->set_component(rows.Text(1));
  step->set_level(rows.Enum<v1::Level>(2));
  for (const std::string& child : ListFromColumn(rows.Text(3))) step->add_children(child);
  step->set_decompose(rows.Enum<v1::TaskState>(4));
  step->set_verify(rows.Enum<v1::TaskState>(5));
  step->set_status(rows.Text(6));
  if (!rows.Null(7) || !step->status().empty()) step->set_max_diff(rows.Real(7));
  step->set_bit_exact(rows.Int(8) != 0);
  step->set_anticheat_status(rows.Text(9));
  if (!rows.Null(10)) step->set_coverage_pct(rows.Real(10));
}

// The step by its name or its component's id.
absl::StatusOr<v1::Step> FindStep(Database& db, const std::string& job, const std::string& step) {
  if (absl::Status status = CheckJobExists(db, job); !status.ok()) return status;
  Rows rows = db.Query(absl::StrCat(kStepColumns, " AND (s.name=? OR s.component=?)"), {job, step, step});
  if (!rows.Next()) {
    if (db.QueryInt("SELECT COUNT(*) FROM steps WHERE job=?", {job}) == 0)
      return NotReady(db, job, "the list of steps");
    return NotFound("STEP_NOT_FOUND", absl::StrCat("decomposition ", job, " has no step '",
                                                   step.substr(0, 200), "'; ListSteps names them"));
  }
  v1::Step found;
  FillStep(rows, &found);
  return found;
}

}  // namespace

absl::StatusOr<v1::Tree> GetTree(Database& db, const std::string& job) {
  if (absl::Status status = CheckJobExists(db, job); !status.ok()) return status;
  Rows row = db.Query(
      "SELECT root, source_file, source_level, model_name, total_components, unique_kernels, "
      "verification_status"
      " FROM trees WHERE job=?",
      {job});
  if (!row.Next()) return NotReady(db, job, "the tree");
  v1::Tree tree;
  tree.set_root(row.Text(0));
  tree.set_source_file(row.Text(1));
  tree.set_source_level(row.Enum<v1::Level>(2));
  tree.set_model_name(row.Text(3));
  tree.set_total_components(static_cast<uint32_t>(row.Int(4)));
  tree.set_unique_kernels(static_cast<uint32_t>(row.Int(5)));
  tree.set_verification_status(row.Text(6));
  FillNodes(db, job, tree);
  FillTensors(db, job, tree);
  Rows flows = db.Query(
      "SELECT source, target, tensor_name, shape_json, dtype FROM data_flow WHERE job=? ORDER BY ord", {job});
  while (flows.Next()) {
    v1::Flow* flow = tree.add_data_flow();
    flow->set_from(flows.Text(0));
    flow->set_to(flows.Text(1));
    flow->set_tensor_name(flows.Text(2));
    for (int64_t n : NumbersFromColumn(flows.Text(3))) flow->add_shape(n);
    flow->set_dtype(flows.Text(4));
  }
  return tree;
}

absl::StatusOr<v1::ListStepsResponse> ListSteps(Database& db, const std::string& job) {
  if (absl::Status status = CheckJobExists(db, job); !status.ok()) return status;
  v1::ListStepsResponse response;
  Rows rows = db.Query(absl::StrCat(kStepColumns, " ORDER BY s.ord"), {job});
  while (rows.Next()) FillStep(rows, response.add_steps());
  return response;
}

absl::StatusOr<v1::StepResult> GetStepResult(Database& db, const std::string& job, const std::string& name,
                                             std::string* verdict_digest) {
  auto step = FindStep(db, job, name);
  if (!step.ok()) return step.status();
  v1::StepResult result;
  *result.mutable_step() = *step;
  Rows row = db.Query(
      "SELECT original_file, refactored_file, violations_json, weights_mapped, unmapped_original_json,"
      " unmapped_refactored_json, rtol, atol, input_dtype, environment_json FROM step_results WHERE job=? "
      "AND step=?",
      {job, step->name()});
  if (!row.Next()) return NotReady(db, job, absl::StrCat("the verdict of ", step->name()));
  result.set_original_file(row.Text(0));
  result.set_refactored_file(row.Text(1));
  for (const auto& text : ListFromColumn(row.Text(2))) result.add_violations(text);
  result.set_weights_mapped(static_cast<uint32_t>(row.Int(3)));
  for (const auto& text : ListFromColumn(row.Text(4))) result.add_unmapped_original(text);
  for (const auto& text : ListFromColumn(row.Text(5))) result.add_unmapped_refactored(text);
  result.set_rtol(row.Real(6));
  result.set_atol(row.Real(7));
  result.set_input_dtype(row.Text(8));
  result.set_environment_json(row.Text(9));
  Rows trials =
      db.Query("SELECT trial, seed, max_diff, pass FROM trials WHERE job=? AND step=? ORDER BY trial",
               {job, step->name()});
  while (trials.Next()) {
    v1::Trial* trial = result.add_trials();
    trial->set_trial(static_cast<uint32_t>(trials.Int(0)));
    trial->set_seed(static_cast<uint64_t>(trials.Int(1)));
    trial->set_max_diff(trials.Real(2));
    trial->set_pass(trials.Int(3) != 0);
    Rows outputs = db.Query(
        "SELECT output_idx, shape_json, dtype, max_diff, mean_diff, matches FROM trial_outputs"
        " WHERE job=? AND step=? AND trial=? ORDER BY output_idx",
        {job, step->name(), trial->trial()});
    while (outputs.Next()) {
      v1::OutputComparison* output = trial->add_outputs();
      output->set_output_idx(static_cast<uint32_t>(outputs.Int(0)));
      for (int64_t n : NumbersFromColumn(outputs.Text(1))) output->add_shape(n);
      output->set_dtype(outputs.Text(2));
      output->set_max_diff(outputs.Real(3));
      output->set_mean_diff(outputs.Real(4));
      output->set_matches(outputs.Int(5) != 0);
    }
  }
  Rows file =
      db.Query("SELECT digest FROM files WHERE job=? AND path='steps/' || ? || '/verification_result.json'",
               {job, step->name()});
  if (file.Next()) *verdict_digest = file.Text(0);
  return result;
}

absl::StatusOr<v1::FolderVerdict> GetFolderVerdict(Database& db, const std::string& job,
                                                   std::string* verdict_digest) {
  if (absl::Status status = CheckJobExists(db, job); !status.ok()) return status;
  Rows row = db.Query(
      "SELECT verdict, kind, folder, notes_json, not_judged_json, error FROM folder_verdicts WHERE job=?",
      {job});
  if (!row.Next()) return NotReady(db, job, "the verdict on a folder");
  v1::FolderVerdict verdict;
  verdict.set_verdict(row.Text(0));
  verdict.set_kind(row.Text(1));
  verdict.set_folder(row.Text(2));
  for (const auto& text : ListFromColumn(row.Text(3))) verdict.add_notes(text);
  for (const auto& text : ListFromColumn(row.Text(4))) verdict.add_not_judged(text);
  verdict.set_error(row.Text(5));
  Rows rows =
      db.Query("SELECT rule, file, line, what, advice FROM violations WHERE job=? ORDER BY ord", {job});
  while (rows.Next()) {
    v1::Violation* violation = verdict.add_violations();
    violation->set_rule(rows.Text(0));
    violation->set_file(rows.Text(1));
    violation->set_line(static_cast<uint32_t>(rows.Int(2)));
    violation->set_what(rows.Text(3));
    violation->set_advice(rows.Text(4));
  }
  Rows file = db.Query("SELECT digest FROM files WHERE job=? AND path='verdict.json'", {job});
  if (file.Next()) *verdict_digest = file.Text(0);
  return verdict;
}

absl::StatusOr<v1::ListLogEntriesResponse> ListLogEntries(Database& db,
                                                          const v1::ListLogEntriesRequest& request) {
  const std::string& job = request.decomposition_id();
  if (absl::Status status = CheckJobExists(db, job); !status.ok()) return status;
  v1::ListLogEntriesResponse response;
  // publish has joined all entries in step order; before it the tasks' order is the step order.
  Rows rows = db.Query(
      "SELECT l.step, l.type, l.title, l.description, l.resolution, l.timestamp FROM log_entries l"
      " LEFT JOIN tasks t ON t.job = l.job AND t.id = l.task"
      " WHERE l.job=?1 AND (?2='' OR l.step=?2) AND (?3='' OR l.type=?3) ORDER BY t.ord, l.ord",
      {job, request.step(), request.type()});
  while (rows.Next()) {
    v1::LogEntry* entry = response.add_entries();
    entry->set_step(rows.Text(0));
    entry->set_type(rows.Text(1));
    entry->set_title(rows.Text(2));
    entry->set_description(rows.Text(3));
    entry->set_resolution(rows.Text(4));
    entry->set_timestamp(rows.Text(5));
  }
  return response;
}

absl::StatusOr<v1::Coverage> GetCoverage(Database& db, const std::string& job, const std::string& asked) {
  std::string step;
  if (asked.empty()) {
    if (absl::Status status = CheckJobExists(db, job); !status.ok()) return status;
  } else {
    auto found = FindStep(db, job, asked);
    if (!found.ok()) return found.status();
    step = found->name();
  }
  Rows row = db.Query(
      "SELECT status, total_original_ops, total_decomposed_ops, covered_op_count, coverage_pct, "
      "missing_json, extra_json"
      " FROM coverage WHERE job=? AND step=?",
      {job, step});
  if (!row.Next())
    return NotReady(db, job, step.empty() ? "the coverage summary" : "the coverage of " + step);
  v1::Coverage coverage;
  coverage.set_step(step);
  coverage.set_status(row.Text(0));
  coverage.set_total_original_ops(static_cast<uint64_t>(row.Int(1)));
  coverage.set_total_decomposed_ops(static_cast<uint64_t>(row.Int(2)));
  coverage.set_covered_op_count(static_cast<uint64_t>(row.Int(3)));
  coverage.set_coverage_pct(row.Real(4));
  for (const auto& text : ListFromColumn(row.Text(5))) coverage.add_missing_op_types(text);
  for (const auto& text : ListFromColumn(row.Text(6))) coverage.add_extra_op_types(text);
  Rows ops = db.Query(
      "SELECT op_type, original_count, decomposed_count, status, kernel_files_json FROM coverage_operators"
      " WHERE job=? AND step=? ORDER BY ord",
      {job, step});
  while (ops.Next()) {
    v1::OperatorCoverage* op = coverage.add_operators();
    op->set_op_type(ops.Text(0));
    op->set_original_count(static_cast<uint64_t>(ops.Int(1)));
    op->set_decomposed_count(static_cast<uint64_t>(ops.Int(2)));
    op->set_status(ops.Text(3));
    for (const auto& text : ListFromColumn(ops.Text(4))) op->add_kernel_files(text);
  }
  Rows kernels = db.Query(
      "SELECT file, op_types_json, instance_count FROM coverage_kernels WHERE job=? AND step=? ORDER BY ord",
      {job, step});
  while (kernels.Next()) {
    v1::KernelUse* kernel = coverage.add_kernels();
    kernel->set_file(kernels.Text(0));
    for (const auto& text : ListFromColumn(kernels.Text(1))) kernel->add_op_types(text);
    kernel->set_instance_count(static_cast<uint64_t>(kernels.Int(2)));
  }
  Rows plumbing = db.Query("SELECT op, count FROM coverage_plumbing WHERE job=? AND step=?", {job, step});
  while (plumbing.Next())
    (*coverage.mutable_plumbing())[plumbing.Text(0)] = static_cast<uint64_t>(plumbing.Int(1));
  return coverage;
}

absl::StatusOr<std::vector<v1::File>> BundleFiles(Database& db, const v1::DownloadBundleRequest& request) {
  const std::string& job = request.decomposition_id();
  if (absl::Status status = CheckJobExists(db, job); !status.ok()) return status;
  if (!HasEnded(db, job)) {
    return NotNow("NOT_READY",
                  absl::StrCat("decomposition ", job, " is still running; its bundle comes at the end"),
                  absl::Seconds(2));
  }
  if (db.QueryInt("SELECT has_bundle FROM jobs WHERE id=?", {job}) == 0) {
    return NotNow("NO_BUNDLE", absl::StrCat("decomposition ", job,
                                            " ended before there was anything to deliver;"
                                            " GetDecomposition says why"));
  }
  std::vector<v1::File> files;
  Rows rows = db.Query("SELECT path, digest, size FROM files WHERE job=? AND path>? ORDER BY path",
                       {job, request.after_path()});
  while (rows.Next()) {
    const std::string path = rows.Text(0);
    if (absl::StartsWith(path, ".strata/") || !absl::StartsWith(path, request.path_prefix())) continue;
    v1::File& file = files.emplace_back();
    file.set_path(path);
    file.set_digest(rows.Text(1));
    file.set_size_bytes(static_cast<uint64_t>(rows.Int(2)));
  }
  return files;
}

}  // namespace strata::store
