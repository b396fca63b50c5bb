#pragma once
// A bundle folder read into memory. Everything in it is hostile: sizes are limited, symbolic links refused,
// JSON that is none is a violation. What is missing is a violation of rule `layout` and the rest is judged,
// so that bundles made by others, whose layout differs in details, get a verdict too. Pure but for reading.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/plan/plan.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

struct BundleLimits {
  int64_t file_bytes = int64_t{64} << 20;
  int64_t total_bytes = int64_t{1} << 30;
  int64_t files = 50'000;
};

// One JSON file. `value` is null where it is missing or no JSON; a violation says so.
struct JsonFile {
  std::string path;  // relative to the bundle
  bool exists = false;
  nlohmann::ordered_json value;
};

struct ComponentFile {
  std::string path;  // "level_0_kernel/relu_fp32.py"
  std::string stem;  // "relu_fp32"
  plan::Level level = plan::Level::kKernel;
  std::string text;
};

struct StepFolder {
  std::string name;    // "step_2_block_to_fusions"
  int number = -1;     // -1 where the name has none
  std::string parent;  // "block", as the name says; "" where it does not
  std::optional<std::string> original, refactored;
  std::map<std::string, std::string> children;  // stem -> text
  JsonFile weight_map, verification_result, coverage_report;

  std::string Path(const std::string& file) const { return "steps/" + name + "/" + file; }
};

struct BundleFiles {
  std::vector<ComponentFile> components;      // from level 3 down, by stem
  std::vector<StepFolder> steps;              // by number, then name; without step_0
  std::string step_0;                         // "steps/step_0_preparation", "" where Phase 0 made no wrapper
  std::map<std::string, std::string> source;  // path below source/ -> bytes
  std::optional<std::string> composition_script;  // verification/composition_test.py
  JsonFile tree, log, coverage_summary, step_summary, test_results;
  JsonFile wrapper_result;            // verification_result.json of step_0
  std::vector<Violation> violations;  // of rule `layout`, found while reading

  // Written by us: only then does every rule of docs/bundle_format.md hold to the letter.
  bool is_own() const;
  const ComponentFile* Find(const std::string& path) const;  // nullptr where there is none
};

// NotFound where `dir` is no folder; everything else wrong with it is in `violations`.
absl::StatusOr<BundleFiles> ReadBundle(const std::string& dir, const BundleLimits& limits = {});

}  // namespace strata::verify
