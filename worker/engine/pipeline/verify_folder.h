#pragma once
// The verdict on a folder made by anybody: of the task judge, and of `strata-engine verify DIR`.

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "worker/engine/pipeline/local_job.h"
#include "worker/engine/verify/verify.h"

namespace strata::pipeline {

struct JudgedFolder {
  verify::Decision decision = verify::Decision::kCannotJudge;
  nlohmann::ordered_json verdict;  // verdict.json; where it cannot be judged, `error` says why
  bool is_defect = false;          // of strata: there is no verdict, and `error` is ours
};
// `folder`: absolute.
JudgedFolder JudgeFolder(const verify::Context& context, const std::string& folder);

// Prints the verdicts for people, or as JSON, in the order of `folders`. 0: all accepted. 1: one is rejected,
// violations listed. 2: one cannot be judged. 4: a defect of strata. `options`: device, numeric, limits.
int VerifyFolders(host::Zygote& zygote, const std::vector<std::string>& folders, const LocalJob& options,
                  bool json);

}  // namespace strata::pipeline
