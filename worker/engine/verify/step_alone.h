#pragma once
// What the tree says in a bundle, asked of a step alone: whether its children are parts, and each file one
// part; and its JSON files, of what they say. Pure but for reading.

#include <string>
#include <vector>

#include "worker/engine/verify/bundle_facts.h"
#include "worker/engine/verify/bundle_files.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// Rule `levels`: the only child is the whole original and of a higher level than it says. One that calls
// itself a kernel is held to rule `kernel`. Rule `kernel`: a file that calls itself a kernel executes other
// operators in the parent than alone: its constructor's arguments make several kernels of it. Rule `names`: a
// file that says no level goes by the name of one operator and executes another beside it. `files.components`
// are the children, `facts.components` what they did alone, `step` what ran.
std::vector<Violation> StepAloneViolations(const BundleFiles& files, const BundleFacts& facts,
                                           const ClaimFacts& step);

// verification_result.json and coverage_report.json of a step's folder, read before anything of it runs.
struct StatedResults {
  JsonFile verification_result, coverage_report;
  std::vector<Violation> violations;  // of rule `results`: a file that cannot be read
};
StatedResults ReadStatedResults(const std::string& folder);

// Rule `results`: they say what was recomputed, as in a bundle made by others. What they have and nothing can
// be held against is added to `not_judged`: paths, which are those of the bundle that the step is from.
std::vector<Violation> ResultsViolations(const StatedResults& stated, const ClaimFacts& step,
                                         std::vector<std::string>& not_judged);

}  // namespace strata::verify
