// One component → the files of its step. What was written is captured again and compared with the slice it
// was written from; calls that came out different are written once more, as exact ATen calls, and buffers by
// their elements.
#include <algorithm>
#include <map>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/pipeline/task_run.h"
#include "worker/engine/verify/runs.h"

namespace strata::pipeline {
namespace {

using plan::Component;
using plan::ComponentId;
using plan::Plan;

// What the emitted text of one child said, held against its slice.
struct Recaptured {
  Ending failure;  // nothing to compare
  std::vector<emit::Difference> differences;
  bool raised = false;
  host::RunOutcome outcome;
};

// The workload at which the node that the file was written from runs.
int WorkloadOfFirstNode(const Component& component) {
  for (size_t k = 0; k < component.workloads.size(); ++k) {
    if (component.workloads[k].node == component.nodes.at(0)) return static_cast<int>(k);
  }
  return 0;
}

Recaptured Recapture(TaskRun& run, const Plan& plan, ComponentId id) {
  const Component& component = plan.components[static_cast<size_t>(id)];
  const std::string path = emit::ComponentPath(plan, id);
  absl::StatusOr<verify::Recorded> recorded =
      verify::Record(run.context(), run.files().OutputPath(path), WorkloadOfFirstNode(component));
  Recaptured result;
  if (!recorded.ok()) {
    result.failure = FromStatus(recorded.status());
    return result;
  }
  result.outcome = recorded->outcome;
  if (recorded->outcome.status == host::RunStatus::kOk) {
    result.differences = emit::CompareWithSlice(plan, id, recorded->program);
    return result;
  }
  const Failure failure = FromRunner(recorded->outcome, path, /*theirs=*/false);
  if (failure.kind != FailureKind::kGate) {
    result.failure = failure;
    return result;
  }
  // Text that raises says nothing about which of its calls is wrong: all of it takes the next rung.
  result.raised = true;
  const plan::Node& node = plan.nodes[static_cast<size_t>(component.nodes.at(0))];
  for (const program::ValueId held : node.held) {
    if (emit::IsKept(plan.program.value(held)))
      result.differences.push_back({program::kNoId, held, failure.message});
  }
  for (const program::CallId call : node.calls) {
    result.differences.push_back({call, program::kNoId, failure.message});
  }
  return result;
}

struct Round {
  Ending failure;
  emit::Spellings wrong;               // what takes the next rung, per child
  std::vector<std::string> sentences;  // what differed, per child
  Failure as_gate;                     // the first difference, as a gate's failure
};

Round CompareChildren(TaskRun& run, const Plan& plan, const Component& component) {
  Round round;
  for (const ComponentId child : component.children) {
    const Recaptured recaptured = Recapture(run, plan, child);
    if (recaptured.failure) {
      round.failure = recaptured.failure;
      round.failure->component = component.stem;
      return round;
    }
    if (recaptured.differences.empty()) continue;
    const std::string& stem = plan.components[static_cast<size_t>(child)].stem;
    const std::string sentence = absl::StrCat(stem, ": ", recaptured.differences[0].what);
    if (round.sentences.empty()) {
      round.as_gate = {.kind = FailureKind::kGate,
                       .message = absl::StrCat("the emitted text of ", sentence),
                       .component = stem,
                       .file = emit::ComponentPath(plan, child),
                       .line = recaptured.outcome.line,
                       .traceback = recaptured.outcome.traceback};
    }
    round.sentences.push_back(sentence);
    for (const emit::Difference& difference : recaptured.differences) {
      if (difference.call != program::kNoId) round.wrong[child].aten.insert(difference.call);
      if (difference.value != program::kNoId) round.wrong[child].literal.insert(difference.value);
    }
  }
  return round;
}

absl::StatusOr<emit::Emission> EmitStep(TaskRun& run, const Plan& plan, ComponentId id,
                                        const std::string& source, const emit::Spellings& spellings) {
  absl::StatusOr<emit::Emission> emission = emit::StepFiles(plan, id, source, spellings);
  if (!emission.ok()) return emission.status();
  for (const emit::File& file : emission->files) {
    if (absl::Status s = run.files().Write(file.path, file.content); !s.ok()) return s;
  }
  return emission;
}

absl::Status WriteSpellings(TaskRun& run, const Plan& plan, const Component& parent,
                            const emit::Spellings& spellings) {
  for (const ComponentId child : parent.children) {
    const auto found = spellings.find(child);
    if (found == spellings.end()) continue;
    const std::string path = TaskRun::RespelledPath(plan.components[static_cast<size_t>(child)]);
    const nlohmann::ordered_json json = {{"aten", found->second.aten}, {"literal", found->second.literal}};
    if (absl::Status s = run.files().WriteJson(path, json); !s.ok()) return s;
  }
  return absl::OkStatus();
}

// How much is on the next rung that was not.
struct Respelled {
  size_t calls = 0;
  size_t values = 0;

  std::string Text() const {
    std::vector<std::string> parts;
    if (calls > 0) parts.push_back(absl::StrCat(calls, " calls as exact ATen operators"));
    if (values > 0) parts.push_back(absl::StrCat(values, " buffers by their elements"));
    return absl::StrJoin(parts, " and ");
  }
};

Respelled TakeNextRung(const Round& round, emit::Spellings& spellings) {
  Respelled added;
  for (const auto& [child, wrong] : round.wrong) {
    emit::Spelling& spelling = spellings[child];
    for (const program::CallId call : wrong.aten) added.calls += spelling.aten.insert(call).second ? 1 : 0;
    for (const program::ValueId id : wrong.literal)
      added.values += spelling.literal.insert(id).second ? 1 : 0;
  }
  return added;
}

plan::LogEntry RungEntry(const Component& component, const std::vector<std::string>& sentences,
                         const Respelled& respelled) {
  return {component.step_name, "difficulty", absl::StrCat("written ", respelled.Text()),
          absl::StrCat("captured again, the readable spelling did not say what was recorded: ",
                       absl::StrJoin(sentences, "; ")),
          "the calls are spelled torch.ops.aten, with every argument as recorded; the buffers hold what the "
          "original's hold"};
}

}  // namespace

Ending Decompose(TaskRun& run) {
  absl::StatusOr<Plan> plan = run.Plan();
  if (!plan.ok()) return FromStatus(plan.status());
  absl::StatusOr<ComponentId> id = run.Component(*plan);
  if (!id.ok()) return FromStatus(id.status());
  absl::StatusOr<std::string> source = run.Source();
  if (!source.ok()) return FromStatus(source.status());
  const Component& component = plan->components[static_cast<size_t>(*id)];

  absl::StatusOr<emit::Spelling> own = run.ReadSpelling(component);
  if (!own.ok()) return FromStatus(own.status());
  emit::Spellings spellings;
  if (!own->empty()) spellings[*id] = *std::move(own);
  std::vector<plan::LogEntry> log;
  Ending failure;
  while (true) {
    absl::StatusOr<emit::Emission> emission = EmitStep(run, *plan, *id, *source, spellings);
    if (!emission.ok()) return FromStatus(emission.status());
    const Round round = CompareChildren(run, *plan, component);
    if (round.failure) return round.failure;
    const Respelled respelled = TakeNextRung(round, spellings);
    if (round.sentences.empty() || respelled.Text().empty()) {
      if (!round.sentences.empty()) failure = round.as_gate;
      log.insert(log.begin(), emission->log.begin(), emission->log.end());
      break;
    }
    run.Progress(absl::StrCat(component.stem, ": written again, ", respelled.Text()));
    log.push_back(RungEntry(component, round.sentences, respelled));
  }
  if (absl::Status s = WriteSpellings(run, *plan, component, spellings); !s.ok()) return FromStatus(s);
  if (absl::Status s = run.WriteLog(component.step_name, log); !s.ok()) return FromStatus(s);
  if (!failure) {
    run.Progress(absl::StrCat(component.stem, ": ", component.step_name, ", ", component.children.size(),
                              " children"));
  }
  return failure;
}

}  // namespace strata::pipeline
