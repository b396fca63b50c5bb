// Everything proved so far → the complete bundle: logs joined, summaries, the tree with its verdict,
// scripts. Also of a job whose gate failed.
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/engine/pipeline/public_scripts.h"
#include "worker/engine/pipeline/summaries.h"
#include "worker/engine/pipeline/task_run.h"
#include "worker/engine/verify/runs.h"

namespace strata::embedded {
extern const char kVerifyStepPy[];
extern const char kExtractOpsPy[];
extern const char kRunStepPipelinePy[];
extern const char kVerifyWrapperPy[];
}  // namespace strata::embedded

namespace strata::pipeline {
namespace {

using nlohmann::ordered_json;

// What the folder has anyway goes into the bundle unchanged; what publish writes itself is left out here.
absl::Status CopyFiles(TaskRun& run) {
  if (run.task().input_dir == run.task().output_dir) return absl::OkStatus();
  for (const std::string& path : run.files().List("")) {
    if (absl::StartsWith(path, ".strata/") || path == "decomposition_tree.json") continue;
    absl::StatusOr<std::string> content = run.files().Read(path);
    if (!content.ok()) return content.status();
    if (absl::Status s = run.files().Write(path, *content); !s.ok()) return s;
  }
  return absl::OkStatus();
}

// The entries of all tasks, in step order: prepare, the steps of the tree, the rest.
ordered_json JoinLogs(TaskRun& run, const ordered_json& jobs, const std::vector<plan::LogEntry>& own,
                      const std::string& timestamp) {
  std::vector<std::string> names = {"prepare"};
  for (const ordered_json& component : jobs.value("components", ordered_json::array())) {
    const std::string step = component.value("step", "");
    if (!step.empty()) names.push_back(step);
  }
  ordered_json entries = ordered_json::array();
  for (const std::string& name : names) {
    absl::StatusOr<ordered_json> log = run.files().ReadJson(absl::StrCat(".strata/log/", name, ".json"));
    if (!log.ok()) continue;
    for (ordered_json entry : log->value("entries", ordered_json::array())) {
      entry["timestamp"] = timestamp;
      entries.push_back(std::move(entry));
    }
  }
  for (const plan::LogEntry& entry : own) {
    ordered_json json = {{"step", entry.step},
                         {"type", entry.type},
                         {"title", entry.title},
                         {"description", entry.description}};
    if (!entry.resolution.empty()) json["resolution"] = entry.resolution;
    json["timestamp"] = timestamp;
    entries.push_back(std::move(json));
  }
  return {{"entries", entries}};
}

std::vector<plan::LogEntry> OwnEntries(TaskRun& run) {
  std::vector<plan::LogEntry> entries;
  absl::StatusOr<plan::Plan> plan = run.Plan();
  if (!plan.ok()) return entries;
  if (const std::string why = WhyPublicScriptsCannotJudge(*plan); !why.empty()) {
    entries.push_back({"publish", "deviation", "The public scripts cannot judge this bundle", why,
                       "scripts/ of this bundle and our own verdicts do; see verification/"});
  }
  return entries;
}

absl::Status WriteTree(TaskRun& run, bool pass, const std::string& timestamp) {
  absl::StatusOr<ordered_json> tree = run.files().ReadJson("decomposition_tree.json");
  if (!tree.ok()) return absl::OkStatus();  // prepare did not get that far
  (*tree)["metadata"]["timestamp"] = timestamp;
  (*tree)["metadata"]["verification_status"] = pass ? "PASS" : "FAIL";
  return run.files().WriteJson("decomposition_tree.json", *tree);
}

absl::Status WriteScripts(TaskRun& run) {
  const std::pair<const char*, const char*> scripts[] = {
      {"scripts/verify_step.py", embedded::kVerifyStepPy},
      {"scripts/extract_ops.py", embedded::kExtractOpsPy},
      {"scripts/run_step_pipeline.py", embedded::kRunStepPipelinePy}};
  for (const auto& [path, text] : scripts) {
    if (absl::Status s = run.files().Write(path, text); !s.ok()) return s;
  }
  const std::string step_0 = "steps/step_0_preparation";  // only where Phase 0 made a wrapper
  if (run.files().List(step_0).empty()) return absl::OkStatus();
  return run.files().Write(step_0 + "/verify_wrapper.py", embedded::kVerifyWrapperPy);
}

}  // namespace

Ending Publish(TaskRun& run) {
  const std::string timestamp = verify::Timestamp();
  absl::StatusOr<ordered_json> read = run.files().ReadJson(".strata/jobs.json");
  const ordered_json jobs = read.ok() ? *read : ordered_json::object();
  const Summaries summaries = Summarize(run.files(), jobs, timestamp);

  for (const absl::Status& status :
       {CopyFiles(run),
        run.files().WriteJson("decomposition_log.json", JoinLogs(run, jobs, OwnEntries(run), timestamp)),
        run.files().WriteJson("verification/step_verification_summary.json", summaries.steps),
        run.files().WriteJson("verification/test_results.json", summaries.tests),
        WriteTree(run, summaries.pass, timestamp), WriteScripts(run)}) {
    if (!status.ok()) return FromStatus(status);
  }
  run.Progress(absl::StrCat("bundle: ", run.files().written().size(), " files, verification ",
                            summaries.pass ? "PASS" : "FAIL"));
  return std::nullopt;
}

}  // namespace strata::pipeline
