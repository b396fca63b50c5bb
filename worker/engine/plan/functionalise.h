#pragma once
// Turns in-place operators into their plain forms where nobody can tell: relu_ and relu are one kernel then.
// Not where the written memory belongs to a submitted input, a weight or a constant, where the old value or
// another view of the same memory is read later, or where the plain form would have another dtype.

#include "worker/engine/program/program.h"

namespace strata::plan {

program::Program Functionalise(program::Program program);

}  // namespace strata::plan
