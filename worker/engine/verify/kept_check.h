#pragma once
// What Python keeps from call to call, as the runners' digests say (host/kept.py): a model that counts its
// calls need not show it in its text. Reads files, no torch.

#include <vector>

#include "worker/engine/verify/ran_claim.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// What a call of the refactored model changes where no call of the original changes anything of its own.
std::vector<Violation> KeptViolations(const RanClaim& claim);

}  // namespace strata::verify
