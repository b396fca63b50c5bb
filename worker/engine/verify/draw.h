#pragma once
// The judge's own weights and inputs: what a decomposition cannot have been made for.
//
// Tensor files in, tensor files out. Starts tensor work: use it in a Zygote::RunTrusted fork only. The header
// itself is free of torch. The same seed draws the same numbers on one version of torch.

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/program/program.h"

namespace strata::verify {

// How far from what the model comes with. A draw that the original cannot bear is drawn again nearer.
enum class Reach : uint8_t { kWide, kNarrow, kAsBuilt };
const char* ReachName(Reach reach);  // "wide", "narrow", "as built"

// What a mask to be added holds at most where nothing counts.
inline constexpr double kMasked = -1e4;

// What a weight is to the model, by the calls that read it.
enum class WeightRole : uint8_t {
  kParameter,
  kRunningMean,
  kRunningVariance,  // stays positive
  kFixed,            // masks, tables, whole numbers, truth values
};
// state_dict key -> role. Keys that no value of `original` has are kFixed.
std::map<std::string, WeightRole> WeightRoles(const program::Program& original);
// The keys of parameters that a number leads back to which Python read: other values may take another branch.
std::set<std::string> BranchingWeights(const program::Program& original);

// Every floating parameter of the file at `built` gets a distribution of its own: mean, spread, sign, and
// whether it has bounds. Matrices and filters are scaled by 1 / sqrt(fan in), so that deep models stay
// finite. Tied keys stay one tensor. REQUIRES: reach is not kAsBuilt.
absl::Status DrawWeights(const std::string& built, const std::map<std::string, WeightRole>& roles,
                         int64_t seed, Reach reach, const std::string& out);

// Inputs of the shapes, dtypes and strides of the file at `drawn` (what get_inputs() gave), in their domain:
// whole numbers, truth values, masks of 0 and 1 and masks with infinities are kept, probabilities stay
// probabilities, what is positive stays positive. What lies in [0, 1] (torch.rand) stays there too, but for a
// wide draw that is `mostly_large`: it takes it for any number. All else spreads over rows of its own scale:
// `mostly_large` decides between 1 to 100 and 0 to 1.
//
// `changes` are besides, by their numbers below CountInputChanges; a model may bear one and not another:
//   one tensor that is given twice becomes two; one that is kept (token types of zeros, a mask of ones,
//   positions, one row spread over all) becomes another of its kind; one of Python's numbers becomes another,
//   fractions any of their sign, whole ones the next; with `one_by_one`, one tensor alone is drawn, wide or
//   narrow.
struct InputDraw {
  int64_t seed = 0;
  Reach reach = Reach::kWide;
  bool mostly_large = false;
  bool one_by_one = false;
  std::set<int> changes;
};
struct DrawnInputs {
  bool tensors = false, numbers = false;  // some of these are other than they came
};
absl::StatusOr<DrawnInputs> DrawInputs(const std::string& drawn, const InputDraw& draw,
                                       const std::string& out);
absl::StatusOr<int> CountInputChanges(const std::string& drawn, bool one_by_one);

}  // namespace strata::verify
