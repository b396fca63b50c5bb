#pragma once
// The families of bundle rules, one function each, and where they report to. bundle_rules.cc calls them all.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "worker/engine/verify/bundle_index.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

class Report {
 public:
  // `what` is a sentence without full stop that starts small: "relu_fp32.py executes gelu".
  void Add(const char* rule, const std::string& file, int line, const std::string& what,
           const std::string& advice);
  void Add(const char* rule, const std::string& file, const std::string& what, const std::string& advice) {
    Add(rule, file, 0, what, advice);
  }
  // In the order of Add; at most kMaxViolationsPerFile of one rule in one file.
  std::vector<Violation> Take() &&;

 private:
  std::vector<Violation> violations_;
  std::map<std::pair<std::string, std::string>, size_t> count_;
};

void CheckLayout(const BundleIndex& index, Report* report);      // files and JSON fields that must exist
void CheckChain(const BundleIndex& index, Report* report);       // originals and children, back to source/
void CheckLevels(const BundleIndex& index, Report* report);      // folder, docstring and tree; falling levels
void CheckKernels(const BundleIndex& index, Report* report);     // one meaning
void CheckFusions(const BundleIndex& index, Report* report);     // fusions, and layers that are none
void CheckNames(const BundleIndex& index, Report* report);       // what a stem says against what ran
void CheckDuplicates(const BundleIndex& index, Report* report);  // one identity, one file
void CheckDimensions(const BundleIndex& index, Report* report);  // exact shapes, model and children
void CheckAlone(const BundleIndex& index, Report* report);
void CheckComposition(const BundleIndex& index, Report* report);  // verdict, imports, runs of each kernel
void CheckCoverage(const BundleIndex& index, Report* report);
void CheckTies(const BundleIndex& index, Report* report);
// `results`: what the JSON files say against what was recomputed.
void CheckStepResults(const BundleIndex& index, Report* report);  // verification_result, coverage_report
void CheckSummaries(const BundleIndex& index, Report* report);    // verification/*.json
void CheckTree(const BundleIndex& index, Report* report);         // decomposition_tree.json: metadata, nodes
void CheckDataFlow(const BundleIndex& index, Report* report);     // its data_flow

// coverage_summary.json as recomputed from the composition's runs; null without the facts for it.
nlohmann::ordered_json RecomputedCoverage(const BundleIndex& index);

// The first line at which two texts differ, from 1.
int FirstDifference(std::string_view a, std::string_view b);
// The name of a level in tree and docstring, also "L1" and "1"; nullopt where it is none.
std::optional<plan::Level> LevelNamed(const std::string& text);
// The level that a component file says it has ("Abstraction Level: fusion"); nullopt where it says none.
std::optional<plan::Level> LevelSaidBy(const std::string& component_text);

}  // namespace strata::verify
