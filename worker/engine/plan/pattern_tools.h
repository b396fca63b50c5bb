#pragma once
// Small questions that every pattern asks.

#include <set>
#include <string>
#include <vector>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/patterns.h"
#include "worker/engine/program/plumbing.h"

namespace strata::plan::patterns {

// The two sides of a binary call: tensors (not wrapped numbers), or a tensor and a number.
struct Operands {
  program::ValueId left = program::kNoId, right = program::kNoId;  // kNoId where a number
  bool has_number = false;
  double number = 0;
};
Operands OperandsOf(const Dataflow& flow, const program::Call& call);

// The tensor operands of a call, wrapped numbers left out, each once.
std::vector<program::ValueId> Tensors(const Dataflow& flow, const program::Call& call);

// The call that made the value, if its operator name is among `names`; else nullptr.
const program::Call* MadeBy(const Dataflow& flow, program::ValueId value,
                            std::initializer_list<const char*> names);

// The one call that reads the value; nullptr where none or several do or where it leaves the model.
const program::Call* OnlyReader(const Dataflow& flow, program::ValueId value);
// Everyone who reads it is in `calls`, and it does not leave the model.
bool ReadOnlyBy(const Dataflow& flow, program::ValueId value, const std::set<program::CallId>& calls);

// A parameter, straight or through shape operators and casts.
bool IsWeight(const Dataflow& flow, program::ValueId value);

// Backwards through casts and detach, which are added to `passed`.
program::ValueId SkipCasts(const Dataflow& flow, program::ValueId value, std::set<program::CallId>* passed);

inline std::vector<program::CallId> Sorted(const std::set<program::CallId>& calls) {
  return {calls.begin(), calls.end()};
}

}  // namespace strata::plan::patterns
