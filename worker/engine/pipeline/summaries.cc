#include "worker/engine/pipeline/summaries.h"

#include "absl/strings/str_cat.h"

namespace strata::pipeline {
namespace {

using nlohmann::ordered_json;

ordered_json ReadOrNull(const Workspace& files, const std::string& path) {
  absl::StatusOr<ordered_json> json = files.ReadJson(path);
  return json.ok() && json->is_object() ? *json : ordered_json(nullptr);
}

// json[first][second], null where there is none.
ordered_json Get(const ordered_json& json, const char* first, const char* second) {
  if (!json.is_object() || !json.contains(first) || !json[first].is_object()) return nullptr;
  return json[first].value(second, ordered_json(nullptr));
}

ordered_json StepEntry(const Workspace& files, const std::string& step) {
  const ordered_json verdict = ReadOrNull(files, absl::StrCat("steps/", step, "/verification_result.json"));
  const ordered_json coverage = ReadOrNull(files, absl::StrCat("steps/", step, "/coverage_report.json"));
  return {{"step_name", step},
          {"verification_status",
           verdict.is_null() ? ordered_json("SKIPPED") : verdict.value("status", ordered_json("ERROR"))},
          {"coverage_pct", Get(coverage, "coverage", "coverage_pct")},
          {"max_diff", Get(verdict, "numerical_comparison", "max_diff_across_trials")},
          {"anticheat_status", Get(verdict, "anticheat", "status")},
          {"coverage_status",
           coverage.is_null() ? ordered_json(nullptr) : coverage.value("status", ordered_json(nullptr))}};
}

struct Tally {
  int64_t total = 0, passed = 0, failed = 0, skipped = 0;
  bool all() const { return passed == total; }
};

ordered_json StepSummary(const Workspace& files, const ordered_json& components, const std::string& timestamp,
                         Tally& tally) {
  ordered_json steps = ordered_json::array();
  for (const ordered_json& component : components) {
    const std::string step = component.value("step", "");
    if (step.empty()) continue;
    ordered_json entry = StepEntry(files, step);
    const bool covered = entry["coverage_status"] == "FULL_COVERAGE";
    tally.total++;
    if (entry["verification_status"] == "PASS" && !covered) entry["verification_status"] = "FAIL";
    if (entry["verification_status"] == "SKIPPED") {
      tally.skipped++;
    } else if (entry["verification_status"] == "PASS") {
      tally.passed++;
    } else {
      tally.failed++;
    }
    steps.push_back(std::move(entry));
  }
  return {{"timestamp", timestamp},     {"decomp_dir", "."},      {"status", tally.all() ? "PASS" : "FAIL"},
          {"total_steps", tally.total}, {"passed", tally.passed}, {"failed", tally.failed},
          {"skipped", tally.skipped},   {"steps", steps}};
}

ordered_json TestSummary(const Workspace& files, const ordered_json& components, const std::string& timestamp,
                         Tally& tally) {
  ordered_json results = ordered_json::array();
  for (const ordered_json& component : components) {
    const std::string path = component.value("path", ""), id = component.value("id", "");
    const ordered_json test = ReadOrNull(files, absl::StrCat(".strata/tests/", id, ".json"));
    tally.total++;
    if (test.is_null()) {
      tally.skipped++;
      if (files.Has(path)) results.push_back({{"file", path}, {"status", "SKIPPED"}});
      continue;
    }
    const bool pass = test.value("status", "") == "PASS";
    (pass ? tally.passed : tally.failed)++;
    ordered_json result = {{"file", path}, {"status", pass ? "PASS" : "FAIL"}};
    if (!pass) result["message"] = test.value("message", "");
    results.push_back(std::move(result));
  }
  const ordered_json composition = ReadOrNull(files, ".strata/composition.json");
  const bool has_composition = !composition.is_null();
  ordered_json json = {
      {"timestamp", timestamp},
      {"total_components", tally.total},
      {"passed", tally.passed},
      {"failed", tally.failed},
      {"skipped", tally.skipped},
      {"composition_test", has_composition ? composition.value("status", "FAIL") : "SKIPPED"},
      {"max_difference", has_composition ? composition["max_difference"] : ordered_json(nullptr)},
      {"component_results", results}};
  if (has_composition) json["composition"] = composition.value("details", ordered_json::object());
  return json;
}

}  // namespace

Summaries Summarize(const Workspace& files, const ordered_json& jobs, const std::string& timestamp) {
  const ordered_json components = jobs.value("components", ordered_json::array());
  Tally steps, tests;
  Summaries summaries;
  summaries.steps = StepSummary(files, components, timestamp, steps);
  summaries.tests = TestSummary(files, components, timestamp, tests);
  const ordered_json coverage = ReadOrNull(files, "verification/coverage_summary.json");
  const bool covered = !coverage.is_null() && coverage.value("status", "") == "FULL_COVERAGE";
  summaries.pass = !components.empty() && steps.all() && tests.all() && covered &&
                   summaries.tests["composition_test"] == "PASS";
  return summaries;
}

}  // namespace strata::pipeline
