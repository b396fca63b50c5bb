#pragma once
// What the tree says in a bundle, asked of a step alone: whether its children are parts, and each file one
// part. Pure.

#include <vector>

#include "worker/engine/verify/bundle_facts.h"
#include "worker/engine/verify/bundle_files.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// Rule `levels`: the only child is the whole original and of a higher level than it says. One that calls
// itself a kernel is held to rule `kernel`. Rule `kernel`: a file that calls itself a kernel executes other
// operators in the parent than alone: its constructor's arguments make several kernels of it.
// `files.components` are the children, `facts.components` what they did alone, `step` what ran.
std::vector<Violation> StepAloneViolations(const BundleFiles& files, const BundleFacts& facts,
                                           const ClaimFacts& step);

}  // namespace strata::verify
