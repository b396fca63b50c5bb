#pragma once
// Compares the tensor files that two runners left behind (docs/bundle_format.md, "How two results are
// compared"). The functions here start tensor work, so they run in a Zygote::RunTrusted fork; the header
// itself is free of torch. Tensor files are read as hostile.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/verify/tolerance.h"

namespace strata::verify {

struct TrialFiles {
  int trial = 0;
  int64_t seed = 0;
  int workload = 0;
  std::string original_outputs, refactored_outputs;
  // The inputs after the call; "" where not saved.
  std::string original_after, refactored_after;
  // What a second call on the same inputs gives; "" or no such file: there is none.
  std::string original_again, refactored_again;
  // Parameters and buffers that the call changed, by state_dict key; "" or no such file: none.
  std::string original_state, refactored_state;
  std::string inputs;  // before it, to tell a copied input; "" where not saved
  // Weights or inputs are not those that the model comes with: atol is 1e-5 (half types 1e-3) of the output's
  // root mean square where that is more.
  bool scaled_atol = false;
  bool by_judge = false;
};

struct CompareRequest {
  std::vector<TrialFiles> trials;
  std::vector<Tolerance> tolerances;  // one per output; the loosest stands for outputs past its end
  bool allow_inf = true;              // an Inf passes where both have the same Inf in the same places
  std::map<std::string, std::string> weight_sources = {};  // refactored state_dict key -> original key
};

// `numerical_comparison` of verification_result.json but for rtol, atol and input_dtype:
// {status, num_trials, max_diff_across_trials, bit_exact, trials: […], drawn_trials: […]}; the judge's own
// trials stand in the last and count for `status` only. Differences that are no number (NaN, other Inf,
// another shape) are null, with a `reason` in the detail.
// An output of the original that carries attributes besides is a mismatch with `unjudged`: true.
// A trial has `inputs_after`, `second_call` and `state_after` ({key, matches, reason}) only where they
// differ. Where zeros, a constant or a copied input would pass for an output, atol shrinks to 1e-3 of its
// root mean square; where they still would, only equal bits pass.
absl::StatusOr<nlohmann::ordered_json> CompareTrials(const CompareRequest& request);

// What is wrong with the output of a submitted model, "" if nothing: NaN or Inf, and in which output.
absl::StatusOr<std::string> CheckFinite(const std::string& outputs_path);

// What of the outputs in a file is no finite number.
struct NonFinite {
  bool nan = false, inf = false;
};
absl::StatusOr<NonFinite> FindNonFinite(const std::string& outputs_path);

}  // namespace strata::verify
