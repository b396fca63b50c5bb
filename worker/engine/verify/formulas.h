#pragma once
// Arithmetic that is no glue: a formula of one meaning (rotary embedding, docs/kernels.md) that the
// refactored model computes itself. Pure.

#include <vector>

#include "worker/engine/program/program.h"
#include "worker/engine/verify/plumbing_check.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// Of the original plan/ says which of its arithmetic is in a kernel and which stays between kernels.
// Arithmetic outside the children that is more than what stays, and holds such a formula whole, breaks rule
// `plumbing`. One that a child completes (the product beside a sigmoid) does not: those of others may cut
// there.
std::vector<Violation> FormulaViolations(const program::Program& original, const program::Program& refactored,
                                         const ChildScopes& scopes);

}  // namespace strata::verify
