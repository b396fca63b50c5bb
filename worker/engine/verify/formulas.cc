#include "worker/engine/verify/formulas.h"

#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
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
  return {};
}

}  // namespace strata::verify
