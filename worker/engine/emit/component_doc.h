#pragma once
// The docstrings of a component file.

#include "worker/engine/emit/class_builder.h"
#include "worker/engine/emit/python_text.h"
#include "worker/engine/plan/plan.h"

namespace strata::emit {

// The header of the seed's template: Component, Abstraction Level, Parent, Children, Operations, shapes.
Lines FileDocstring(const plan::Plan& plan, const plan::Component& component,
                    const std::vector<std::string>& inputs, const std::vector<StateEntry>& state);
// What `class Model` is, and where it was taken from.
Lines ClassDocstring(const plan::Plan& plan, const plan::Component& component);
// The same header as comments, for the file of the submitted model, which begins with the source.
Lines ModelNote(const plan::Plan& plan, const plan::Component& component);

// Components that call `id`, in tree order.
std::vector<const plan::Component*> ParentsOf(const plan::Plan& plan, plan::ComponentId id);
// "linear", "relu x2": what one run executes, in order of first execution.
std::vector<std::string> OperationsOf(const plan::Plan& plan, const plan::Component& component);
// Names of the outputs: "output", or "output_0", "output_1".
std::vector<std::string> OutputNames(size_t count);
// Module path of a node ("blocks.0.attn"), "" for the model itself.
std::string ScopePath(const plan::Plan& plan, const plan::Node& node);

}  // namespace strata::emit
