#include "worker/engine/pipeline/task_run.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/program/codec.h"

namespace strata::pipeline {
namespace {

namespace fs = std::filesystem;
using host::RunStatus;

const char* WhatHeDid(const std::string& stage) {
  if (stage == "load") return "while the file was loaded";
  if (stage == "init") return "while Model was built";
  if (stage == "inputs") return "in get_inputs()";
  if (stage == "forward") return "in forward";
  if (stage == "weights") return "while its weights were set";
  if (stage == "main") return "while it ran as a script";
  return "while its results were saved";
}

std::string LimitMessage(const host::RunOutcome& outcome, const std::string& running) {
  const std::string where = WhatHeDid(outcome.stage);
  return outcome.message.empty() ? absl::StrCat(running, " went past a limit ", where)
                                 : absl::StrCat(running, " went past a limit ", where, ": ", outcome.message);
}

std::string Sentence(const host::RunOutcome& outcome, const std::string& running) {
  const std::string where = WhatHeDid(outcome.stage);
  if (outcome.status == RunStatus::kExited) {
    const std::string how = outcome.signal != 0
                                ? absl::StrCat("was ended by signal ", outcome.signal)
                                : absl::StrCat("ended its process with exit code ", outcome.exit_code);
    const std::string detail = outcome.message.empty() ? "" : absl::StrCat(": ", outcome.message);
    return absl::StrCat(running, " ", how, " ", where, detail);
  }
  const std::string type = outcome.error_type.empty() || absl::StartsWith(outcome.message, outcome.error_type)
                               ? ""
                               : outcome.error_type + ": ";
  return absl::StrCat(running, " failed ", where, ": ", type, outcome.message);
}

}  // namespace

const char* TaskName(TaskKind kind) {
  static constexpr const char* kNames[] = {"prepare",  "decompose", "verify", "compose",
                                           "coverage", "publish",   "judge"};
  return kNames[static_cast<size_t>(kind)];
}

const char* FailureName(FailureKind kind) {
  static constexpr const char* kNames[] = {"user", "limits", "gate", "ours"};
  return kNames[static_cast<size_t>(kind)];
}

// Passes everything on and remembers the largest runner.
class TaskRun::Meter : public host::Zygote {
 public:
  explicit Meter(host::Zygote& zygote) : zygote_(zygote) {}
  host::RunOutcome Run(const host::RunRequest& request, const host::Limits& limits) override {
    host::RunOutcome outcome = zygote_.Run(request, limits);
    peak_ = std::max(peak_, outcome.peak_rss_bytes);
    return outcome;
  }
  absl::StatusOr<std::string> RunTrusted(const std::function<absl::StatusOr<std::string>()>& work,
                                         const host::Limits& limits) override {
    return zygote_.RunTrusted(work, limits);
  }
  std::vector<std::pair<std::string, std::string>> Environment() const override {
    return zygote_.Environment();
  }
  int64_t peak() const { return peak_; }

 private:
  host::Zygote& zygote_;
  int64_t peak_ = 0;
};

TaskRun::TaskRun(host::Zygote& zygote, verify::Findings& findings, const Task& task, Reporter& reporter,
                 std::string scratch_dir)
    : task_(task),
      reporter_(reporter),
      files_(task.input_dir, task.output_dir),
      meter_(std::make_shared<Meter>(zygote)),
      context_{*meter_, task.limits, task.numeric, task.device, std::move(scratch_dir), &findings} {}

int64_t TaskRun::peak_memory_bytes() const { return meter_->peak(); }

void TaskRun::Report(const host::RunOutcome& outcome) {
  if (!outcome.stdout_text.empty()) reporter_.Output(Stream::kStdout, outcome.stdout_text);
  if (!outcome.stderr_text.empty()) reporter_.Output(Stream::kStderr, outcome.stderr_text);
  if (!outcome.traceback.empty()) reporter_.Output(Stream::kTraceback, outcome.traceback);
}

std::string TaskRun::source_name() const { return fs::path(task_.source).filename().string(); }

absl::StatusOr<plan::Plan> TaskRun::Plan() const {
  absl::StatusOr<std::string> bytes = files_.Read(".strata/program.bin");
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<program::Program> program = program::Decode(*bytes);
  if (!program.ok()) return program.status();
  return plan::MakePlan(*std::move(program));
}

std::string TaskRun::RespelledPath(const plan::Component& component) {
  return absl::StrCat(".strata/respelled.", component.stem, ".json");
}

absl::StatusOr<emit::Spelling> TaskRun::ReadSpelling(const plan::Component& component) const {
  emit::Spelling spelling;
  const std::string path = RespelledPath(component);
  if (!files_.Has(path)) return spelling;
  absl::StatusOr<nlohmann::ordered_json> json = files_.ReadJson(path);
  if (!json.ok()) return json.status();
  for (const auto& [name, ids] :
       {std::pair{"aten", &spelling.aten}, std::pair{"literal", &spelling.literal}}) {
    const auto listed = json->find(name);
    if (listed == json->end() || !listed->is_array())
      return absl::DataLossError(absl::StrCat(path, " has no list '", name, "'"));
    for (const nlohmann::ordered_json& id : *listed) {
      if (!id.is_number_integer())
        return absl::DataLossError(absl::StrCat(path, ": '", name, "' lists what is no number"));
      ids->insert(id.get<int32_t>());
    }
  }
  return spelling;
}

absl::StatusOr<plan::ComponentId> TaskRun::Component(const plan::Plan& plan) const {
  for (const plan::Component& component : plan.components) {
    if (component.stem == task_.component) return component.id;
  }
  return absl::InternalError(absl::StrCat("the plan has no component '", task_.component, "'"));
}

std::string TaskRun::ModelPath(const plan::Plan& plan) const {
  return plan.components[0].level == plan::Level::kKernel ? task_.source : emit::ComponentPath(plan, 0);
}

absl::Status TaskRun::WriteLog(const std::string& name, const std::vector<plan::LogEntry>& entries) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const plan::LogEntry& entry : entries) {
    nlohmann::ordered_json json = {{"step", entry.step},
                                   {"type", entry.type},
                                   {"title", entry.title},
                                   {"description", entry.description}};
    if (!entry.resolution.empty()) json["resolution"] = entry.resolution;
    list.push_back(std::move(json));
  }
  return files_.WriteJson(absl::StrCat(".strata/log/", name, ".json"), {{"entries", list}});
}

Failure FromStatus(const absl::Status& status) {
  Failure failure;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      failure.kind = FailureKind::kUser;
      break;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      failure.kind = FailureKind::kLimits;
      break;
    default:
      failure.kind = FailureKind::kOurs;
  }
  failure.message = std::string(status.message());
  return failure;
}

Failure FromRunner(const host::RunOutcome& outcome, const std::string& running, bool theirs) {
  Failure failure;
  failure.file = outcome.file;
  failure.line = outcome.line;
  failure.traceback = outcome.traceback;
  switch (outcome.status) {
    case RunStatus::kRaised:
    case RunStatus::kExited:
      failure.kind = theirs ? FailureKind::kUser : FailureKind::kGate;
      failure.message = Sentence(outcome, running);
      break;
    case RunStatus::kWallLimit:
    case RunStatus::kMemoryLimit:
    case RunStatus::kOutputLimit:
    case RunStatus::kFileLimit:
    case RunStatus::kProcessLimit:
      failure.kind = FailureKind::kLimits;
      failure.message = LimitMessage(outcome, running);
      break;
    case RunStatus::kOk:
    case RunStatus::kInternal:
      failure.kind = FailureKind::kOurs;
      failure.message = absl::StrCat("the runner of ", running, " failed: ", outcome.message);
      break;
  }
  return failure;
}

int WorkloadCount(const plan::Component& component) {
  return std::max<int>(1, static_cast<int>(component.workloads.size()));
}

}  // namespace strata::pipeline
