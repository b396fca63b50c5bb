#pragma once
// `strata-engine verify DIR`: the verdict on a folder made by anybody.

#include <string>
#include <vector>

#include "worker/engine/pipeline/local_job.h"

namespace strata::pipeline {

// Prints the verdicts for people, or as JSON, in the order of `folders`. 0: all accepted. 1: one is rejected,
// violations listed. 2: one cannot be judged. 4: a defect of strata. `options`: device, numeric, limits.
int VerifyFolders(host::Zygote& zygote, const std::vector<std::string>& folders, const LocalJob& options,
                  bool json);

}  // namespace strata::pipeline
