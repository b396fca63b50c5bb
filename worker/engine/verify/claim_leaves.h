#pragma once
// What a claim's recordings start from. Includes torch; for trusted forks only.

#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/verify/ran_claim.h"
#include "worker/engine/verify/replay.h"

namespace strata::verify {

// The leaves of one side in one trial, fresh: a replay writes to them.
absl::StatusOr<Leaves> LeavesOf(const RanClaim& claim, size_t index, bool refactored);

// What the model returned and its inputs afterwards, as one digest.
absl::StatusOr<std::string> ResultDigest(Replay& replay);

// Whether they are one value up to rounding, in any shape.
bool Alike(const at::Tensor& a, const at::Tensor& b);

// As many threads as the runners had: sums depend on it.
void UseThreadsOf(const RanClaim& claim);

}  // namespace strata::verify
