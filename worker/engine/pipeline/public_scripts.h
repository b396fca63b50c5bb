#pragma once
// Where the public reference scripts cannot judge a bundle (docs/bundle_format.md, "The public reference
// scripts"), and why. Pure.

#include <string>

#include "worker/engine/plan/plan.h"

namespace strata::pipeline {

// "" where they can, else a sentence that names the components and the reasons.
std::string WhyPublicScriptsCannotJudge(const plan::Plan& plan);

}  // namespace strata::pipeline
