#pragma once

#include <string>
#include <vector>

#include "worker/engine/plan/plan.h"

namespace strata::emit {

// Names of a component's forward parameters, parallel to node.inputs: those of the module's own forward, of
// the operator's schema, or of the variables that the source passes. Distinct identifiers.
std::vector<std::string> InputNames(const plan::Plan& plan, const plan::Node& node);

// The name under which the source assigns the value, "" where it is not known.
std::string SourceName(const program::Program& program, program::ValueId id);

}  // namespace strata::emit
