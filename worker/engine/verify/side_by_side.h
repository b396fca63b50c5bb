#pragma once
// Another spelling is the same function, not one that agrees on the range that its neighbours leave: a
// polynomial for sin behind a tanh. The original's operators and what stands for them are executed side by
// side, alone, on large, tiny and negative numbers.
//
// Starts tensor work: use it in a Zygote::RunTrusted fork only. The header itself is free of torch.

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/verify/ran_claim.h"
#include "worker/engine/verify/reconcile.h"

namespace strata::verify {

struct OtherFunction {
  program::CallId refactored = program::kNoId;  // its first operator that the original has not
  std::string what;                             // "sin of original.py:12 is spelled mul, sub here: …"
};
struct SideBySideFindings {
  std::vector<OtherFunction> others;
  std::vector<std::string> unplaced;  // "sin of original.py:12": not found there, or it cannot be run alone
  // The calls of functions that are the same on both sides: of the original, and of the refactored model.
  std::set<program::CallId> settled, settled_here;
};
// Each operator that the original has left over: what it takes and gives is looked for among the values of
// the refactored model by the elements. Where that is not found, those of its neighbours that are left over
// too are taken in, and then all neighbours, a few times. What the model is given stays in its domain, whole
// numbers and truth values stay. The two may differ by the tolerance of their type, and by ten times what the
// original's own operators differ from double precision. Nothing grows past whole numbers, which hide what
// they are made of, and all that the refactored model has left over belongs to what was found to be the same.
// `surplus` is that of this trial.
absl::StatusOr<SideBySideFindings> FindOtherFunctions(const RanClaim& claim, size_t trial,
                                                      const Surplus& surplus);

}  // namespace strata::verify
