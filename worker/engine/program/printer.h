#pragma once
// Deterministic text form of a Program: for people, for `strata-engine capture`, for golden tests.

#include <string>

#include "worker/engine/program/program.h"

namespace strata::program {

// One line per call, indented by scope:
//   %12 = linear(%7, %p3 "fc1.weight", %p4 "fc1.bias") : fp32[8,256]   # fc1 @ model.py:21
// Data of constants is shown by shape and digest, never in full. No addresses, times or file
// directories, so two captures of one source print alike.
std::string Print(const Program& program);

}  // namespace strata::program
