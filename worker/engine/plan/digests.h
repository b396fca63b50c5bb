#pragma once
// Structural identity: what two occurrences must share to be one file.

#include <string>
#include <vector>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/plan.h"

namespace strata::plan {

// The identity of one node, spelled out: operators with settings, wiring, shapes of weights, dtypes, the
// operands' shapes of contractions without weights, the content of buffers and constants that its file has to
// hold; of parents also the identities of the children. Input sizes otherwise stay out. `identities` are
// those of all nodes with larger ids (children come after parents).
std::string Identity(const Dataflow& flow, const std::vector<Node>& nodes, const Node& node,
                     const std::vector<std::string>& identities);

// A short name of it: 32 hexadecimal digits.
std::string DigestOf(const std::string& identity);

// Nodes with equal digest become one component, in pre-order of the first; fills Node::component, and of the
// components everything but stem, step and step_name.
std::vector<Component> BuildComponents(const Dataflow& flow, std::vector<Node>* nodes);

}  // namespace strata::plan
