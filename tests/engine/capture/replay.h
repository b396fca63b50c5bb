#pragma once
// A Program as a straight Python function over torch.ops, to see whether what was recorded is the whole
// computation.

#include <string>

#include "worker/engine/program/program.h"

namespace strata::capture {

// Text of `def replay(model, named)`: `named` has forward's arguments by parameter name; returns the output
// tensors in tree order.
std::string ReplayText(const program::Program& program);

}  // namespace strata::capture
