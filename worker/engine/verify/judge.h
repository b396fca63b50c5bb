#pragma once
// One claim judged: `refactored` is `original`. Shared by steps, the composition and the wrapper of Phase 0.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/verify/plumbing_check.h"
#include "worker/engine/verify/tolerance.h"
#include "worker/engine/verify/verify.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

struct Claim {
  std::string original_file, refactored_file;  // absolute
  std::string original_name, refactored_name;  // as the verdict names them
  std::string refactored_class = "RefactoredModel";
  std::string children_dir;     // absolute: whose modules count as children; "" of a wrapper
  std::string source_dir;       // of a wrapper: the original imports from there, the wrapper cannot see it
  bool nested_parents = false;  // refactored_file may define further parents (a composition)
  std::vector<std::string> imports;  // modules that refactored_file may import beside torch and children
  std::string weight_map_path;  // JSON object; "" where there is none: same names, then same types in order
  int workloads = 1;
  Purpose purpose = Purpose::kStep;
  bool allow_inf = true;
};

struct Judgement {
  Decision decision = Decision::kCannotJudge;
  bool pass = false;                  // kAccepted
  std::vector<Violation> violations;  // why it is rejected
  std::vector<std::string> notes;     // what the reader of an acceptance should know
  nlohmann::ordered_json result;      // verification_result.json
  std::string reason;                 // one sentence when not `pass`
  host::RunOutcome failure;           // where a runner failed, else status kOk
  // What both sides recorded at the first trial; empty where a runner failed.
  program::Program original, refactored;
  ClaimFacts facts;
  std::map<std::string, std::set<std::string>>
      child_shapes;          // stem -> ArgumentShapes of its calls, all trials
  std::string children_dir;  // where the children of `refactored` lay when it was recorded
};

// The stages, each only where those before it left something to judge: the texts (rule `source`); the
// original on all trials; the refactored model, which sees its own files only; what was recorded outside the
// children, weights and operators; the replay; children that do not matter; the numbers.
absl::StatusOr<Judgement> Judge(const Context& context, const Claim& claim);

}  // namespace strata::verify
