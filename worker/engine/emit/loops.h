#pragma once
// Rolls what repeats over the elements of a module list into a loop.

#include "worker/engine/emit/flow.h"

namespace strata::emit {

// Rewrites flow.steps and flow.returns and fills flow.loops. Reads flow.uses; they are stale afterwards.
void RollLoops(const program::Program& program, Flow& flow);

}  // namespace strata::emit
