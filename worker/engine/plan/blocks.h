#pragma once
// Blocks that are no module of their own: residuals and rejoined branches written into a model's forward.

#include <vector>

#include "worker/engine/plan/fusions.h"
#include "worker/engine/plan/wiring.h"

namespace strata::plan {

// What lies between the fork and the join: parts on some of the joined ways but not on all, and the join.
std::vector<size_t> BranchesOf(const Wiring& wiring, const Join& join);

// The joins make up one block with at most one contraction outside of it: the model is a layer.
bool IsOneBlock(const Wiring& wiring, const std::vector<Join>& joins);

// One region per residual add of the model's own forward, from the fork to the add and the activation after
// it; none that holds a layer already, none that overlaps another.
std::vector<Region> FindInlineBlocks(const Wiring& wiring, const std::vector<Join>& joins);

}  // namespace strata::plan
