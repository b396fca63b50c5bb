#pragma once
// verify/: judges one step, one file, one composition. A verdict is computed here, from tensor files and
// Programs that runners left behind, in processes that have never run user code.
//
// "The numbers differ" is a result, not an error: a Status that is not ok means that no verdict exists.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/host/zygote.h"
#include "worker/engine/plan/plan.h"
#include "worker/engine/program/program.h"
#include "worker/engine/verify/bundle_facts.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/findings.h"
#include "worker/engine/verify/prices.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

struct Context {
  host::Zygote& zygote;
  host::Limits limits;
  host::NumericSetting numeric;
  std::string device = "cpu";
  std::string scratch_dir;  // on a memory file system where there is one; each call cleans up after itself
  Findings* findings = nullptr;  // of this process; without them every file is run again
  Prices* prices = nullptr;      // of this verdict, where somebody counts
};

enum class Decision : uint8_t { kAccepted, kRejected, kCannotJudge };
const char* DecisionName(Decision decision);  // "accepted", "rejected", "cannot be judged"

// The schemas of docs/bundle_format.md, as JSON. File names in them are relative to the bundle.
struct StepVerdict {
  Decision decision = Decision::kCannotJudge;
  std::vector<Violation> violations;  // files relative to the step
  std::vector<std::string> notes;     // what the reader of an acceptance should know
  // Accepted, and covered operator by operator under the original's own names: what the gate of a
  // decomposition of ours asks for. Others may spell a function otherwise.
  bool pass = false;
  nlohmann::ordered_json verification_result;  // verification_result.json
  nlohmann::ordered_json coverage_report;      // coverage_report.json
  ClaimFacts facts;                            // the same for the rules of a bundle
  host::RunOutcome failure;                    // where a runner failed: what it said; else status kOk
  std::string reason;                          // one sentence when not `pass`
};

struct StepOptions {
  int workloads = 1;           // of the component, see host::Trial
  bool is_submission = false;  // original.py is the submitted model: an Inf in its output fails
  // File stem of each child -> how many workloads its get_inputs() knows (1 where absent).
  std::map<std::string, int> child_workloads;
};

// A step folder: original.py, refactored.py, children/, and weight_map.json where there is one; judged by the
// rules of docs/judge.md, "One step", at each of the component's workloads. `step_dir` is absolute; files in
// the verdict's JSON are named steps/FOLDER/FILE where the folder lies in steps/, else FILE.
absl::StatusOr<StepVerdict> VerifyStep(const Context& context, const std::string& step_dir,
                                       const StepOptions& options);

// A folder made by anybody: a bundle, or a single step (docs/judge.md). JSON:
// {verdict, kind: step|bundle, folder, violations[], notes[], not_judged[], error?, steps[]?,
// cpu_seconds{rule: seconds}, environment}; a step's has verification_result and coverage_report besides.
struct FolderVerdict {
  Decision decision = Decision::kCannotJudge;
  std::string reason;  // one sentence when not accepted
  nlohmann::ordered_json json;
};
absl::StatusOr<FolderVerdict> VerifyFolder(const Context& context, const std::string& folder);

// `python FILE` in a runner prints the word PASS (or PASSED) and exits 0; with `by_import` (a source that has
// its own
// __main__) run_tests() is called instead.
struct FileVerdict {
  bool pass = false;
  std::string message;  // "" when it passed
  host::RunOutcome outcome;
};
// `may_write`: it may leave files behind, beside itself too.
FileVerdict VerifyFile(const Context& context, const std::string& file, bool by_import,
                       bool may_write = false);

struct CompositionVerdict {
  bool pass = false;
  double max_difference = 0;
  bool bit_exact = false;
  int script_exit_code = 0;
  std::string reason;              // one sentence when not `pass`
  nlohmann::ordered_json details;  // the fields of verification_result.json
  host::RunOutcome failure;        // where a runner failed, else status kOk
  Decision decision = Decision::kCannotJudge;
  std::vector<std::string> notes;
  ClaimFacts facts;
};
// ComposedModel of verification/composition_test.py in one runner against the submitted model's file in
// another, tolerances of the composition; and the script itself as anyone would run it. `weight_map`:
// state_dict key of the submitted model -> key of ComposedModel; without one the script's own, else a guess.
absl::StatusOr<CompositionVerdict> VerifyComposition(
    const Context& context, const std::string& bundle_dir, const std::string& model_file,
    const std::optional<std::map<std::string, std::string>>& weight_map);

struct WrapperVerdict {
  Decision decision = Decision::kCannotJudge;
  std::string reason;                 // one sentence when not accepted
  std::vector<Violation> violations;  // files relative to the bundle
  std::vector<std::string> notes;
  ClaimFacts facts;
};
// Phase 0: `wrapper`, the model's component file, computes what `entry`, a file of source/, computes. Both
// relative to the bundle, as is `step_0`, the folder of its weight_map.json where there is one. The
// submission may import what lies in source/ or is installed; the wrapper cannot see source/.
absl::StatusOr<WrapperVerdict> VerifyWrapper(const Context& context, const std::string& bundle_dir,
                                             const std::string& step_0, const std::string& entry,
                                             const std::string& wrapper);

// coverage_summary.json. `tree`: decomposition_tree.json, for the kernels' workloads and counts.
absl::StatusOr<nlohmann::ordered_json> CoverageSummary(const Context& context, const std::string& bundle_dir,
                                                       const std::string& model_file,
                                                       const nlohmann::json& tree);

// The `environment` of a verdict: {torch, python, device, numeric, isolation, engine_version}.
nlohmann::ordered_json EnvironmentJson(const Context& context);

}  // namespace strata::verify
