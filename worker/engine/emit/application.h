#pragma once
// How one run of a module is written as an application: self.attn(x, mask=mask).

#include <optional>
#include <vector>

#include "worker/engine/emit/class_builder.h"
#include "worker/engine/emit/function.h"
#include "worker/engine/emit/slice.h"

namespace strata::emit {

// What the run reads from outside, but for the weights that the module holds: `state`, and what stands under
// one of its paths.
std::vector<program::ValueId> OperandsOf(const Slice& slice, program::InvocationId id,
                                         const std::vector<StateEntry>& state);

// Inputs and outputs of the run; a torch.nn leaf's arguments in the source's order and keywords, its nested
// outputs with the pattern that unpacks them. nullopt where the node reads a value that the module does not
// hand out, so its calls must stand inline. The callee is the caller's to name.
std::optional<Apply> ApplicationOf(const Slice& slice, program::InvocationId id,
                                   const std::vector<StateEntry>& state);

}  // namespace strata::emit
