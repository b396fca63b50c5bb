#pragma once
// What an engine would write for a two-step MLP (model > fusion > kernels), by hand.

#include <map>
#include <string>

#include "strata/v1/worker.pb.h"

namespace strata::testing {

using Files = std::map<std::string, std::string>;  // path → content

extern const char kModelSource[];

// Of one task, as its kind promises (docs/tasks.md).
Files OutputsOf(const v1::Lease& lease);

}  // namespace strata::testing
