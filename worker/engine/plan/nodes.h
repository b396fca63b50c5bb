#pragma once
// The settled parts as nodes of a Plan: bodies in order, who holds which weight, what crosses each border.

#include <vector>

#include "worker/engine/plan/parts.h"

namespace strata::plan {

// Pre-order; [0] is the model. Attributes, components and reasons' details come from later passes.
std::vector<Node> BuildNodes(const PartContext& context, const Part& root);

}  // namespace strata::plan
