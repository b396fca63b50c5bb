#include <algorithm>
#include <filesystem>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/bundle_files.h"
#include "worker/engine/verify/bundle_json.h"
#include "worker/engine/verify/bundle_rules.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/source_scan.h"
#include "worker/engine/verify/step_alone.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

bool IsBundle(const fs::path& folder) {
  return fs::is_directory(folder / "steps") || fs::exists(folder / "decomposition_tree.json") ||
         fs::is_directory(folder / "level_0_kernel");
}

bool IsStep(const fs::path& folder) {
  return fs::exists(folder / "original.py") && fs::exists(folder / "refactored.py");
}

// What is found on the way to a verdict.
struct Found {
  std::vector<Violation> violations;
  std::vector<std::string> notes;
  std::string cannot_judge;  // why, where something broke a limit or does not load
  ordered_json steps = ordered_json::array();

  void Add(std::vector<Violation> more) {
    violations.insert(violations.end(), std::make_move_iterator(more.begin()),
                      std::make_move_iterator(more.end()));
  }
  void Stop(const std::string& why) {
    if (cannot_judge.empty()) cannot_judge = why;
  }
};

// A limit, or a signal: that says nothing about the work.
bool IsNoVerdict(const host::RunOutcome& outcome) {
  switch (outcome.status) {
    case host::RunStatus::kOk:
    case host::RunStatus::kRaised:
      return false;
    case host::RunStatus::kExited:
      return outcome.signal != 0;
    default:
      return true;
  }
}

// One component file: recorded on its own inputs at each workload, and run as anyone would.
absl::StatusOr<ComponentFacts> RunComponent(const Context& context, const std::string& file,
                                            const std::string& name, int workloads, bool by_import,
                                            Found& found) {
  const Prices::Scope price(context.prices, rules::kAlone);
  ComponentFacts facts;
  for (int workload = 0; workload < workloads; ++workload) {
    STRATA_ASSIGN_OR_RETURN(Recorded recorded, Record(context, file, workload));
    if (IsNoVerdict(recorded.outcome)) found.Stop(absl::StrCat(name, ": ", Describe(recorded.outcome)));
    if (recorded.outcome.status != host::RunStatus::kOk) break;
    facts.programs.push_back(std::move(recorded.program));
  }
  const FileVerdict verdict = VerifyFile(context, file, by_import);
  facts.ran = true;
  facts.passed = verdict.pass;
  facts.message = verdict.message;
  if (!verdict.pass && IsNoVerdict(verdict.outcome))
    found.Stop(absl::StrCat(name, ": ", Describe(verdict.outcome)));
  return facts;
}

FolderVerdict Conclude(const Context& context, const std::string& folder, const char* kind, Found found,
                       const std::vector<std::string>& not_judged) {
  FolderVerdict verdict;
  verdict.decision = !found.violations.empty()     ? Decision::kRejected
                     : !found.cannot_judge.empty() ? Decision::kCannotJudge
                                                   : Decision::kAccepted;
  if (verdict.decision == Decision::kRejected) {
    const Violation& first = found.violations[0];
    verdict.reason = absl::StrCat(first.rule, ": ", first.file, ": ", first.what);
  } else {
    verdict.reason = found.cannot_judge;
  }
  verdict.json = {{"verdict", DecisionName(verdict.decision)},
                  {"kind", kind},
                  {"folder", fs::path(folder).lexically_normal().filename().string()},
                  {"violations", ToJson(found.violations)},
                  {"notes", found.notes},
                  {"not_judged", not_judged}};
  if (!found.cannot_judge.empty()) verdict.json["error"] = found.cannot_judge;
  if (!found.steps.empty()) verdict.json["steps"] = std::move(found.steps);
  verdict.json["cpu_seconds"] = context.prices->ToJson();
  verdict.json["environment"] = EnvironmentJson(context);
  return verdict;
}

// ---- a step alone --------------------------------------------------------------------------------------

// At how many shapes original.py and its children run, as their texts say.
absl::StatusOr<StepOptions> OptionsOf(const Context& context, const std::string& folder) {
  const Prices::Scope price(context.prices, rules::kSource);
  std::vector<std::string> files = {folder + "/original.py"}, stems;
  for (const std::string& name : ChildFiles(folder + "/children")) {
    if (name == "__init__.py") continue;
    stems.push_back(Stem(name));
    files.push_back(absl::StrCat(folder, "/children/", name));
  }
  STRATA_ASSIGN_OR_RETURN(const std::vector<int> counts,
                          CountWorkloads(context.zygote, context.limits, files));
  StepOptions options{.workloads = counts[0]};
  for (size_t i = 0; i < stems.size(); ++i) options.child_workloads[stems[i]] = counts[i + 1];
  return options;
}

// What the original executes and the step does not, by name.
std::optional<std::set<std::string>> Respelled(const ordered_json& coverage_report) {
  if (!coverage_report.is_object()) return std::nullopt;
  std::set<std::string> operators;
  for (const ordered_json& detail : coverage_report["coverage"]["op_details"]) {
    if (detail["original_count"].get<int64_t>() > detail["decomposed_count"].get<int64_t>())
      operators.insert(detail["op_type"].get<std::string>());
  }
  return operators;
}

// All of them alone; those that call themselves kernels as the kernels of a bundle by others.
absl::Status JudgeChildren(const Context& context, const std::string& folder, const StepOptions& options,
                           const StepVerdict& step, Found& found) {
  BundleFiles files;
  BundleFacts facts{.components = {},
                    .steps = {},
                    .composition = {},
                    .respelled = Respelled(step.coverage_report),
                    .source = {}};
  for (const auto& [stem, workloads] : options.child_workloads) {
    const std::string path = absl::StrCat("children/", stem, ".py");
    STRATA_ASSIGN_OR_RETURN(std::string text, ReadFile(JoinPath(folder, path)));
    STRATA_ASSIGN_OR_RETURN(facts.components[path],
                            RunComponent(context, JoinPath(folder, path), path, workloads,
                                         /*by_import=*/false, found));
    const std::optional<plan::Level> level = LevelSaidBy(text);
    files.components.push_back(
        {.path = path, .stem = stem, .level = level.value_or(plan::Level::kLayer), .text = std::move(text)});
  }
  const Prices::Scope price(context.prices, rules::kKernel);
  Report report;
  CheckAlone(BundleIndex(files, facts), &report);
  found.Add(StepAloneViolations(files, facts, step.facts));
  std::erase_if(files.components, [](const ComponentFile& c) { return c.level != plan::Level::kKernel; });
  const BundleIndex kernels(files, facts);
  for (const auto check : {CheckKernels, CheckNames, CheckDuplicates}) check(kernels, &report);
  found.Add(std::move(report).Take());
  return absl::OkStatus();
}

absl::StatusOr<FolderVerdict> JudgeStep(const Context& context, const std::string& folder) {
  Found found;
  Found children;  // after the step's own, which say more about why
  const StatedResults stated = ReadStatedResults(folder);
  STRATA_ASSIGN_OR_RETURN(const StepOptions options, OptionsOf(context, folder));
  STRATA_ASSIGN_OR_RETURN(StepVerdict step, VerifyStep(context, folder, options));
  STRATA_RETURN_IF_ERROR(JudgeChildren(context, folder, options, step, children));
  const bool step_is_clean = step.violations.empty();
  found.Add(std::move(step.violations));
  found.Add(std::move(children.violations));
  std::vector<std::string> not_judged = {"chain", "tree", "composition"};
  found.Add(ResultsViolations(stated, step.facts, not_judged));
  found.notes = std::move(step.notes);
  if (step.decision == Decision::kCannotJudge) found.Stop(step.reason);
  if (!children.cannot_judge.empty()) found.Stop(children.cannot_judge);
  // What did not load or hung may look like a violation of something else.
  if (!found.cannot_judge.empty() && step_is_clean) {
    std::erase_if(found.violations, [](const Violation& v) { return v.rule == rules::kAlone; });
  }
  FolderVerdict verdict = Conclude(context, folder, "step", std::move(found), not_judged);
  verdict.json["verification_result"] = std::move(step.verification_result);
  verdict.json["coverage_report"] = std::move(step.coverage_report);
  return verdict;
}

// ---- a bundle ------------------------------------------------------------------------------------------

class Bundle {
 public:
  Bundle(const Context& context, std::string folder) : context_(context), folder_(std::move(folder)) {}

  absl::StatusOr<FolderVerdict> Judge() {
    STRATA_ASSIGN_OR_RETURN(files_, ReadBundle(folder_));
    STRATA_RETURN_IF_ERROR(RunComponents());
    STRATA_RETURN_IF_ERROR(JudgeSteps());
    STRATA_RETURN_IF_ERROR(files_.step_0.empty() ? RecordSource() : JudgeWrapper());
    STRATA_RETURN_IF_ERROR(JudgeComposition());  // last: its script may write
    found_.Add(CheckBundle(files_, facts_, context_.prices));
    return Conclude(context_, folder_, "bundle", std::move(found_), not_judged_);
  }

 private:
  // How many input shapes a component says that it has: its node's workloads.
  int Workloads(const std::string& path) const {
    const ordered_json& nodes =
        files_.tree.value.is_object() ? files_.tree.value.value("nodes", ordered_json()) : ordered_json();
    if (!files_.is_own() || !nodes.is_object()) return 1;
    for (const auto& [id, node] : nodes.items()) {
      if (!node.is_object() || node.value("path", ordered_json()) != path) continue;
      const ordered_json workloads = node.value("workloads", ordered_json::array());
      return workloads.is_array() ? std::clamp<int>(static_cast<int>(workloads.size()), 1, 64) : 1;
    }
    return 1;
  }

  absl::Status RunComponents() {
    const BundleIndex index(files_, facts_);
    root_ = index.root() == nullptr ? "" : index.root()->path;
    for (const ComponentFile& component : files_.components) {
      // A submission with a __main__ of its own is imported instead.
      const bool own_main =
          component.path == root_ && absl::StrContains(component.text, "# ---- component self-test ----") &&
          component.text.find("__main__") < component.text.find("# ---- component self-test ----");
      STRATA_ASSIGN_OR_RETURN(facts_.components[component.path],
                              RunComponent(context_, JoinPath(folder_, component.path), component.path,
                                           Workloads(component.path), own_main, found_));
    }
    return absl::OkStatus();
  }

  absl::Status JudgeSteps() {
    const BundleIndex index(files_, facts_);
    for (const StepFolder& step : files_.steps) {
      if (!step.original || !step.refactored) continue;  // rule `layout`
      StepOptions options;
      const ComponentFile* parent = index.ParentOf(step);
      if (parent != nullptr) options.workloads = Workloads(parent->path);
      options.is_submission = parent != nullptr && parent->path == root_;
      for (const auto& [stem, text] : step.children) {
        const ComponentFile* child = index.ChildOf(step, stem);
        if (child != nullptr) options.child_workloads[stem] = Workloads(child->path);
      }
      STRATA_ASSIGN_OR_RETURN(StepVerdict verdict,
                              VerifyStep(context_, JoinPath(folder_, "steps/" + step.name), options));
      AddStep(step, std::move(verdict));
    }
    return absl::OkStatus();
  }

  void AddStep(const StepFolder& step, StepVerdict verdict) {
    for (Violation& violation : verdict.violations) {
      violation.file = step.Path(violation.file.empty() ? "refactored.py" : violation.file);
      found_.violations.push_back(std::move(violation));
    }
    for (const std::string& note : verdict.notes) found_.notes.push_back(absl::StrCat(step.name, ": ", note));
    if (verdict.decision == Decision::kCannotJudge)
      found_.Stop(absl::StrCat(step.name, ": ", verdict.reason));
    found_.steps.push_back({{"step_name", step.name}, {"verdict", DecisionName(verdict.decision)}});
    facts_.steps[step.name] = std::move(verdict.facts);
  }

  absl::Status JudgeComposition() {
    if (!files_.composition_script || root_.empty()) {
      not_judged_.push_back("composition");
      return absl::OkStatus();
    }
    STRATA_ASSIGN_OR_RETURN(
        CompositionVerdict verdict,
        VerifyComposition(context_, folder_, JoinPath(folder_, SubmittedFile()), std::nullopt));
    for (const std::string& note : verdict.notes) found_.notes.push_back(absl::StrCat("composition: ", note));
    if (verdict.decision == Decision::kCannotJudge && !IsNoVerdict(verdict.failure)) {
      found_.violations.push_back({rules::kComposition, "verification/composition_test.py",
                                   verdict.failure.line, verdict.reason,
                                   "let it run from any directory, also after the bundle was moved"});
    } else if (verdict.decision == Decision::kCannotJudge) {
      found_.Stop(absl::StrCat("verification/composition_test.py: ", verdict.reason));
    }
    facts_.composition = std::move(verdict.facts);
    return absl::OkStatus();
  }

  // Where the model is one kernel, the composition is held against the submission itself.
  std::string SubmittedFile() const {
    const bool kernel = absl::StartsWith(root_, "level_0_kernel/");
    return kernel && !files_.source.empty() ? "source/" + files_.source.begin()->first : root_;
  }

  absl::Status RecordSource() {
    if (files_.source.size() != 1) {
      not_judged_.push_back("source");
      return absl::OkStatus();
    }
    STRATA_ASSIGN_OR_RETURN(Recorded recorded,
                            Record(context_, JoinPath(folder_, "source/" + files_.source.begin()->first), 0));
    if (recorded.outcome.status == host::RunStatus::kOk)
      facts_.source = std::move(recorded.program);
    else
      found_.Stop(absl::StrCat("source: ", Describe(recorded.outcome)));
    return absl::OkStatus();
  }

  absl::Status JudgeWrapper() {
    const std::string entry = TextOf(AtPath(files_.tree.value, "metadata.source_file"));
    if (root_.empty() || !absl::StartsWith(entry, "source/") || !files_.source.contains(entry.substr(7))) {
      found_.Stop("phase 0: decomposition_tree.json names no file of source/, or no model");
      return absl::OkStatus();
    }
    STRATA_ASSIGN_OR_RETURN(WrapperVerdict verdict,
                            VerifyWrapper(context_, folder_, files_.step_0, entry, root_));
    if (verdict.decision == Decision::kCannotJudge) found_.Stop("phase 0: " + verdict.reason);
    for (const std::string& note : verdict.notes) found_.notes.push_back(absl::StrCat("phase 0: ", note));
    found_.Add(std::move(verdict.violations));
    facts_.wrapper = std::move(verdict.facts);
    return absl::OkStatus();
  }

  const Context& context_;
  const std::string folder_;
  BundleFiles files_;
  BundleFacts facts_;
  Found found_;
  std::string root_;  // path of the submitted model's component
  std::vector<std::string> not_judged_;
};

}  // namespace

const char* DecisionName(Decision decision) {
  switch (decision) {
    case Decision::kAccepted:
      return "accepted";
    case Decision::kRejected:
      return "rejected";
    case Decision::kCannotJudge:
      break;
  }
  return "cannot be judged";
}

absl::StatusOr<FolderVerdict> VerifyFolder(const Context& context, const std::string& folder) {
  Prices prices;
  Context counting = context;
  counting.prices = &prices;
  if (IsStep(folder)) return JudgeStep(counting, folder);
  if (IsBundle(folder)) return Bundle(counting, folder).Judge();
  return absl::InvalidArgumentError(absl::StrCat(
      folder, " is neither a bundle (steps/, level_0_kernel/) nor a step (original.py, refactored.py)"));
}

}  // namespace strata::verify
