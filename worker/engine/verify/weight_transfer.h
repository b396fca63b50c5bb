#pragma once
// Which weights of the original reach the refactored model. Pure.

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/program/program.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// Original state_dict key -> the refactored keys that get its value. A key that is absent maps to itself.
using WeightMap = std::map<std::string, std::vector<std::string>>;

// weight_map.json: {original key: refactored key, or a list of them}. InvalidArgument says what is wrong.
absl::StatusOr<WeightMap> ReadWeightMap(const std::string& path);
std::string ToText(const WeightMap& map);

// One weight of a model, as its state_dict has it.
struct Weight {
  std::string key;
  std::string type;  // dtype and sizes; equal texts fit each other
};
// Of a tensor file of weights, in its order.
absl::StatusOr<std::vector<Weight>> ReadWeights(const std::string& path);
// A map for bundles that come without one: keys of equal name, then what is left by type, in the order of
// registration. It is a guess where types repeat; redrawn weights prove it or do not.
WeightMap GuessWeightMap(const std::vector<Weight>& original, const std::vector<Weight>& refactored);

// For a wrapper, which may prefix keys: what `given` leaves goes by equal key and type, then by the longest
// end of the dotted key that, with its type, one weight of each side has. Every original key is named; one
// that goes nowhere has no targets.
WeightMap MapWrapper(const std::vector<Weight>& original, const std::vector<Weight>& wrapper,
                     WeightMap given);

// The state_dict keys of a model, one group per tensor: tied weights share a group.
std::vector<std::vector<std::string>> StateDictKeys(const program::Program& program);

// Refactored key -> the original key whose value it has; tied keys all have one.
std::map<std::string, std::string> WeightSources(const program::Program& original,
                                                 const program::Program& refactored, const WeightMap& map);

// `weight_transfer` of verification_result.json. FAIL where a weight of the refactored model gets nothing;
// weights that the original never uses are listed in unmapped_original and fail nothing.
nlohmann::ordered_json WeightTransferJson(const program::Program& original,
                                          const program::Program& refactored, const WeightMap& map);

// Keys of the map that the original does not have: `weights` are those of its state_dict; a buffer that is
// not in it may be named too.
std::vector<Violation> UnknownKeys(const std::vector<Weight>& weights, const program::Program& original,
                                   const WeightMap& map);
// A weight of the refactored model that gets nothing.
std::vector<Violation> WeightViolations(const program::Program& original, const program::Program& refactored,
                                        const WeightMap& map);
// Weights that are one in the original and not here.
std::vector<Violation> TieViolations(const program::Program& original, const program::Program& refactored,
                                     const WeightMap& map);
// 5 % or more of a wrapper's parameters get nothing; buffers do not count. `sources`: see WeightSources.
std::vector<Violation> FewMapped(const program::Program& wrapper,
                                 const std::map<std::string, std::string>& sources);

}  // namespace strata::verify
