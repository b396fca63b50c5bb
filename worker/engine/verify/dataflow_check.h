#pragma once
// What a recording says about where values go, held against the original's: inputs that do not reach the
// output, weights that nobody gets, state that is not written, narrower numbers. Pure.

#include <map>
#include <string>
#include <vector>

#include "worker/engine/program/program.h"
#include "worker/engine/verify/violation.h"
#include "worker/engine/verify/weight_transfer.h"

namespace strata::verify {

// A submitted tensor whose values reach the original's output and not the refactored model's (rule `inputs`).
// Redrawn inputs show that by themselves; masks, whole numbers and truth values are never redrawn.
std::vector<Violation> IgnoredInputs(const program::Program& original, const program::Program& refactored);

// A parameter that the original computes with and that no weight of the refactored model gets (rule
// `weights`).
std::vector<Violation> LostWeights(const program::Program& original, const program::Program& refactored,
                                   const WeightMap& map);

// Parameters and buffers are written where the original writes them, and nowhere else (rule `buffers`).
// `sources`: refactored state_dict key -> original key.
std::vector<Violation> WrittenState(const program::Program& original, const program::Program& refactored,
                                    const std::map<std::string, std::string>& sources);

// A cast to fewer bits, or from floats to whole numbers, that the original never does (rule `operators`).
std::vector<Violation> NarrowingCasts(const program::Program& original, const program::Program& refactored);

// Memory that outputs share with inputs, with weights and with each other is shared in the original (rule
// `outputs`).
std::vector<Violation> OutputAliases(const program::Program& original, const program::Program& refactored);

}  // namespace strata::verify
