#pragma once
// Weights that no trial could draw otherwise: those that lead to a branch, and buffers that come equal (the
// mean 0 and the spread 1 of two normalisers). Both recordings are replayed with other values for them: a
// recording has no branches.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/files.h"
#include "worker/engine/verify/compare.h"
#include "worker/engine/verify/ran_claim.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {

// Both empty: every weight had other values in a trial, or the recordings agree on others too.
struct OtherWeights {
  std::vector<std::string> differences;  // one sentence for each output that differs
  std::string note;                      // why nothing could be compared: the recording bears no other values
};

// On the inputs of the first trial. `request`: its tolerances hold. `scratch`: for what is drawn and
// computed.
absl::StatusOr<OtherWeights> CompareOnOtherWeights(const Context& context, const RanClaim& claim,
                                                   CompareRequest request, const TempDir& scratch);

}  // namespace strata::verify
