#pragma once
// One claim after both sides have run. Plain data.

#include <map>
#include <string>
#include <vector>

#include "worker/engine/program/program.h"
#include "worker/engine/verify/trials.h"

namespace strata::verify {

// One claim after both sides have run. All vectors are parallel to `trials`.
struct RanClaim {
  std::vector<TrialRun> trials;
  std::vector<program::Program> original, refactored;
  std::string refactored_dir;  // outputs_, after_ of each trial
  std::string children_dir;
  std::vector<std::string> hidden;  // the original's files, from every runner of the refactored half
  std::map<std::string, std::string> weight_sources;  // refactored key -> original key
  std::string built_path;  // the weights that a wrapper was built with: it keeps those without a source
  int threads = 1;
};

}  // namespace strata::verify
