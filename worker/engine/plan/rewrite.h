#pragma once
// Taking calls out of a Program and redirecting values, with everything that refers to them kept right.

#include <map>
#include <set>

#include "worker/engine/program/program.h"

namespace strata::plan {

// Drops `calls`, renumbers the rest, and narrows the invocations. Values keep their ids; those that only a
// dropped call made must have no reader left.
void RemoveCalls(program::Program* program, const std::set<program::CallId>& calls);

// Every read of `from` reads `to` instead: arguments, invocation trees, outputs. Chains are followed.
void ReplaceValues(program::Program* program,
                   const std::map<program::ValueId, program::ValueId>& replacements);

}  // namespace strata::plan
