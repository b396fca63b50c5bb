#pragma once
// verify/: judges one step, one file, one composition. A verdict is computed here, from tensor files and
// Programs that runners left behind, in processes that have never run user code.
//
// "The numbers differ" is a result, not an error: a Status that is not ok means that no verdict exists.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/host/zygote.h"
#include "worker/engine/plan/plan.h"
#include "worker/engine/program/program.h"

namespace strata::verify {

struct Context {
  host::Zygote& zygote;
  host::Limits limits;
  host::NumericSetting numeric;
  std::string device = "cpu";
  std::string scratch_dir;  // on a memory file system where there is one; each call cleans up after itself
};

// The schemas of docs/bundle_format.md, as JSON.
struct StepVerdict {
  bool pass = false;
  nlohmann::ordered_json verification_result;  // verification_result.json
  nlohmann::ordered_json coverage_report;      // coverage_report.json
  host::RunOutcome failure;                    // where a runner failed: what it said
};

// A step folder: original.py, refactored.py, children/, weight_map.json. Original and refactored run in
// separate runners on the same weights and inputs, seeds 42 to 44, at each of the component's `workloads`
// (get_inputs(workload=k), see host::Trial; at least 1). Every recorded call outside the children is
// held against the plumbing table.
absl::StatusOr<StepVerdict> VerifyStep(const Context& context, const std::string& step_dir,
                                       int workloads);

// `python FILE` in a runner prints PASS and exits 0.
struct FileVerdict {
  bool pass = false;
  std::string message;
  host::RunOutcome outcome;
};
FileVerdict VerifyFile(const Context& context, const std::string& file, bool by_import);

struct CompositionVerdict {
  bool pass = false;
  double max_difference = 0;
  bool bit_exact = false;
  nlohmann::ordered_json details;
  host::RunOutcome failure;
};
// ComposedModel of verification/composition_test.py in one runner against the submitted model's file in
// another, tolerances of the composition; and the script itself as anyone would run it.
absl::StatusOr<CompositionVerdict> VerifyComposition(const Context& context, const std::string& bundle_dir,
                                                     const std::string& model_file);

// How often each counted operator ran, by the counting rule of docs/bundle_format.md.
struct OperatorCounts {
  std::vector<std::pair<std::string, int64_t>> counted;   // name -> executions, sorted by name
  std::vector<std::pair<std::string, int64_t>> plumbing;  // listed, never counted
};
OperatorCounts CountOperators(const program::Program& program);

// coverage_summary.json.
absl::StatusOr<nlohmann::ordered_json> CoverageSummary(const Context& context, const std::string& bundle_dir,
                                                       const std::string& model_file, const nlohmann::json& tree);

}  // namespace strata::verify
