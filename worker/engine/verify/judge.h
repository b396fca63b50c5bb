#pragma once
// One claim judged: `refactored` is `original`. Shared by steps and the composition.

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/verify/plumbing_check.h"
#include "worker/engine/verify/tolerance.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {

struct Claim {
  std::string original_file, refactored_file;  // absolute
  std::string original_name, refactored_name;  // as the verdict names them
  std::string refactored_class = "RefactoredModel";
  std::string children_dir;          // absolute: whose modules count as children
  bool nested_parents = false;       // refactored_file may define further parents (a composition)
  std::vector<std::string> imports;  // modules that refactored_file may import beside torch and children
  std::string weight_map_path;       // JSON object; "" where names are the same
  int workloads = 1;
  Purpose purpose = Purpose::kStep;
  bool allow_inf = true;
};

struct Judgement {
  bool pass = false;
  nlohmann::ordered_json result;  // verification_result.json
  std::string reason;             // one sentence when not `pass`
  host::RunOutcome failure;       // where a runner failed, else status kOk
  // What both sides recorded at the first trial; empty where a runner failed.
  program::Program original, refactored;
};

absl::StatusOr<Judgement> Judge(const Context& context, const Claim& claim);

}  // namespace strata::verify
