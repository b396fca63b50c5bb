#pragma once
// The trials of one claim, and the original's half of them: what weights and inputs each has, what the
// original made of them.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/files.h"
#include "nlohmann/json.hpp"
#include "worker/engine/program/program.h"
#include "worker/engine/verify/draw.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {

struct TrialRun {
  int64_t seed = 42;
  int workload = 0;
  bool by_judge = false;  // its seed was drawn for this verdict only
  Reach weights = Reach::kAsBuilt, inputs = Reach::kAsBuilt;
  bool other_inputs = false;              // some of its inputs were drawn; whole numbers and masks are kept
  bool other_numbers = false;             // and some of Python's numbers among them
  bool again = false;                     // the model is called twice: again_ is what the second call gives
  std::string weights_path, inputs_path;  // what both sides begin with
  std::string original_dir;               // outputs_, after_, program_ of this trial, see TrialFile
};

struct OriginalRuns {
  host::RunOutcome outcome;                // kOk, or why the original could not be run
  std::vector<TrialRun> trials;            // by workload: 42, 43, 44, then the judge's
  std::vector<program::Program> programs;  // parallel to `trials`
  std::vector<std::string> notes;          // draws that the original could not bear
  nlohmann::json draws;                    // what it says of its own dimensions, see ReadDraws
};

// Builds the original once as it is and runs seed 42 on that; all other seeds with parameters redrawn, the
// judge's on inputs of a wide range too. A draw on which the original raises, gives NaN, an Inf that it does
// not give for seed 42, or takes another branch is drawn again nearer to what it comes with, at last as it
// comes; that is noted. Before it goes nearer because of a branch, the weights that lead to a branch keep
// their values. When the ranges are found, the single changes of InputDraw are tried, and those stay that the
// original bears. `scratch` holds the files as long as they are needed.
// `afresh`: every trial has a model of its own. `import_dir`: see RunRequest.
absl::StatusOr<OriginalRuns> RunOriginal(const Context& context, const std::string& file, int workloads,
                                         bool afresh, const TempDir& scratch,
                                         const std::string& import_dir = "");

}  // namespace strata::verify
