#pragma once
// select, slice, unsqueeze and index.Tensor as Python's brackets.

#include "worker/engine/emit/spelling.h"

namespace strata::emit {

// "x[..., :64]" for the chain; "x" where it has no entries.
std::string IndexText(const IndexChain& chain);

Spelled SpellIndexing(const program::Call& call, const SpellingContext& context);
// index.Tensor and index_put_: the bracket expression alone.
Spelled SpellAdvancedIndexing(const program::Call& call, const SpellingContext& context);

}  // namespace strata::emit
