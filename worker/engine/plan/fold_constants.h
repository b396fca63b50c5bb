#pragma once
// Takes out what computes nothing: casts, copies and moves of constants become constants, shape operators
// that change nothing vanish, concatenation with an empty tensor loses it. Operators that compute on
// constants stay operators.

#include "worker/engine/program/program.h"

namespace strata::plan {

program::Program FoldConstants(program::Program program);

}  // namespace strata::plan
