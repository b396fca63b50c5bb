#pragma once
// What a tensor's elements say about its value domain. Pure.

#include <cstdint>
#include <span>

#include "worker/engine/program/program.h"

namespace strata::capture {

// Elements in row-major order; `last_dimension` is the size of the last dimension (1 for 0-d).
program::Domain Summarise(std::span<const double> elements, int64_t last_dimension);

}  // namespace strata::capture
