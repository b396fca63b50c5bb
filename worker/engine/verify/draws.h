#pragma once
// What refactored.py says of its own dimensions, held against original.py (rule `dimensions`). Pure.

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "worker/engine/program/program.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// The rows that a runner wrote for RunRequest::draws; null where it left none.
nlohmann::json ReadDraws(const std::string& out_dir);

// get_inputs() of both draws the same dtypes and sizes; get_expected_output_shape() gives the original's, or
// what the original returned: `recorded` is its Program at workload 0, 1, … A function that refactored.py
// does not have says nothing wrong.
std::vector<Violation> DrawViolations(const nlohmann::json& original, const nlohmann::json& refactored,
                                      const std::vector<const program::Program*>& recorded);

}  // namespace strata::verify
