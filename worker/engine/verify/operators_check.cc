#include "worker/engine/verify/operators_check.h"

#include <algorithm>
#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/constants_check.h"
#include "worker/engine/verify/dataflow_check.h"
#include "worker/engine/verify/idle.h"
#include "worker/engine/verify/places.h"
#include "worker/engine/verify/plumbing_check.h"
#include "worker/engine/verify/reconcile.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/side_by_side.h"

namespace strata::verify {
namespace {

using nlohmann::json;
using program::CallId;
using program::Program;

class Operators {
 public:
  Operators(const Context& context, const RanClaim& claim, const std::string& refactored_name, bool replays,
            OperatorFindings& found)
      : context_(context),
        claim_(claim),
        refactored_name_(refactored_name),
        replays_(replays),
        scopes_(claim.refactored[0], claim.children_dir),
        found_(found) {}

  absl::Status Run() {
    if (replays_) STRATA_RETURN_IF_ERROR(CheckConstants());
    std::set<std::string> spelled;  // operators that the first trial has another spelling by
    for (size_t i = 0; i < claim_.trials.size(); ++i) {
      const Surplus surplus = Reconcile(claim_.original[i], claim_.refactored[i]);
      Add(SurplusViolations(claim_.original[i], claim_.refactored[i], surplus));
      Add(ReadViolations(claim_.original[i], claim_.refactored[i]));
      Add(UnusedViolations(claim_.original[i], claim_.refactored[i]));
      Add(NarrowingCasts(claim_.original[i], claim_.refactored[i]));
      if (surplus.empty()) Add(PlaceViolations(claim_.original[i], claim_.refactored[i]));
      if (surplus.original.empty() || surplus.refactored.empty()) continue;
      if (i == 0) {
        for (const OperatorUse& use : surplus.refactored) spelled.insert(use.name);
        if (replays_ && found_.violations.empty()) STRATA_RETURN_IF_ERROR(CheckSpelling(surplus));
        continue;
      }
      // One spelling for all inputs: what only other inputs lead to was not looked at.
      for (const OperatorUse& use : surplus.refactored) {
        if (!spelled.contains(use.name)) Add({Invented(claim_.refactored[i], use)});
      }
    }
    return absl::OkStatus();
  }

 private:
  void Add(std::vector<Violation> violations) {
    found_.violations.insert(found_.violations.end(), std::make_move_iterator(violations.begin()),
                             std::make_move_iterator(violations.end()));
  }

  void AddAt(const Program& program, CallId id, const std::string& what, const std::string& advice) {
    const program::Call& call = program.call(id);
    Add({{rules::kOperators, FileOf(program, call), LineOf(program, call), what, advice}});
  }

  // What tensor work in a fork found.
  absl::StatusOr<json> InFork(const std::function<absl::StatusOr<json>()>& work) const {
    STRATA_ASSIGN_OR_RETURN(const std::string text, context_.zygote.RunTrusted(
                                                        [&]() -> absl::StatusOr<std::string> {
                                                          STRATA_ASSIGN_OR_RETURN(const json rows, work());
                                                          return rows.dump();
                                                        },
                                                        JudgingLimits(context_)));
    return json::parse(text);
  }

  // What is computed from nothing is a setting too.
  absl::Status CheckConstants() {
    const Program& refactored = claim_.refactored[0];
    if (!TakesConstants(claim_.original[0]) || !TakesConstants(refactored)) return absl::OkStatus();
    STRATA_ASSIGN_OR_RETURN(const json rows, InFork([&]() -> absl::StatusOr<json> {
                              json found = json::array();
                              for (const OtherConstant& other : FindOtherConstants(claim_))
                                found.push_back({other.call, other.what});
                              return found;
                            }));
    for (const json& row : rows) {
      AddAt(refactored, row[0].get<CallId>(), row[1].get<std::string>(),
            "give it the constant of the original");
    }
    return absl::OkStatus();
  }

  bool MayCompute(const OperatorUse& use) const {
    return claim_.children_dir.empty() || scopes_.Inside(claim_.refactored[0].call(use.call).scope);
  }

  // A term or factor beside the children may belong to a spelling; more arithmetic there than operators that
  // it stands for is a sum or product written out. Empty where there is no more.
  std::vector<OperatorUse> SpelledOutside(const Surplus& surplus) const {
    std::vector<OperatorUse> outside;
    for (const OperatorUse& use : surplus.refactored) {
      if (use.arithmetic && !MayCompute(use)) outside.push_back(use);
    }
    const auto spelled = std::count_if(surplus.original.begin(), surplus.original.end(),
                                       [](const OperatorUse& use) { return !use.arithmetic; });
    if (spelled == 0 || static_cast<int64_t>(outside.size()) <= spelled) outside.clear();
    return outside;
  }

  bool HasOnlyItsOwnInputs() const {
    const bool takes_floats = std::any_of(
        claim_.original[0].values.begin(), claim_.original[0].values.end(), [](const program::Value& value) {
          return value.kind == program::ValueKind::kInput && program::IsFloating(value.type.dtype);
        });
    return takes_floats && std::none_of(claim_.trials.begin(), claim_.trials.end(),
                                        [](const TrialRun& run) { return run.by_judge && run.other_inputs; });
  }

  // Python spells `1 / x` as `x.reciprocal() * 1`.
  static bool IsOfDivision(const Program& program, CallId id) {
    if (id == 0 || program::OperatorName(program.call(id - 1).op) != "reciprocal") return false;
    return program::Classify(program, program.call(id - 1)) == program::OpClass::kArithmetic;
  }

  // Of these calls of the first trial, those whose result could as well be their operand. `settled`: parts of
  // functions that are the same by themselves, where a bound or an eps that seldom matters belongs.
  absl::Status CheckIdle(const std::vector<OperatorUse>& all, const std::set<CallId>& settled,
                         bool refactored) {
    const Program& program = refactored ? claim_.refactored[0] : claim_.original[0];
    std::vector<OperatorUse> uses;
    for (const OperatorUse& use : all) {
      if (!settled.contains(use.call) && !IsOfDivision(program, use.call)) uses.push_back(use);
    }
    if (uses.empty()) return absl::OkStatus();
    STRATA_ASSIGN_OR_RETURN(const json rows, InFork([&]() -> absl::StatusOr<json> {
                              std::vector<CallId> calls;
                              for (const OperatorUse& use : uses) calls.push_back(use.call);
                              STRATA_ASSIGN_OR_RETURN(calls, FindIdleCalls(claim_, refactored, calls));
                              return json(calls);
                            }));
    const auto idle = rows.get<std::set<CallId>>();
    for (const OperatorUse& use : uses) {
      if (!idle.contains(use.call)) continue;
      Add({refactored ? Invented(program, use) : Missing(program, use)});
    }
    return absl::OkStatus();
  }

  // Another spelling has no operator that could as well not be there, and is the same function by itself.
  absl::Status CheckSpelling(const Surplus& surplus) {
    if (HasOnlyItsOwnInputs()) {
      Add({{rules::kOperators, refactored_name_, 0,
            "operators are spelled otherwise, and the original bears no inputs but its own, which do not "
            "show "
            "that it is the same function",
            "execute the original's operators"}});
      return absl::OkStatus();
    }
    const bool in_children = std::any_of(surplus.refactored.begin(), surplus.refactored.end(),
                                         [&](const OperatorUse& use) { return MayCompute(use); });
    for (const OperatorUse& use : SpelledOutside(surplus)) Add({Invented(claim_.refactored[0], use)});
    for (const OperatorUse& use : surplus.original) {
      if (!in_children && !use.arithmetic) Add({Missing(claim_.original[0], use)});
    }
    std::set<CallId> settled, settled_here;
    STRATA_RETURN_IF_ERROR(CheckSideBySide(settled, settled_here));
    if (found_.violations.empty()) STRATA_RETURN_IF_ERROR(CheckIdle(surplus.original, settled, false));
    if (found_.violations.empty()) STRATA_RETURN_IF_ERROR(CheckIdle(surplus.refactored, settled_here, true));
    if (found_.violations.empty()) found_.notes.push_back(SpellingNote(surplus));
    return absl::OkStatus();
  }

  // On redrawn weights, which make the values inside telling. The calls are those of the first trial too: it
  // takes the same branches.
  absl::Status CheckSideBySide(std::set<CallId>& settled, std::set<CallId>& settled_here) {
    const size_t trial = claim_.trials.size() > 1 ? 1 : 0;
    const Surplus surplus = Reconcile(claim_.original[trial], claim_.refactored[trial]);
    STRATA_ASSIGN_OR_RETURN(const json found, InFork([&]() -> absl::StatusOr<json> {
                              STRATA_ASSIGN_OR_RETURN(const SideBySideFindings findings,
                                                      FindOtherFunctions(claim_, trial, surplus));
                              json others = json::array();
                              for (const OtherFunction& other : findings.others)
                                others.push_back({other.refactored, other.what});
                              return json{{"others", others},
                                          {"unplaced", findings.unplaced},
                                          {"settled", findings.settled},
                                          {"settled_here", findings.settled_here}};
                            }));
    settled = found["settled"].get<std::set<CallId>>();
    settled_here = found["settled_here"].get<std::set<CallId>>();
    for (const json& name : found["unplaced"]) {
      found_.notes.push_back(
          absl::StrCat(name.get<std::string>(),
                       ": it is not found here or cannot be run alone, so that only the trials say "
                       "that its spelling is the same function"));
    }
    for (const json& row : found["others"]) {
      AddAt(claim_.refactored[trial], row[0].get<CallId>(), row[1].get<std::string>(),
            "execute the original's operator, or what agrees with it on large, tiny and negative numbers");
    }
    return absl::OkStatus();
  }

  const Context& context_;
  const RanClaim& claim_;
  const std::string refactored_name_;
  const bool replays_;
  const ChildScopes scopes_;
  OperatorFindings& found_;
};

}  // namespace

absl::Status CheckOperators(const Context& context, const RanClaim& claim, const std::string& refactored_name,
                            bool replays, OperatorFindings& found) {
  return Operators(context, claim, refactored_name, replays, found).Run();
}

}  // namespace strata::verify
