#pragma once
// `strata-engine capture FILE` and `strata-engine plan FILE`: the two intermediate forms, for people.

#include "worker/engine/pipeline/local_job.h"

namespace strata::pipeline {

// Print to stdout; exit codes as RunLocalJob.
int ShowProgram(host::Zygote& zygote, const LocalJob& job);
int ShowPlan(host::Zygote& zygote, const LocalJob& job);

}  // namespace strata::pipeline
