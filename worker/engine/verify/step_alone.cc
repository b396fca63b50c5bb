#include "worker/engine/verify/step_alone.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/bundle_compare.h"
#include "worker/engine/verify/bundle_json.h"
#include "worker/engine/verify/bundle_names.h"
#include "worker/engine/verify/bundle_program.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/plumbing_check.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using program::Call;
using program::Program;

// Names of the operators among calls[begin, end) that count.
std::set<std::string> OperatorsOf(const Program& program, program::CallId begin, program::CallId end) {
  const std::vector<bool> live = LiveCalls(program);
  std::set<std::string> names;
  for (program::CallId id = begin; id < end; ++id) {
    const Call& call = program.call(id);
    if (live[static_cast<size_t>(id)] && program::Classify(program, call) != program::OpClass::kPlumbing)
      names.insert(program::OperatorName(call.op));
  }
  return names;
}

std::string Told(const std::set<std::string>& names) {
  return names.empty() ? "nothing" : absl::StrJoin(names, ", ");
}

bool ComputesOutside(const Program& program, const ChildScopes& scopes) {
  const std::vector<bool> live = LiveCalls(program);
  return std::any_of(program.calls.begin(), program.calls.end(), [&](const Call& call) {
    return live[static_cast<size_t>(call.id)] && !scopes.Inside(call.scope) &&
           program::Classify(program, call) != program::OpClass::kPlumbing;
  });
}

JsonFile ReadStated(const std::string& folder, const std::string& name, std::vector<Violation>& violations) {
  JsonFile file{.path = name};
  std::error_code error;
  const fs::file_status status = fs::symlink_status(JoinPath(folder, name), error);
  file.exists = !error && fs::exists(status);
  if (!file.exists) return file;
  ParsedJson parsed;
  if (!fs::is_regular_file(status)) {
    parsed.error = "no regular file";
  } else {
    const absl::StatusOr<std::string> text = ReadFile(JoinPath(folder, name), BundleLimits().file_bytes);
    if (text.ok())
      parsed = ParseHostileJson(*text);
    else
      parsed.error = absl::StrCat("larger than ", BundleLimits().file_bytes, " bytes, or not readable");
  }
  if (parsed.error.empty() && !parsed.value.is_object()) parsed.error = "no JSON object";
  if (!parsed.error.empty()) {
    violations.push_back({rules::kResults, name, 0, absl::StrCat(name, " is not read: ", parsed.error),
                          "write valid JSON, or leave the file out"});
  }
  if (parsed.error.empty()) file.value = std::move(parsed.value);
  return file;
}

// A report names files by the bundle that its step is from.
ordered_json WithoutPaths(ordered_json report) {
  report.erase("model_file");
  for (ordered_json& detail : report["coverage"]["op_details"]) detail.erase("kernel_files");
  return report;
}

}  // namespace

StatedResults ReadStatedResults(const std::string& folder) {
  StatedResults stated;
  stated.verification_result = ReadStated(folder, "verification_result.json", stated.violations);
  stated.coverage_report = ReadStated(folder, "coverage_report.json", stated.violations);
  return stated;
}

std::vector<Violation> ResultsViolations(const StatedResults& stated, const ClaimFacts& step,
                                         std::vector<std::string>& not_judged) {
  std::vector<Violation> violations = stated.violations;
  Report report;
  for (const JsonFile* file : {&stated.verification_result, &stated.coverage_report}) {
    if (!file->value.is_object()) continue;
    const bool is_result = file == &stated.verification_result;
    const ordered_json& own = is_result ? step.verification_result : step.coverage_report;
    const bool compared = step.judged && own.is_object() && !At(file->value, "status").is_null();
    not_judged.push_back(absl::StrCat(compared ? "paths in " : "", file->path));
    if (!compared) continue;
    if (is_result)
      CompareVerdict(*file, file->value, own, "", /*is_own=*/false, &report);
    else
      CompareCoverage(*file, WithoutPaths(own), /*is_own=*/false, &report);
  }
  std::vector<Violation> found = std::move(report).Take();
  violations.insert(violations.end(), std::make_move_iterator(found.begin()),
                    std::make_move_iterator(found.end()));
  return violations;
}

std::vector<Violation> StepAloneViolations(const BundleFiles& files, const BundleFacts& facts,
                                           const ClaimFacts& step) {
  std::vector<Violation> violations;
  const Program& refactored = step.refactored;
  if (refactored.invocations.empty()) return violations;
  const ChildScopes scopes(refactored, step.children_dir);
  for (const ComponentFile& component : files.components) {
    const auto found = facts.components.find(component.path);
    if (found == facts.components.end() || found->second.programs.empty()) continue;
    const Program& alone = found->second.programs[0];
    const std::optional<plan::Level> said = LevelSaidBy(component.text);
    const bool whole = scopes.runs().size() == 1 && scopes.runs()[0].stem == component.stem &&
                       !ComputesOutside(refactored, scopes);
    if (whole && said != plan::Level::kKernel) {
      const ExecutedComponent executed(alone);
      if (executed.ok() && executed.level() > said.value_or(plan::Level::kKernel)) {
        violations.push_back({rules::kLevels, component.path, 0,
                              absl::StrCat("it is the whole of original.py, a ",
                                           plan::LevelName(executed.level()), ": nothing is decomposed"),
                              "make its parts the children"});
      }
    }
    if (!said) {
      const std::string hidden = OperatorsNotNamed(ReadName(component.stem), ExecutedComponent(alone));
      if (!hidden.empty())
        violations.push_back({rules::kNames, component.path, 0, absl::StrCat(component.path, " ", hidden),
                              "name what the file executes, and its level"});
    }
    if (said != plan::Level::kKernel) continue;
    const std::set<std::string> own = OperatorsOf(alone, 0, static_cast<program::CallId>(alone.calls.size()));
    for (const ChildScopes::ChildRun& run : scopes.runs()) {
      if (run.stem != component.stem) continue;
      const program::Invocation& child = refactored.invocations[static_cast<size_t>(run.invocation)];
      const std::set<std::string> here = OperatorsOf(refactored, child.begin, child.end);
      if (here == own) continue;
      violations.push_back({rules::kKernel, component.path, 0,
                            absl::StrCat("alone it executes ", Told(own), ", in the parent ", Told(here)),
                            "write one file for each kernel"});
      break;
    }
  }
  return violations;
}

}  // namespace strata::verify
