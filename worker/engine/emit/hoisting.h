#pragma once
// Numbers in a forward that the author keeps as attributes: self.eps, self.num_heads, self.head_dim.

#include <vector>

#include "worker/engine/emit/class_builder.h"
#include "worker/engine/emit/function.h"

namespace strata::emit {

// Rewrites how `function` says its numbers and sizes, and adds the attributes to `text` (init, dimensions).
// Called with the class's __init__ written and its forward not yet.
void HoistNumbers(const program::Program& program, Function& function, ClassText& text);

}  // namespace strata::emit
