#pragma once
// Takes out calls whose results nobody reads. Calls that write to memory or draw random numbers stay.

#include "worker/engine/program/program.h"

namespace strata::plan {

program::Program RemoveDeadCode(program::Program program);

}  // namespace strata::plan
