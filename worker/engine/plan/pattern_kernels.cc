#include <algorithm>

#include "worker/engine/plan/kernels.h"
#include "worker/engine/plan/patterns.h"

namespace strata::plan {
namespace {

// A kernel that the pattern would only cut a piece from belongs to something else.
bool TouchesOnlySingles(const KernelSet& kernels, const std::vector<program::CallId>& calls) {
  return std::all_of(calls.begin(), calls.end(), [&](program::CallId id) {
    if (kernels.is_free(id)) return true;
    const std::vector<program::CallId>& held = kernels.kernel(kernels.of(id)).calls;
    return std::includes(calls.begin(), calls.end(), held.begin(), held.end());
  });
}

}  // namespace

void FindPatternKernels(KernelSet* kernels) {
  for (const program::Call& call : kernels->program().calls) {
    const std::optional<Match> match = MatchAt(kernels->flow(), call.id);
    if (!match || match->calls.size() < 2 || !TouchesOnlySingles(*kernels, match->calls)) continue;
    // What a larger kernel holds already is no find.
    if (!kernels->is_free(call.id) && kernels->kernel(kernels->of(call.id)).calls == match->calls) continue;
    kernels->Claim(match->calls, match->operation, match->why);
  }
}

}  // namespace strata::plan
