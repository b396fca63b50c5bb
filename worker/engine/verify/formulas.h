#pragma once
// Arithmetic that is no glue: a formula of one meaning (rotary embedding, swish, docs/kernels.md) that the
// refactored model computes itself, or completes of what its children compute. Pure.

#include <vector>

#include "worker/engine/program/program.h"
#include "worker/engine/verify/plumbing_check.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// Of the original plan/ says which of its arithmetic is in a kernel and which stays between kernels.
// Arithmetic outside the children that is more than what stays, and holds such a formula whole, breaks rule
// `plumbing`. So does a part of an inline pattern outside, the rest of it in children (the product beside a
// sigmoid), unless the original has as many in parts: a norm whose scale is a module of its own.
std::vector<Violation> FormulaViolations(const program::Program& original, const program::Program& refactored,
                                         const ChildScopes& scopes);

}  // namespace strata::verify
