#pragma once
// The raw recording as a finished Program. Pure.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::capture {

// Names that a source line assigns, by (file, line).
using LineTargets = std::map<std::pair<std::string, int32_t>, std::vector<std::string>>;

// Keeps of init_calls only what deterministic formulas of buffers and constants need, drops values that
// nothing mentions, numbers values (inputs, parameters, buffers, then by first mention), storages and
// function activations by first appearance, and fills Frame::targets.
// `unwritten`: by storage id, memory whose elements no recorded call wrote.
program::Program Assemble(program::Program raw, const std::vector<bool>& unwritten,
                          const LineTargets& targets);

}  // namespace strata::capture
