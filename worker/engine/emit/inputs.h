#pragma once
// get_inputs(): tensors of the recorded shapes, dtypes and value domains.

#include <string>
#include <vector>

#include "worker/engine/emit/python_text.h"
#include "worker/engine/plan/plan.h"

namespace strata::emit {

// One drawn tensor. `sizes` is how its shape is said inside a call: "64, 784" or `*shapes["x"]`.
// `depends_on_shape` is set where the text only fits this very shape (a listed mask).
std::string DrawInput(const program::Program& program, program::ValueId id, const std::string& sizes,
                      bool* depends_on_shape);

// WORKLOADS (where there are several), get_inputs, get_init_inputs and get_expected_output_shape of a
// component.
Lines InputFunctions(const plan::Plan& plan, const plan::Component& component,
                     const std::vector<std::string>& names, const std::vector<std::string>& init_values);

// get_inputs, get_input_kwargs (where it has keyword arguments) and get_init_inputs for the refactored
// submitted model: the arguments of its recorded call.
Lines ModelInputFunctions(const plan::Plan& plan);

}  // namespace strata::emit
