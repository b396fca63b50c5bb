#pragma once
// Which weights of the original reached the refactored model. Pure.

#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "worker/engine/program/program.h"

namespace strata::verify {

// The state_dict keys of a model, one group per tensor: tied weights share a group.
std::vector<std::vector<std::string>> StateDictKeys(const program::Program& program);

// `weight_transfer` of verification_result.json. A key that the map does not name maps to itself. FAIL
// where a weight of the refactored model gets nothing; weights that the original never uses are listed
// in unmapped_original and fail nothing.
nlohmann::ordered_json WeightTransferJson(const program::Program& original,
                                          const program::Program& refactored,
                                          const std::map<std::string, std::string>& weight_map);

}  // namespace strata::verify
