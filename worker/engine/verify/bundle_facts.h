#pragma once
// What the engine found out about a bundle by running its files. Filled by the caller; whatever is not filled
// is not judged. Plain data.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "worker/engine/program/program.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// One component file.
struct ComponentFacts {
  // Model recorded on its own get_inputs(workload=k), k = 0, 1, …; empty where it was not or did not run.
  std::vector<program::Program> programs;
  bool ran = false;     // `python FILE` was tried
  bool passed = false;  // … printed PASS and exited 0
  std::string message;  // else what it said
};

// One run of a child in a parent's forward.
struct ChildCall {
  std::string stem;
  std::string path;    // of its module in the parent: "blocks.0.attn"
  std::string shapes;  // ArgumentShapes of it: "fp32[2,3] i64[4]"
};

// One claim: a step, the composition, or the wrapper of Phase 0. `refactored` is the program of
// RefactoredModel, ComposedModel or the wrapper at the first workload; without invocations where it did not
// run.
struct ClaimFacts {
  bool judged = false;
  bool pass = false;
  std::optional<double> max_diff;  // nullopt where it is no number
  bool bit_exact = false;
  std::vector<Violation> violations;  // of the claim's own rules; CheckBundle repeats the composition's
  nlohmann::ordered_json verification_result;  // recomputed; null where the judge did not get that far
  nlohmann::ordered_json coverage_report;      // of a step, recomputed; null likewise
  // The children's runs in one forward, in order: per workload of the original.
  std::vector<std::vector<ChildCall>> calls;
  program::Program refactored;
  std::string children_dir;  // absolute, as `refactored` names it: whose modules are children
  // state_dict key of the original -> keys of the refactored model; a key that it does not name maps to
  // itself.
  std::map<std::string, std::vector<std::string>> weight_map;
};

struct BundleFacts {
  std::map<std::string, ComponentFacts> components;  // by bundle-relative path
  std::map<std::string, ClaimFacts> steps;           // by name of the step folder
  ClaimFacts composition;
  ClaimFacts wrapper;  // of Phase 0
  // Of a step alone: operators of its original that it does not execute under their names, but spells
  // otherwise. nullopt where that is not known.
  std::optional<std::set<std::string>> respelled;
  // Model of source/, recorded; without invocations where it was not. It need not be the component file.
  program::Program source;
};

}  // namespace strata::verify
