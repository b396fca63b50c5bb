#pragma once
// What a parent calls its children: the model's own module paths where they have one ("blocks.2", "q_proj"),
// else what they do ("relu", "matmul_scores").

#include <vector>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/plan.h"

namespace strata::plan {

// Fills Node::attribute. Within one parent equal attributes mean one instance called several times: the same
// module, or a component without weights. No attribute is a dotted prefix of another.
void NameAttributes(const Dataflow& flow, std::vector<Node>* nodes);

}  // namespace strata::plan
