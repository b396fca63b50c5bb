#pragma once
// What a model computes and does not need: children whose result could be zeros, operators that could as well
// not be there. Found by replays with one thing changed.
//
// FindIdleCalls starts tensor work: use it in a Zygote::RunTrusted fork only. The header is free of torch.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/verify/ran_claim.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {

// Rule `matters`: the child calls whose result, replaced by zeros, changes the refactored model's output in
// no trial. A note where the original's own recording does not need that value either. Forks by itself.
struct IdleFindings {
  std::vector<Violation> violations;
  std::vector<std::string> notes;
};
absl::StatusOr<IdleFindings> CheckChildrenMatter(const Context& context, const RanClaim& claim);

// The calls of one side that change nothing: their result can be their first operand of the same type and
// nothing that the model returns is different, in any trial. Of those in `candidates`, ids of trial 0; they
// must be the same calls in all trials.
absl::StatusOr<std::vector<program::CallId>> FindIdleCalls(const RanClaim& claim, bool refactored,
                                                           const std::vector<program::CallId>& candidates);

}  // namespace strata::verify
