// source → two captures, compared → Program → Plan → the model's own file, tree, analysis, job list.
#include "absl/strings/str_cat.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/pipeline/capture_source.h"
#include "worker/engine/pipeline/task_run.h"
#include "worker/engine/program/codec.h"
#include "worker/engine/verify/source_scan.h"

namespace strata::pipeline {
namespace {

nlohmann::ordered_json JobsJson(const plan::Plan& plan) {
  nlohmann::ordered_json components = nlohmann::ordered_json::array();
  for (const plan::Component& component : plan.components) {
    nlohmann::ordered_json children = nlohmann::ordered_json::array();
    for (const plan::ComponentId child : component.children) {
      children.push_back(plan.components[static_cast<size_t>(child)].stem);
    }
    components.push_back({{"id", component.stem},
                          {"level", plan::LevelName(component.level)},
                          {"path", emit::ComponentPath(plan, component.id)},
                          {"step", component.level == plan::Level::kKernel ? "" : component.step_name},
                          {"children", children}});
  }
  return {{"root", plan.components[0].stem}, {"components", components}};
}

absl::Status WriteAll(TaskRun& run, const plan::Plan& plan, const std::string& source) {
  absl::StatusOr<std::string> text = emit::ComponentText(plan, 0, source);
  if (!text.ok()) return text.status();
  Workspace& files = run.files();
  for (const absl::Status& status : {files.Write(emit::ComponentPath(plan, 0), *text),
                                     files.WriteJson(".strata/jobs.json", JobsJson(plan)),
                                     files.WriteJson("decomposition_tree.json", emit::TreeJson(plan)),
                                     files.Write("decomposition_analysis.md", emit::AnalysisText(plan))}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// The model's own file has to run alone too; its children's are run in the steps that use them.
Ending RunModelFile(TaskRun& run, const plan::Plan& plan, const std::string& source,
                    std::vector<plan::LogEntry>& log) {
  absl::StatusOr<verify::SourceScan> scan = verify::ScanSource(run.context().zygote, run.context().limits,
                                                               source, "Model", verify::TextRole::kChild);
  if (!scan.ok()) return FromStatus(scan.status());
  // A kernel's file is written by us; else it begins with the source, and so with its __main__ block.
  const bool by_import = scan->has_main && plan.components[0].level != plan::Level::kKernel;
  if (by_import) {
    log.push_back(
        {"prepare", "deviation", "The source has its own __main__ block",
         absl::StrCat(run.source_name(),
                      " does something of its own when run as a script, so its self-test "
                      "run_tests() is called by import instead; the public run_all_tests.py, which runs the "
                      "file and waits for PASS, cannot judge it"),
         ""});
  }
  const std::string path = emit::ComponentPath(plan, 0);
  const verify::FileVerdict verdict =
      verify::VerifyFile(run.context(), run.files().OutputPath(path), by_import);
  const absl::Status written = run.files().WriteJson(
      absl::StrCat(".strata/tests/", plan.components[0].stem, ".json"),
      {{"file", path}, {"status", verdict.pass ? "PASS" : "FAIL"}, {"message", verdict.message}});
  if (!written.ok()) return FromStatus(written);
  if (verdict.pass) return std::nullopt;
  run.Report(verdict.outcome);
  return Failure{.kind = FailureKind::kGate,
                 .message = absl::StrCat(path, " does not run alone: ", verdict.message),
                 .component = plan.components[0].stem,
                 .file = path,
                 .line = verdict.outcome.line,
                 .traceback = verdict.outcome.traceback};
}

std::string Summary(const plan::Plan& plan) {
  int64_t files[4] = {};
  for (const plan::Component& component : plan.components) files[static_cast<size_t>(component.level)]++;
  return absl::StrCat(plan.components[0].stem, ": ", files[2], " layers, ", files[1], " fusions, ", files[0],
                      " kernels from ", plan.program.calls.size(), " calls");
}

}  // namespace

Ending Prepare(TaskRun& run) {
  absl::StatusOr<std::string> source = ReadSource(run);
  if (!source.ok()) return FromStatus(source.status());

  run.Progress("capturing twice, with different inputs");
  Captured captured = CaptureTwice(run);
  if (captured.failure) return captured.failure;
  if (absl::Status s = run.files().Write(".strata/program.bin", program::Encode(captured.program)); !s.ok()) {
    return FromStatus(s);
  }

  absl::StatusOr<plan::Plan> plan = plan::MakePlan(std::move(captured.program));
  if (!plan.ok()) return FromStatus(plan.status());
  run.Progress(Summary(*plan));
  for (const std::string& note : plan->program.notes) run.Progress("note: " + note);
  if (absl::Status s = WriteAll(run, *plan, *source); !s.ok()) return FromStatus(s);

  std::vector<plan::LogEntry> log = plan->log;
  Ending failure = RunModelFile(run, *plan, *source, log);
  if (absl::Status s = run.WriteLog("prepare", log); !s.ok()) return FromStatus(s);
  return failure;
}

}  // namespace strata::pipeline
