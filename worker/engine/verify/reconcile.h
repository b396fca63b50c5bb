#pragma once
// Operators reconciled with their settings: what the original executed is what the refactored model executed,
// its children and the arithmetic between them, each once. Pure.

#include <string>
#include <vector>

#include "worker/engine/program/program.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// One execution of a counted operator (docs/plumbing.md; arithmetic counts on both sides).
struct OperatorUse {
  std::string name;  // without overload and underscore
  // Arguments other than torch's defaults, dimensions from the end, numbers alike whether whole or not; which
  // tensors are given; dtypes in and out. What changes no number (keepdim) is left out; two ways
  // to say one setting (unbiased=False, correction=0) are spelled alike.
  std::string settings;
  program::CallId call = program::kNoId;
  bool arithmetic = false;
};
std::vector<OperatorUse> UsesOf(const program::Program& program);

// What one side has more of, by name and settings.
struct Surplus {
  std::vector<OperatorUse> original, refactored;
  bool empty() const { return original.empty() && refactored.empty(); }
};
Surplus Reconcile(const program::Program& original, const program::Program& refactored);

// An operator that both sides have left over is there with other settings. Where only one side has any, they
// are missing or invented. Otherwise it may be another spelling: what the numbers say, see the judge.
std::vector<Violation> SurplusViolations(const program::Program& original, const program::Program& refactored,
                                         const Surplus& surplus);
Violation Missing(const program::Program& original, const OperatorUse& use);
Violation Invented(const program::Program& refactored, const OperatorUse& use);

// Compute operators whose result nobody uses, beyond those of that name that the original executes: what an
// exception or a size that they give tells Python is no part of the model (rule `operators`).
std::vector<Violation> UnusedViolations(const program::Program& original, const program::Program& refactored);

// More numbers of the data, the weights or the buffers that Python reads (item, a branch) than in the
// original: what the refactored model does then depends on values as the original does not. None at all, or
// none of an input that the original reads: a branch that was frozen on one side (rule `operators`).
std::vector<Violation> ReadViolations(const program::Program& original, const program::Program& refactored);

// Dropout changes nothing in eval, so neither counts nor numbers say where it stands: where all operators are
// the same, it stands behind the same ones (rule `operators`).
std::vector<Violation> PlaceViolations(const program::Program& original, const program::Program& refactored);

// "gelu is spelled erf, mul, add": for the verdict's notes.
std::string SpellingNote(const Surplus& surplus);

}  // namespace strata::verify
