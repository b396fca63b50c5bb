#pragma once
// Operators reconciled in every trial; where another spelling stands for some, whether it is the same
// function.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/engine/verify/ran_claim.h"
#include "worker/engine/verify/verify.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

struct OperatorFindings {
  std::vector<Violation> violations;  // rule `operators`
  std::vector<std::string> notes;     // spellings that pass
};

// Fills `found` also where it stops at a limit. `refactored_name` is what a violation of the whole file
// names. `replays`: the refactored model's recording is what it returned, so that its parts may be run again;
// where it is not, spellings and constants are not looked at. Without a folder of children (a wrapper) all of
// the file may compute.
absl::Status CheckOperators(const Context& context, const RanClaim& claim, const std::string& refactored_name,
                            bool replays, OperatorFindings& found);

}  // namespace strata::verify
