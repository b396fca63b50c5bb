#pragma once
// Which scopes are components, and of which level; which are dissolved into what encloses them.

#include <vector>

#include "worker/engine/plan/parts.h"

namespace strata::plan {

// Settles every scope below `root` and `root` itself: what comes back holds calls and settled parts only,
// fusions grouped. One log entry per dissolved kind of scope and one for the level of the model.
Part SettleLevels(const PartContext& context, Part root, std::vector<LogEntry>* log);

}  // namespace strata::plan
