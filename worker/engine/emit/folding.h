#pragma once
// Which steps are folded into the statement that reads them, and which stand as statements of their own.

#include <set>
#include <vector>

#include "worker/engine/emit/flow.h"

namespace strata::emit {

struct Folding {
  static constexpr size_t kStatement = static_cast<size_t>(-1);
  // Per step: the step it is folded into, flow.steps.size() for the return, or kStatement.
  std::vector<size_t> into;

  // The statement at which a step is evaluated.
  size_t RootOf(size_t step) const {
    while (step < into.size() && into[step] != kStatement) step = into[step];
    return step;
  }
};

// `keep`: steps that must stay statements (a line would grow too long).
Folding Fold(const program::Program& program, const Flow& flow, const std::set<size_t>& keep);

// Results of a step that something reads.
std::vector<program::ValueId> UsedResults(const program::Program& program, const Flow& flow, size_t step);

}  // namespace strata::emit
