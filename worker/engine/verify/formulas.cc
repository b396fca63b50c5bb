#include "worker/engine/verify/formulas.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/dead_code.h"
#include "worker/engine/plan/fold_constants.h"
#include "worker/engine/plan/functionalise.h"
#include "worker/engine/plan/patterns.h"
#include "worker/engine/plan/rewrite.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/bundle_program.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/places.h"

namespace strata::verify {
namespace {

using program::Call;
using program::CallId;
using program::OpClass;
using program::Program;
using Counts = std::map<std::string, int64_t>;

// Operators of arithmetic; a quotient of a number by a tensor is two and glue.
constexpr int64_t kFormula = 3;

Counts ArithmeticOf(const Program& program, const std::vector<CallId>& calls) {
  Counts counts;
  for (const CallId id : calls) {
    const Call& call = program.call(id);
    if (program::Classify(program, call) == OpClass::kArithmetic) ++counts[program::OperatorName(call.op)];
  }
  return counts;
}

bool HoldsCompute(const Program& program, const std::vector<CallId>& calls) {
  return std::any_of(calls.begin(), calls.end(), [&](CallId id) {
    return program::Classify(program, program.call(id)) == OpClass::kCompute;
  });
}

// What gives the elements that it takes, in another shape, order, memory or dtype.
bool OnlyReshapes(const Call& call) {
  static const std::set<std::string> kNames = {
      "view",     "view_as",   "reshape",  "reshape_as",   "flatten", "unflatten", "squeeze",
      "permute",  "unsqueeze", "movedim",  "_unsafe_view", "t",       "numpy_T",   "mT",
      "swapaxes", "transpose", "swapdims", "moveaxis",     "expand",  "expand_as", "contiguous",
      "clone",    "detach",    "alias",    "to",           "type_as", "_to_copy",  "broadcast_to"};
  return call.mutated.empty() && call.results.size() == 1 && kNames.contains(program::OperatorName(call.op));
}

// All in one scope, and a value and its reshaped forms one value: a pattern is found wherever its parts are.
// The calls keep their ids.
Program Flattened(Program program) {
  std::map<program::ValueId, program::ValueId> same;
  for (Call& call : program.calls) {
    call.scope = 0;
    const std::vector<program::ValueId> reads = program::Reads(call);
    if (!OnlyReshapes(call) || reads.empty() || reads[0] < 0) continue;
    same[call.results[0]] = reads[0];
    call.args.clear();
  }
  plan::ReplaceValues(&program, same);
  return program;
}

Program Normalised(const Program& program) {
  return plan::Functionalise(plan::RemoveDeadCode(plan::FoldConstants(program)));
}

// An entry of docs/kernels.md with a name of its own; x by any other reduction of itself may be a quotient.
std::optional<plan::Match> NamedPattern(const plan::Dataflow& flow, CallId id) {
  const std::vector<std::string>& names = plan::PatternNames();
  std::optional<plan::Match> match = plan::MatchAt(flow, id);
  if (match.has_value() && std::find(names.begin(), names.end(), match->operation) == names.end())
    match.reset();
  return match;
}

// By operation how often the original has one in parts: in several kernels, or between them.
std::map<std::string, int64_t> PatternsInParts(const ExecutedComponent& original) {
  std::map<CallId, size_t> kernel_of;
  for (size_t i = 0; i < original.kernels().size(); ++i) {
    for (const CallId id : original.kernels()[i].calls) kernel_of[id] = i + 1;
  }
  const Program flat = Flattened(original.program());
  const plan::Dataflow flow(flat);
  std::map<std::string, int64_t> found;
  for (const Call& call : flat.calls) {
    const std::optional<plan::Match> match = NamedPattern(flow, call.id);
    if (!match.has_value()) continue;
    std::set<size_t> kernels;
    for (const CallId id : match->calls) kernels.insert(kernel_of[id]);
    if (kernels.size() > 1 || kernels.contains(0)) ++found[match->operation];
  }
  return found;
}

// A pattern of one kernel (x * sigmoid(x)) that a child begins and arithmetic of the parent completes, or the
// other way round, more often than the original itself has it in parts.
std::vector<Violation> SplitPatterns(const ExecutedComponent& original, const Program& refactored,
                                     const ChildScopes& scopes) {
  const Program plain = Normalised(refactored), flat = Flattened(plain);
  const plan::Dataflow flow(flat);
  std::map<std::string, int64_t> allowed = PatternsInParts(original);
  for (const Call& call : flat.calls) {
    const std::optional<plan::Match> match = NamedPattern(flow, call.id);
    if (!match.has_value()) continue;
    const Call* outside = nullptr;
    bool in_child = false;
    for (const CallId id : match->calls) {
      const Call& part = plain.call(id);
      const bool counts = program::Classify(plain, part) == OpClass::kArithmetic;
      in_child |= scopes.Inside(part.scope);
      if (counts && !scopes.Inside(part.scope)) outside = &part;
    }
    if (outside == nullptr || !in_child || --allowed[match->operation] >= 0) continue;
    return {{rules::kPlumbing, FileOf(plain, *outside), LineOf(plain, *outside),
             absl::StrCat("completes ", match->operation, ", which is one kernel, of what a child computes"),
             "let one child compute all of it"}};
  }
  return {};
}

bool Covers(const Counts& all, const Counts& part) {
  return std::all_of(part.begin(), part.end(), [&](const auto& entry) {
    const auto found = all.find(entry.first);
    return found != all.end() && found->second >= entry.second;
  });
}

}  // namespace

std::vector<Violation> FormulaViolations(const Program& original, const Program& refactored,
                                         const ChildScopes& scopes) {
  const auto inside = [&](program::InvocationId id) { return scopes.Inside(id); };
  Counts surplus = ArithmeticOutside(refactored, inside);
  if (surplus.empty()) return {};
  const ExecutedComponent executed(original);
  if (!executed.ok()) return {};
  for (const auto& [name, count] : ArithmeticOf(executed.program(), executed.arithmetic()))
    surplus[name] -= count;

  for (const plan::Kernel& kernel : executed.kernels()) {
    const Counts formula = ArithmeticOf(executed.program(), kernel.calls);
    int64_t size = 0;
    for (const auto& [name, count] : formula) size += count;
    if (size < kFormula || HoldsCompute(executed.program(), kernel.calls) || !Covers(surplus, formula))
      continue;
    const auto first = std::find_if(refactored.calls.begin(), refactored.calls.end(), [&](const Call& call) {
      return !inside(call.scope) && formula.contains(program::OperatorName(call.op));
    });
    return {{rules::kPlumbing, FileOf(refactored, *first), LineOf(refactored, *first),
             absl::StrCat("computes ", kernel.operation, ", which is one kernel"), "move it into a child"}};
  }
  return SplitPatterns(executed, refactored, scopes);
}

}  // namespace strata::verify
