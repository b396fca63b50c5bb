#pragma once
// What a model computes and does not need: children whose result could be zeros, operators that could as well
// not be there. Found by replays with one thing changed.
//
// Starts tensor work: use it in a Zygote::RunTrusted fork only. The header itself is free of torch.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/verify/ran_claim.h"

namespace strata::verify {

// Which call of a child it is, in every trial: the n-th of this module.
struct ChildCallId {
  std::string stem, path;
  int nth = 0;
};
// What a child's result does to the model.
struct Idle {
  ChildCallId call;
  bool original_ignores_it = false;  // the original's own recording does not need that value either
};
// The child calls whose result, replaced by zeros, changes the refactored model's output in no trial.
absl::StatusOr<std::vector<Idle>> FindIdleChildren(const RanClaim& claim);

// The calls of one side that change nothing: their result can be their first operand of the same type and
// nothing that the model returns is different, in any trial. Of those in `candidates`, ids of trial 0; they
// must be the same calls in all trials.
absl::StatusOr<std::vector<program::CallId>> FindIdleCalls(const RanClaim& claim, bool refactored,
                                                           const std::vector<program::CallId>& candidates);

}  // namespace strata::verify
