#pragma once
// Why each part is what it is, in words about this model, and the log of decisions.

#include <vector>

#include "worker/engine/plan/parts.h"

namespace strata::plan {

// Fills the reason of every kernel among the children of a settled component: what it computes, and what
// keeps it out of a fusion.
void ExplainKernels(const PartContext& context, Part* parent);

// One entry per decision that a reader may want to check: levels, formulas found, weights that are one,
// buffers with several readers. Titles name files.
std::vector<LogEntry> LogDecisions(const Plan& plan);

}  // namespace strata::plan
