#pragma once
// Which tolerance an output is held to: by the coarsest dtype among the original's recorded operators on
// the way to it. Pure.

#include <cstdint>
#include <string>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::verify {

struct Tolerance {
  double rtol = 0, atol = 0;
};

// A wrapper is the self-contained model of Phase 0, judged against the submission in source/.
enum class Purpose : uint8_t { kStep, kComposition, kWrapper };

// One per tensor of the output tree of the forward, in tree order.
std::vector<Tolerance> OutputTolerances(const program::Program& original, Purpose purpose);

// "torch.float32": dtype of the first floating or complex input, else of the first input, else "none".
std::string InputDType(const program::Program& original);

}  // namespace strata::verify
