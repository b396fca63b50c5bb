#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/judge.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::vector<std::string> ChildStems(const std::string& children_dir) {
  std::vector<std::string> stems;
  for (const std::string& file : ChildFiles(children_dir)) {
    if (file != "__init__.py") stems.push_back(Stem(file));
  }
  return stems;
}

// What a child's own get_inputs() draws, as ArgumentShapes says it, one for each workload.
struct Drawn {
  std::vector<std::string> shapes;
  host::RunOutcome failure{.status = host::RunStatus::kOk};
};

absl::StatusOr<Drawn> RunAlone(const Context& context, const std::string& file, int workloads) {
  Drawn drawn;
  for (int workload = 0; workload < workloads; ++workload) {
    absl::StatusOr<Counted> run = CountAlone(context, file, workload);
    if (!run.ok()) return run.status();
    if (run->outcome.status != host::RunStatus::kOk) {
      drawn.failure = run->outcome;
      return drawn;
    }
    drawn.shapes.push_back(run->executed.shapes);
  }
  return drawn;
}

struct StepCoverage {
  ordered_json report;
  host::RunOutcome failure{.status = host::RunStatus::kOk};
  std::string failed_file;
  std::vector<Violation> violations;  // rules `dimensions`, `alone` and `matters`
  std::vector<std::string> notes;
};

// Shapes that Python works out from the data differ from call to call: get_inputs() then draws no less.
bool CoversAll(const std::string& drawn, const std::set<std::string>& ran) {
  const auto numbers = [](const std::string& text) {
    std::vector<int64_t> found;
    int64_t number = 0;
    for (const absl::string_view part : absl::StrSplit(text, absl::ByAnyChar("[], "))) {
      if (absl::SimpleAtoi(part, &number)) found.push_back(number);
    }
    return found;
  };
  // Number, ranks and dtypes of the tensors.
  const auto kinds = [](std::string text) {
    bool inside = false;
    std::erase_if(text, [&inside](char c) {
      if (c == '[' || c == ']') inside = c == '[';
      return inside && c >= '0' && c <= '9';
    });
    return text;
  };
  const std::vector<int64_t> mine = numbers(drawn);
  std::vector<int64_t> low = numbers(*ran.begin()), high = low;
  for (const std::string& text : ran) {
    const std::vector<int64_t> theirs = numbers(text);
    if (theirs.size() != mine.size() || kinds(text) != kinds(drawn)) return false;
    for (size_t i = 0; i < mine.size(); ++i) {
      low[i] = std::min(low[i], theirs[i]);
      high[i] = std::max(high[i], theirs[i]);
    }
  }
  for (size_t i = 0; i < mine.size(); ++i) {
    if (mine[i] < high[i] || (low[i] == high[i] && mine[i] != high[i])) return false;
  }
  return true;
}

// A file that lists workloads lists all at which it runs on the parent's own inputs; else one of the shapes
// is enough, or no less than any.
void CheckDimensions(const std::string& stem, const std::vector<std::string>& drawn,
                     const std::set<std::string>& ran, const std::set<std::string>& ran_on_own_inputs,
                     std::vector<Violation>& violations) {
  const std::set<std::string> all(drawn.begin(), drawn.end());
  const bool fits = std::any_of(drawn.begin(), drawn.end(), [&](const std::string& shapes) {
    return ran.contains(shapes) || CoversAll(shapes, ran);
  });
  const auto left_out =
      std::find_if(ran_on_own_inputs.begin(), ran_on_own_inputs.end(),
                   [&](const std::string& shapes) { return drawn.size() > 1 && !all.contains(shapes); });
  if (fits && left_out == ran_on_own_inputs.end()) return;
  violations.push_back({rules::kDimensions, absl::StrCat("children/", stem, ".py"), 0,
                        absl::StrCat("in the parent it runs at ", fits ? *left_out : *ran.begin(),
                                     "; its get_inputs() draws ", absl::StrJoin(drawn, ", or ")),
                        "draw the exact dimensions in get_inputs()"});
}

std::set<std::string> ShapesOnOwnInputs(const ClaimFacts& facts, const std::string& stem) {
  std::set<std::string> shapes;
  for (const std::vector<ChildCall>& calls : facts.calls) {
    for (const ChildCall& call : calls) {
      if (call.stem == stem) shapes.insert(call.shapes);
    }
  }
  return shapes;
}

bool HasModuleFrom(const program::Program& program, const std::string& file) {
  return std::any_of(program.modules.begin(), program.modules.end(),
                     [&](const program::Module& module) { return module.file == file; });
}

// Python reads a tensor: other inputs may lead elsewhere.
bool BranchesOnData(const program::Program& program) {
  return std::any_of(program.calls.begin(), program.calls.end(),
                     [&](const program::Call& call) { return IsReadByPython(program, call); });
}

// What each child file executed inside the refactored model.
std::map<std::string, std::map<std::string, int64_t>> CountByChild(const program::Program& refactored,
                                                                   const ChildScopes& scopes) {
  std::map<program::InvocationId, std::string> stems;
  for (const ChildScopes::ChildRun& run : scopes.runs()) stems[run.invocation] = run.stem;
  std::map<std::string, std::map<std::string, int64_t>> counts;
  const std::vector<bool> live = LiveCalls(refactored);
  for (const program::Call& call : refactored.calls) {
    if (!live[static_cast<size_t>(call.id)] || !scopes.Inside(call.scope)) continue;
    if (program::Classify(refactored, call) == program::OpClass::kPlumbing) continue;
    counts[stems.at(scopes.ChildOf(call.scope))][program::OperatorName(call.op)]++;
  }
  return counts;
}

// original.py stands for the model, refactored.py for the composition, the children (× calls) for kernels.
absl::StatusOr<StepCoverage> Cover(const Context& context, const Judgement& judgement,
                                   const ClaimFacts& facts, const std::string& step_dir,
                                   const std::string& prefix, const StepOptions& options) {
  const std::string children_dir = step_dir + "/children";
  const program::Program& refactored = judgement.refactored;
  const ChildScopes scopes(refactored, judgement.children_dir);
  StepCoverage coverage;
  CoverageInput input{.timestamp = Timestamp(),
                      .model_file = prefix + "original.py",
                      .original = CountOperators(judgement.original),
                      .parent_arithmetic = ArithmeticOutside(
                          refactored, [&](program::InvocationId id) { return scopes.Inside(id); }),
                      .files = {}};
  const auto executed = CountByChild(refactored, scopes);
  for (const std::string& stem : ChildStems(children_dir)) {
    CoveringFile file{.path = absl::StrCat(prefix, "children/", stem, ".py"), .executed = {}};
    if (const auto found = executed.find(stem); found != executed.end()) file.executed = found->second;
    file.runs = std::count_if(scopes.runs().begin(), scopes.runs().end(),
                              [&](const ChildScopes::ChildRun& run) { return run.stem == stem; });
    input.files.push_back(file);
    const auto known = options.child_workloads.find(stem);
    STRATA_ASSIGN_OR_RETURN(const Drawn drawn,
                            RunAlone(context, absl::StrCat(children_dir, "/", stem, ".py"),
                                     known == options.child_workloads.end() ? 1 : known->second));
    const host::RunStatus status = drawn.failure.status;
    if (status == host::RunStatus::kRaised ||
        (status == host::RunStatus::kExited && drawn.failure.signal == 0)) {
      coverage.violations.push_back({rules::kAlone, absl::StrCat("children/", stem, ".py"),
                                     drawn.failure.line,
                                     absl::StrCat("on its own get_inputs(): ", Describe(drawn.failure)),
                                     "let it run alone, with no other file, network or package"});
      continue;
    }
    if (status != host::RunStatus::kOk) {
      coverage.failure = drawn.failure;
      coverage.failed_file = file.path;
      return coverage;
    }
    const auto ran = judgement.child_shapes.find(stem);
    if (ran != judgement.child_shapes.end()) {
      CheckDimensions(stem, drawn.shapes, ran->second, ShapesOnOwnInputs(facts, stem), coverage.violations);
    } else if (HasModuleFrom(refactored, absl::StrCat(judgement.children_dir, "/", stem, ".py")) &&
               BranchesOnData(judgement.original)) {
      coverage.notes.push_back(absl::StrCat("no trial takes the branch that calls children/", stem, ".py"));
    } else {
      coverage.violations.push_back({rules::kMatters, absl::StrCat("children/", stem, ".py"), 0,
                                     "no trial calls it",
                                     "call it, itself and not its forward, or remove it"});
    }
  }
  coverage.report = CoverageJson(input, /*summary=*/false);
  return coverage;
}

std::string CoverageReason(const StepCoverage& coverage) {
  const ordered_json& numbers = coverage.report["coverage"];
  return absl::StrCat("coverage: missing ", numbers["missing_op_types"].dump(), ", extra ",
                      numbers["extra_op_types"].dump());
}

std::string Sentence(const Violation& violation) {
  return absl::StrCat(violation.rule, ": ", violation.file,
                      violation.line > 0 ? absl::StrCat(":", violation.line) : "", ": ", violation.what);
}

}  // namespace

absl::StatusOr<StepVerdict> VerifyStep(const Context& context, const std::string& step_dir,
                                       const StepOptions& options) {
  const fs::path folder = fs::path(step_dir).lexically_normal();
  const bool in_bundle = folder.parent_path().filename() == "steps";
  const std::string prefix = in_bundle ? absl::StrCat("steps/", folder.filename().string(), "/") : "";
  const std::string map = step_dir + "/weight_map.json";
  absl::StatusOr<Judgement> judgement = Judge(context, {.original_file = step_dir + "/original.py",
                                                        .refactored_file = step_dir + "/refactored.py",
                                                        .original_name = prefix + "original.py",
                                                        .refactored_name = prefix + "refactored.py",
                                                        .children_dir = step_dir + "/children",
                                                        .imports = ChildStems(step_dir + "/children"),
                                                        .weight_map_path = fs::exists(map) ? map : "",
                                                        .workloads = std::max(1, options.workloads),
                                                        .purpose = Purpose::kStep,
                                                        .allow_inf = !options.is_submission});
  if (!judgement.ok()) return judgement.status();

  StepVerdict verdict;
  verdict.decision = judgement->decision;
  verdict.violations = std::move(judgement->violations);
  verdict.notes = std::move(judgement->notes);
  verdict.verification_result = std::move(judgement->result);
  verdict.failure = judgement->failure;
  verdict.reason = judgement->reason;
  verdict.facts = std::move(judgement->facts);
  if (judgement->failure.status != host::RunStatus::kOk || judgement->refactored.invocations.empty())
    return verdict;

  const Prices::Scope price(context.prices, rules::kDimensions);  // the children on their own inputs
  absl::StatusOr<StepCoverage> coverage =
      Cover(context, *judgement, verdict.facts, step_dir, prefix, options);
  if (!coverage.ok()) return coverage.status();
  verdict.coverage_report = verdict.facts.coverage_report = coverage->report;
  verdict.failure = coverage->failure;
  verdict.notes.insert(verdict.notes.end(), coverage->notes.begin(), coverage->notes.end());
  if (coverage->failure.status != host::RunStatus::kOk) {
    verdict.reason = absl::StrCat(coverage->failed_file, ": ", Describe(coverage->failure));
    if (verdict.decision == Decision::kAccepted) verdict.decision = Decision::kCannotJudge;
    return verdict;
  }
  for (Violation& violation : coverage->violations) {
    verdict.decision = Decision::kRejected;
    if (verdict.reason.empty()) verdict.reason = Sentence(violation);
    verdict.violations.push_back(std::move(violation));
  }
  const bool covered = IsFullCoverage(coverage->report);
  verdict.pass = verdict.decision == Decision::kAccepted && covered;
  if (verdict.reason.empty() && !covered) verdict.reason = CoverageReason(*coverage);
  return verdict;
}

}  // namespace strata::verify
