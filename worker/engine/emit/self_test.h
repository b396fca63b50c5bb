#pragma once
// run_tests() of a component file, as in the seed's template.

#include "worker/engine/emit/python_text.h"
#include "worker/engine/plan/plan.h"

namespace strata::emit {

Lines SelfTest(const plan::Plan& plan, const plan::Component& component);

}  // namespace strata::emit
