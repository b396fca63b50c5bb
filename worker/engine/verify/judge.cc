#include "worker/engine/verify/judge.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/verify/alone.h"
#include "worker/engine/verify/compare.h"
#include "worker/engine/verify/dataflow_check.h"
#include "worker/engine/verify/draws.h"
#include "worker/engine/verify/formulas.h"
#include "worker/engine/verify/idle.h"
#include "worker/engine/verify/kept_check.h"
#include "worker/engine/verify/operators_check.h"
#include "worker/engine/verify/other_weights.h"
#include "worker/engine/verify/replay_claim.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/source_scan.h"
#include "worker/engine/verify/trials.h"
#include "worker/engine/verify/weight_transfer.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;
using program::Program;

ordered_json Skeleton(const Context& context, const Claim& claim) {
  const ordered_json none = ordered_json::array();
  ordered_json result = {{"timestamp", Timestamp()},
                         {"original_file", claim.original_name},
                         {"refactored_file", claim.refactored_name},
                         {"status", "ERROR"}};
  result["anticheat"] = {{"status", "ERROR"},
                         {"violations", none},
                         {"source_violations", none},
                         {"parameter_violations", none},
                         {"executed_violations", none}};
  result["weight_transfer"] = {{"status", "ERROR"},
                               {"mapped_count", 0},
                               {"unmapped_original", none},
                               {"unmapped_refactored", none},
                               {"weight_map", ordered_json::object()}};
  result["numerical_comparison"] = {
      {"status", "ERROR"},     {"rtol", nullptr}, {"atol", nullptr},
      {"input_dtype", "none"}, {"num_trials", 0}, {"max_diff_across_trials", nullptr},
      {"bit_exact", false},    {"trials", none},  {"drawn_trials", none}};
  result["environment"] = EnvironmentJson(context);
  return result;
}

// One claim on its way to a judgement.
class Judging {
 public:
  Judging(const Context& context, const Claim& claim, const TempDir& scratch)
      : context_(context), claim_(claim), scratch_(scratch) {
    judgement_.result = Skeleton(context, claim);
    judgement_.failure.status = host::RunStatus::kOk;
  }

  absl::StatusOr<Judgement> Run() {
    STRATA_RETURN_IF_ERROR(Priced(rules::kSource, &Judging::ScanTexts));
    STRATA_RETURN_IF_ERROR(Priced(rules::kRuns, &Judging::RunBoth));
    if (ran_both_) {
      STRATA_RETURN_IF_ERROR(Priced(rules::kPlumbing, &Judging::CheckRecordings));
      STRATA_RETURN_IF_ERROR(Priced(rules::kReplay, &Judging::CheckReplay));
      STRATA_RETURN_IF_ERROR(Priced(rules::kOperators, &Judging::CheckOperators));
      STRATA_RETURN_IF_ERROR(Priced(rules::kNumbers, &Judging::CheckNumbers));
    }
    Conclude();
    return std::move(judgement_);
  }

 private:
  // A limit that the judge's own work meets leaves what was found, and no acceptance.
  absl::Status Priced(const char* rule, absl::Status (Judging::*stage)()) {
    const Prices::Scope price(context_.prices, rule);
    const absl::Status status = (this->*stage)();
    if (!absl::IsDeadlineExceeded(status) && !absl::IsResourceExhausted(status)) return status;
    Stop({.status =
              absl::IsDeadlineExceeded(status) ? host::RunStatus::kWallLimit : host::RunStatus::kMemoryLimit,
          .stage = "judge",
          .message = absl::StrCat("rule ", rule, ": ", status.message())},
         claim_.refactored_name);
    return absl::OkStatus();
  }

  // ---- what the texts say

  absl::Status ScanTexts() {
    keeps_ = IsWrapper();  // any of the submission's files may
    if (IsWrapper()) return absl::OkStatus();
    const bool step = claim_.purpose == Purpose::kStep;
    const std::string name = BaseName(claim_.refactored_name);
    // Refactored, original, children; a composition's kernels were scanned with the steps that have them.
    std::vector<SourceText> texts(2);
    texts[0] = {"", claim_.refactored_class, step ? TextRole::kParent : TextRole::kScript, claim_.imports};
    texts[1].class_name = "Model";
    STRATA_ASSIGN_OR_RETURN(texts[0].text, ReadFile(claim_.refactored_file));
    STRATA_ASSIGN_OR_RETURN(texts[1].text, ReadFile(claim_.original_file));
    std::vector<std::string> children;
    for (const std::string& file : step ? ChildFiles(claim_.children_dir) : std::vector<std::string>{}) {
      children.push_back(file);
      texts.push_back({.text = "", .class_name = "Model", .role = TextRole::kChild, .imports = {}});
      STRATA_ASSIGN_OR_RETURN(texts.back().text, ReadFile(JoinPath(claim_.children_dir, file)));
    }
    STRATA_ASSIGN_OR_RETURN(const std::vector<SourceScan> scans,
                            ScanSources(context_.zygote, context_.limits, texts));
    const SourceScan& scan = scans[0];
    if (!step && !scan.has_class && scan.syntax_error.empty()) {
      Add({{rules::kComposition, claim_.refactored_name, 0,
            absl::StrCat("defines no ", claim_.refactored_class),
            "compose the model from the kernels' classes there, and compare it with the original"}});
      return absl::OkStatus();
    }
    keeps_ = !scans[1].keeps.empty();
    Add(SourceViolations(scan, name, scans[1]));
    for (const auto& [stem, line] : scan.children.items()) {
      if (!step || FileExists(absl::StrCat(claim_.children_dir, "/", stem, ".py"))) continue;
      Add({{rules::kLayout, name, line.get<int>(),
            absl::StrCat("imports children/", stem, ".py, which is not there"), "add the file"}});
    }
    for (size_t i = 0; i < children.size(); ++i) {
      Add(SourceViolations(scans[i + 2], "children/" + children[i], scans[1]));
      if (scans[i + 2].has_class) with_model_.insert(Stem(children[i]));
    }
    return absl::OkStatus();
  }

  // ---- both sides run

  absl::Status RunBoth() {
    STRATA_ASSIGN_OR_RETURN(
        OriginalRuns original,
        RunOriginal(context_, claim_.original_file, claim_.workloads, keeps_, scratch_, claim_.source_dir));
    if (original.outcome.status != host::RunStatus::kOk) {
      Stop(std::move(original.outcome), claim_.original_name);
      return absl::OkStatus();
    }
    if (const std::string opaque = program::FirstOpaque(original.programs[0].invocations[0].output);
        !opaque.empty()) {
      Stop({.status = host::RunStatus::kRaised,
            .stage = "output",
            .message =
                absl::StrCat("it returns an object of class ", opaque,
                             ", which cannot be compared: return tensors, numbers, text, tuples, lists, "
                             "dicts or dataclasses")},
           claim_.original_name);
      return absl::OkStatus();
    }
    ran_.trials = std::move(original.trials);
    ran_.original = std::move(original.programs);
    draws_ = std::move(original.draws);
    ran_.threads = context_.numeric.threads;
    judgement_.notes = std::move(original.notes);
    STRATA_RETURN_IF_ERROR(PlaceRefactored());
    ran_.hidden = OriginalsFiles();
    if (absl::Status map = MakeWeightMap(); absl::IsInvalidArgument(map)) {
      Add({{rules::kWeights, "weight_map.json", 0, std::string(map.message()),
            "write {original key: refactored key}"}});
      return absl::OkStatus();
    } else if (!map.ok()) {
      return map;
    }
    if (judgement_.failure.status != host::RunStatus::kOk) return absl::OkStatus();
    return RunRefactored();
  }

  // The refactored files where nothing of the original lies beside them. A composition imports the model and
  // the kernels from the bundle that it stands in.
  absl::Status PlaceRefactored() {
    refactored_file_ = claim_.refactored_file;
    ran_.children_dir = claim_.children_dir;
    if (claim_.purpose == Purpose::kStep) {
      const std::string folder = Subfolder(scratch_, "step");
      std::error_code error;
      fs::create_directories(folder + "/children", error);
      fs::copy(claim_.refactored_file, folder + "/refactored.py", error);
      for (const std::string& file : ChildFiles(claim_.children_dir))
        fs::copy(JoinPath(claim_.children_dir, file), folder + "/children/" + file, error);
      if (error)
        return absl::InternalError(absl::StrCat("copying ", claim_.refactored_file, ": ", error.message()));
      refactored_file_ = folder + "/refactored.py";
      ran_.children_dir = folder + "/children";
    }
    judgement_.children_dir = ran_.children_dir;
    return absl::OkStatus();
  }

  absl::Status MakeWeightMap() {
    map_path_ = scratch_.path() + "/weight_map.json";
    if (!claim_.weight_map_path.empty()) {
      STRATA_ASSIGN_OR_RETURN(map_, ReadWeightMap(claim_.weight_map_path));
      STRATA_ASSIGN_OR_RETURN(const auto keys, ReadWeights(ran_.trials[0].weights_path));
      if (claim_.purpose == Purpose::kStep) Add(UnknownKeys(keys, ran_.original[0], map_));
    }
    if (claim_.weight_map_path.empty() || IsWrapper()) {
      host::RunRequest request =
          MakeRequest(context_, refactored_file_, claim_.refactored_class, Subfolder(scratch_, "keys"));
      request.save_weights = true;
      request.hidden = ran_.hidden;
      const host::RunOutcome outcome = context_.zygote.Run(request, context_.limits);
      if (outcome.status != host::RunStatus::kOk) {
        RefactoredFailed(outcome);
        return absl::OkStatus();
      }
      STRATA_ASSIGN_OR_RETURN(const auto theirs, ReadWeights(request.out_dir + "/weights.bin"));
      if (IsWrapper()) ran_.built_path = request.out_dir + "/weights.bin";
      STRATA_ASSIGN_OR_RETURN(const auto ours, ReadWeights(ran_.trials[0].weights_path));
      map_ = IsWrapper() ? MapWrapper(ours, theirs, std::move(map_)) : GuessWeightMap(ours, theirs);
    }
    return WriteFile(map_path_, ToText(map_));
  }

  absl::Status RunRefactored() {
    ran_.refactored_dir = Subfolder(scratch_, "refactored");
    host::RunRequest request =
        MakeRequest(context_, refactored_file_, claim_.refactored_class, ran_.refactored_dir);
    request.record = request.save_outputs = true;
    request.hidden = ran_.hidden;
    request.children_dir = ran_.children_dir;
    request.weight_map_path = map_path_;
    request.allow_unmapped = IsWrapper();
    request.afresh = keeps_;
    if (claim_.purpose != Purpose::kComposition) request.draws = claim_.workloads;
    for (const TrialRun& trial : ran_.trials) {
      request.trials.push_back({.seed = trial.seed,
                                .workload = trial.workload,
                                .inputs_path = trial.inputs_path,
                                .weights_path = trial.weights_path,
                                .again = trial.again});
    }
    const host::RunOutcome outcome = context_.zygote.Run(request, context_.limits);
    if (outcome.status != host::RunStatus::kOk) {
      RefactoredFailed(outcome);
      return absl::OkStatus();
    }
    for (const TrialRun& trial : ran_.trials) {
      STRATA_ASSIGN_OR_RETURN(Program program, ReadProgram(ran_.refactored_dir, trial.seed, trial.workload));
      ran_.refactored.push_back(std::move(program));
    }
    ran_.weight_sources = WeightSources(ran_.original[0], ran_.refactored[0], map_);
    judgement_.original = ran_.original[0];
    judgement_.refactored = judgement_.facts.refactored = ran_.refactored[0];
    judgement_.facts.children_dir = ran_.children_dir;
    judgement_.facts.weight_map = map_;
    ran_both_ = true;
    return absl::OkStatus();
  }

  // What the refactored model must not see: the original, here and wherever else the bundle has it, and what
  // it returned. A composition imports the model by its contract, so only the results are hidden.
  std::vector<std::string> OriginalsFiles() const {
    std::set<std::string> hidden;
    if (IsWrapper()) hidden.insert(claim_.source_dir);
    for (const TrialRun& trial : ran_.trials) {
      for (const char* prefix : {"outputs", "after", "program"}) {
        hidden.insert(TrialFile(trial.original_dir, prefix, trial.seed, trial.workload));
      }
    }
    if (claim_.purpose == Purpose::kStep) {
      const fs::path step = fs::path(claim_.original_file).parent_path();
      const bool in_bundle = step.parent_path().filename() == "steps";
      std::error_code error;
      for (const auto& entry :
           fs::directory_iterator(in_bundle ? step.parent_path().parent_path() : step, error)) {
        // The scratch folder may lie beside them.
        if (!absl::StartsWith(scratch_.path() + "/", entry.path().string() + "/"))
          hidden.insert(entry.path().string());
      }
    }
    return {hidden.begin(), hidden.end()};
  }

  // A refactored model that does what the original does not is wrong; one that cannot be loaded, or that
  // breaks a limit, cannot be judged.
  void RefactoredFailed(const host::RunOutcome& outcome) {
    const bool loads = outcome.stage != "start" && outcome.stage != "load" && outcome.stage != "init";
    const std::string what = absl::StrCat(claim_.refactored_name, ": ", Describe(outcome));
    if (outcome.status == host::RunStatus::kExited && outcome.signal == 0) {
      Add({{rules::kProcess, FileName(outcome), outcome.line, what, "a model computes and returns"}});
    } else if (outcome.status == host::RunStatus::kRaised && loads) {
      Add({{outcome.stage == "weights" ? rules::kWeights : rules::kRuns, FileName(outcome), outcome.line,
            what, "make it run on the original's inputs and weights"}});
    }
    Stop(outcome, claim_.refactored_name);
  }

  std::string FileName(const host::RunOutcome& outcome) const {
    if (outcome.file.empty()) return BaseName(claim_.refactored_name);
    return FileExists(JoinPath(claim_.children_dir, outcome.file)) ? "children/" + outcome.file
                                                                   : outcome.file;
  }

  void Stop(host::RunOutcome outcome, const std::string& name) {
    judgement_.reason = absl::StrCat(name, ": ", Describe(outcome));
    judgement_.result["error"] = {{"file", name}, {"stage", outcome.stage}, {"message", outcome.message}};
    judgement_.failure = std::move(outcome);
  }

  // ---- what was recorded

  absl::Status CheckRecordings() {
    const std::string own_file = claim_.nested_parents ? refactored_file_ : "";
    for (size_t i = 0; i < ran_.trials.size(); ++i) {
      const Program& program = ran_.refactored[i];
      const ChildScopes scopes(program, ran_.children_dir);
      if (!IsWrapper()) Add(ExecutedViolations(program, scopes));
      Add(HiddenChanges(program, ran_.original[i], scopes));
      Add(IgnoredInputs(ran_.original[i], program));
      for (const ChildScopes::ChildRun& run : scopes.runs()) {
        judgement_.child_shapes[run.stem].insert(
            ArgumentShapes(program, program.invocations[static_cast<size_t>(run.invocation)]));
      }
      if (ran_.trials[i].seed == kSeeds[0]) NoteCalls(program, scopes);
      if (i == 0) continue;
      // Numbers among the inputs are others there.
      if (!IsWrapper() && !ran_.trials[i].other_numbers)
        Add(NumberViolations(ran_.refactored[0], program, scopes));
      Add(ConstantViolations(ran_.refactored[0], program, ran_.original[i]));
    }
    const ChildScopes scopes(ran_.refactored[0], ran_.children_dir);
    if (IsWrapper()) {
      Add(FewMapped(ran_.refactored[0], ran_.weight_sources));
    } else {
      Add(FormulaViolations(ran_.original[0], ran_.refactored[0], scopes));
      Add(ChildClassViolations(ran_.refactored[0], scopes, with_model_));
      Add(ParameterViolations(ran_.refactored[0], ran_.original[0], scopes, own_file));
      Add(WeightViolations(ran_.original[0], ran_.refactored[0], map_));
    }
    Add(TieViolations(ran_.original[0], ran_.refactored[0], map_));
    Add(LostWeights(ran_.original[0], ran_.refactored[0], map_));
    Add(WrittenState(ran_.original[0], ran_.refactored[0], ran_.weight_sources));
    if (!keeps_) Add(KeptViolations(ran_));
    judgement_.result["weight_transfer"] = WeightTransferJson(ran_.original[0], ran_.refactored[0], map_);
    if (IsWrapper())
      judgement_.result["weight_transfer"]["status"] = HasRule(rules::kWeights) ? "FAIL" : "OK";
    if (claim_.purpose != Purpose::kComposition) CheckDraws();
    return absl::OkStatus();
  }

  void CheckDraws() {
    std::vector<const Program*> recorded;
    for (size_t i = 0; i < ran_.trials.size(); ++i) {
      if (ran_.trials[i].seed == kSeeds[0]) recorded.push_back(&ran_.original[i]);
    }
    Add(DrawViolations(draws_, ReadDraws(ran_.refactored_dir), recorded));
  }

  // Of the first seed at one workload.
  void NoteCalls(const Program& program, const ChildScopes& scopes) {
    std::vector<ChildCall> calls;
    for (const ChildScopes::ChildRun& run : scopes.runs()) {
      const program::Invocation& invocation = program.invocations[static_cast<size_t>(run.invocation)];
      const std::vector<std::string>& paths = program.modules[static_cast<size_t>(invocation.module)].paths;
      calls.push_back({run.stem, paths.empty() ? "" : paths[0], ArgumentShapes(program, invocation)});
    }
    judgement_.facts.calls.push_back(std::move(calls));
  }

  absl::Status CheckReplay() {
    STRATA_ASSIGN_OR_RETURN(AloneResult alone, ReplayClaim(context_, ran_, scratch_));
    Add(std::move(alone.violations));
    if (alone.failure.status != host::RunStatus::kOk) {
      Stop(std::move(alone.failure), alone.failed_file);
      return absl::OkStatus();
    }
    // A composition's kernels matter where the steps that lead to them do.
    if (claim_.purpose != Purpose::kStep || HasRule(rules::kReplay)) return absl::OkStatus();
    return Priced(rules::kMatters, &Judging::CheckThatChildrenMatter);
  }

  absl::Status CheckThatChildrenMatter() {
    STRATA_ASSIGN_OR_RETURN(IdleFindings found, CheckChildrenMatter(context_, ran_));
    Add(std::move(found.violations));
    judgement_.notes.insert(judgement_.notes.end(), found.notes.begin(), found.notes.end());
    return absl::OkStatus();
  }

  // ---- operators

  absl::Status CheckOperators() {
    OperatorFindings found;
    const absl::Status status = verify::CheckOperators(context_, ran_, BaseName(claim_.refactored_name),
                                                       !HasRule(rules::kReplay), found);
    Add(std::move(found.violations));
    judgement_.notes.insert(judgement_.notes.end(), found.notes.begin(), found.notes.end());
    return status;
  }

  // ---- numbers

  CompareRequest Comparison() const {
    CompareRequest request{.trials = {},
                           .tolerances = OutputTolerances(ran_.original[0], claim_.purpose),
                           .allow_inf = claim_.allow_inf,
                           .weight_sources = ran_.weight_sources};
    for (const TrialRun& run : ran_.trials) {
      const auto original = [&](const char* prefix) {
        return TrialFile(run.original_dir, prefix, run.seed, run.workload);
      };
      const auto refactored = [&](const char* prefix) {
        return TrialFile(ran_.refactored_dir, prefix, run.seed, run.workload);
      };
      request.trials.push_back(
          {.trial = static_cast<int>(request.trials.size()),
           .seed = run.seed,
           .workload = run.workload,
           .original_outputs = original("outputs"),
           .refactored_outputs = refactored("outputs"),
           .original_after = original("after"),
           .refactored_after = refactored("after"),
           .original_again = run.again ? original("again") : "",
           .refactored_again = run.again ? refactored("again") : "",
           .original_state = original("state"),
           .refactored_state = refactored("state"),
           .inputs = run.inputs_path,
           .scaled_atol = run.weights != Reach::kAsBuilt || run.inputs != Reach::kAsBuilt || run.other_inputs,
           .by_judge = run.by_judge});
    }
    return request;
  }

  absl::Status CheckNumbers() {
    const CompareRequest request = Comparison();
    STRATA_ASSIGN_OR_RETURN(const std::string text, context_.zygote.RunTrusted(
                                                        [&]() -> absl::StatusOr<std::string> {
                                                          STRATA_ASSIGN_OR_RETURN(const ordered_json compared,
                                                                                  CompareTrials(request));
                                                          return compared.dump();
                                                        },
                                                        JudgingLimits(context_)));
    ordered_json compared = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!compared.is_object()) return absl::InternalError("the comparison returned no JSON");
    for (const char* list : {"trials", "drawn_trials"}) {
      for (ordered_json& trial : compared[list]) {
        const TrialRun& run = ran_.trials[trial["trial"].get<size_t>()];
        trial["weights"] = ReachName(run.weights);
        trial["inputs"] = ReachName(run.other_inputs ? run.inputs : Reach::kAsBuilt);
        AddDifferences(trial);
        AddStateDifferences(trial);
      }
    }
    Add(OutputAliases(ran_.original[0], ran_.refactored[0]));
    Tolerance loosest = request.tolerances.empty() ? Tolerance{1e-5, 1e-6} : request.tolerances[0];
    for (const Tolerance& t : request.tolerances) loosest = t.rtol > loosest.rtol ? t : loosest;
    ordered_json numbers = {{"status", compared["status"]},
                            {"rtol", loosest.rtol},
                            {"atol", loosest.atol},
                            {"input_dtype", InputDType(ran_.original[0])}};
    numbers.update(compared);
    judgement_.result["numerical_comparison"] = std::move(numbers);
    return IsWrapper() || !judgement_.violations.empty() ? absl::OkStatus() : CheckOtherWeights(request);
  }

  absl::Status CheckOtherWeights(const CompareRequest& request) {
    STRATA_ASSIGN_OR_RETURN(OtherWeights other, CompareOnOtherWeights(context_, ran_, request, scratch_));
    if (!other.note.empty()) judgement_.notes.push_back(std::move(other.note));
    for (const std::string& what : other.differences)
      Add({{rules::kNumbers, BaseName(claim_.refactored_name), 0, what,
            "compute what the original computes"}});
    return absl::OkStatus();
  }

  void AddDifferences(const ordered_json& trial) {
    for (const char* list : {"output_details", "inputs_after", "second_call"}) {
      for (const ordered_json& detail : trial.value(list, ordered_json::array())) {
        if (detail.value("matches", true)) continue;
        if (detail.value("unjudged", false)) {
          Stop({.status = host::RunStatus::kRaised, .stage = "output", .message = detail["reason"]},
               claim_.original_name);
          continue;
        }
        const bool output = list[0] != 'i';
        const char* rule = !output                    ? rules::kInputs
                           : detail.contains("shape") ? rules::kNumbers
                                                      : rules::kOutputs;
        Add({{rule, BaseName(claim_.refactored_name), 0,
              absl::StrCat("seed ", trial["seed"].get<int64_t>(), list[0] == 's' ? ", second call" : "", ", ",
                           output ? "output " : "input ", detail["output_idx"].get<int>(), ": ",
                           detail.value("reason", "the numbers differ"), MaxDiff(detail)),
              output ? "compute what the original computes"
                     : "change inputs exactly as the original changes them"}});
      }
    }
  }

  void AddStateDifferences(const ordered_json& trial) {
    for (const ordered_json& detail : trial.value("state_after", ordered_json::array())) {
      Add({{rules::kBuffers, BaseName(claim_.refactored_name), 0,
            absl::StrCat("seed ", trial["seed"].get<int64_t>(), ", '", detail["key"].get<std::string>(),
                         "' after the call: ", detail["reason"].get<std::string>()),
            "leave behind what the original leaves behind"}});
    }
  }

  static std::string MaxDiff(const ordered_json& detail) {
    if (!detail.contains("max_diff") || !detail["max_diff"].is_number()) return "";
    return absl::StrCat(" (max_diff ", detail["max_diff"].get<double>(), ")");
  }

  // ---- the verdict

  void Add(std::vector<Violation> violations) {
    for (Violation& violation : violations) {
      const std::string key = absl::StrCat(violation.rule, "\n", violation.file, "\n", violation.line, "\n",
                                           violation.what.substr(0, violation.what.rfind(", output ")));
      if (told_.insert(key).second) judgement_.violations.push_back(std::move(violation));
    }
  }

  bool IsWrapper() const { return claim_.purpose == Purpose::kWrapper; }

  bool HasRule(const char* rule) const {
    return std::any_of(judgement_.violations.begin(), judgement_.violations.end(),
                       [&](const Violation& v) { return v.rule == rule; });
  }

  void FillAnticheat(ordered_json& anticheat) const {
    static const std::map<std::string, const char*> kLists = {
        {rules::kSource, "source_violations"},        {rules::kModules, "parameter_violations"},
        {rules::kParameters, "parameter_violations"}, {rules::kBuffers, "parameter_violations"},
        {rules::kPlumbing, "executed_violations"},    {rules::kOperators, "executed_violations"},
        {rules::kReplay, "executed_violations"},      {rules::kMatters, "executed_violations"},
        {rules::kProcess, "executed_violations"}};
    for (const Violation& violation : judgement_.violations) {
      const auto list = kLists.find(violation.rule);
      if (list == kLists.end()) continue;
      anticheat[list->second].push_back(ToJson(violation));
      anticheat["violations"].push_back(ToJson(violation));
    }
    if (ran_both_) anticheat["status"] = "PASS";
    if (!anticheat["violations"].empty()) anticheat["status"] = "FAIL";
  }

  void Conclude() {
    Judgement& j = judgement_;
    FillAnticheat(j.result["anticheat"]);
    j.result["violations"] = ToJson(j.violations);
    j.result["notes"] = j.notes;
    const bool failed = j.failure.status != host::RunStatus::kOk;
    j.decision = !j.violations.empty()  ? Decision::kRejected
                 : failed || !ran_both_ ? Decision::kCannotJudge
                                        : Decision::kAccepted;
    j.pass = j.decision == Decision::kAccepted;
    j.result["status"] = j.pass ? "PASS" : failed || !ran_both_ ? "ERROR" : "FAIL";
    j.facts.judged = j.decision != Decision::kCannotJudge;
    j.facts.pass = j.pass;
    j.facts.violations = j.violations;
    j.facts.verification_result = j.result;
    const ordered_json& numbers = j.result["numerical_comparison"];
    j.facts.bit_exact = numbers["bit_exact"].get<bool>();
    if (numbers["max_diff_across_trials"].is_number()) j.facts.max_diff = numbers["max_diff_across_trials"];
    if (j.reason.empty() && !j.violations.empty()) {
      const Violation& first = j.violations[0];
      j.reason =
          absl::StrCat(first.rule, ": ", first.file, first.line > 0 ? absl::StrCat(":", first.line) : "",
                       first.file.empty() ? "" : ": ", first.what);
    }
  }

  const Context& context_;
  const Claim& claim_;
  const TempDir& scratch_;
  std::string refactored_file_, map_path_;
  WeightMap map_;
  json draws_;  // of original.py
  RanClaim ran_;
  bool keeps_ = false;  // the original sets attributes in its forward
  bool ran_both_ = false;
  std::set<std::string> with_model_;  // stems of children that define a Model
  std::set<std::string> told_;
  Judgement judgement_;
};

}  // namespace

absl::StatusOr<Judgement> Judge(const Context& context, const Claim& claim) {
  STRATA_ASSIGN_OR_RETURN(const TempDir scratch, MakeScratch(context));
  return Judging(context, claim, scratch).Run();
}

}  // namespace strata::verify
