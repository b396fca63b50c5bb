#pragma once
// step_verification_summary.json and test_results.json, from the verdicts that lie in a task's input.

#include <string>

#include "nlohmann/json.hpp"
#include "worker/engine/pipeline/workspace.h"

namespace strata::pipeline {

struct Summaries {
  bool pass = false;  // every gate of the job passed; a verdict that is missing has not
  nlohmann::ordered_json steps, tests;
};
// `jobs`: .strata/jobs.json.
Summaries Summarize(const Workspace& files, const nlohmann::ordered_json& jobs, const std::string& timestamp);

}  // namespace strata::pipeline
