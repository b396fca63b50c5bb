#pragma once
// Each child alone: a fresh module in a fresh runner, with the inputs, weights and generator state that it
// had in the parent, gives the same bits.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/verify/replay_claim.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {

struct AloneResult {
  std::vector<Violation> violations;
  host::RunOutcome failure{.status = host::RunStatus::kOk};  // a limit or a crash: no verdict
  std::string failed_file;
};

// Of every trial: what the judge's replay gives is what the refactored model returned, and each child alone
// gives what it gave there. The calls of one file run in one process, the last first, so that nothing that an
// earlier call left behind can help a later one.
absl::StatusOr<AloneResult> ReplayClaim(const Context& context, const RanClaim& claim,
                                        const TempDir& scratch);

}  // namespace strata::verify
