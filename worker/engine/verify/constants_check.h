#pragma once
// Tensors that a forward makes from nothing (full, arange, torch.tensor, and what it computes from these
// alone) are settings of the operators that take them: an eps, a bound, a fill, a table of positions.
//
// Starts tensor work: use FindOtherConstants in a Zygote::RunTrusted fork only. The header itself is free of
// torch.

#include <string>
#include <vector>

#include "worker/engine/verify/ran_claim.h"

namespace strata::verify {

// Whether an operator takes such a tensor beside one of the data. Pure; where one side has none there is
// nothing to compare.
bool TakesConstants(const program::Program& program);

struct OtherConstant {
  program::CallId call = program::kNoId;  // of the refactored model, first trial
  std::string what;                       // "add takes the constant 1e-12, in the original 1e-06"
};
// Operators of one name that take other constants than in the original, operand by operand. Constants are
// equal where they consist of the same numbers, in any shape and number (an expanded table is the same
// table). Where one side has more of an operator that takes one, some are spelled otherwise: what neither
// side has among the other's is told, unless both have some of the operator left over. None where an operator
// cannot be executed again, which is rule `replay`.
std::vector<OtherConstant> FindOtherConstants(const RanClaim& claim);

}  // namespace strata::verify
