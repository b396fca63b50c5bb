#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

bool IsBundle(const fs::path& folder) {
  return fs::is_directory(folder / "steps") || fs::exists(folder / "decomposition_tree.json") ||
         fs::is_directory(folder / "level_0_kernel");
}

bool IsStep(const fs::path& folder) {
  return fs::exists(folder / "original.py") && fs::exists(folder / "refactored.py");
}

std::vector<std::string> PythonFiles(const std::string& folder) {
  std::vector<std::string> files;
  const absl::StatusOr<std::vector<std::string>> all = ListFiles(folder);
  if (!all.ok()) return files;
  for (const std::string& file : *all) {
    if (absl::EndsWith(file, ".py") && file != "__init__.py") files.push_back(file);
  }
  return files;
}

// What is found on the way to a verdict.
struct Found {
  std::vector<Violation> violations;
  std::vector<std::string> notes;
  std::string cannot_judge;  // why, where something broke a limit or does not load
};

// `python FILE` for every child.
void RunAlone(const Context& context, const std::string& folder, const std::string& name, Found& found) {
  for (const std::string& file : PythonFiles(folder)) {
    const FileVerdict verdict = VerifyFile(context, JoinPath(folder, file), /*by_import=*/false);
    if (verdict.pass) continue;
    found.violations.push_back(
        {rules::kAlone, absl::StrCat(name, "/", file), verdict.outcome.line,
         absl::StrCat("python ", file, ": ", verdict.message),
         "let run_tests() pass and print PASS, with no other file, network or package"});
  }
}

FolderVerdict Conclude(const Context& context, const std::string& folder, const char* kind, Found found,
                       std::vector<std::string> not_judged) {
  FolderVerdict verdict;
  verdict.decision = !found.violations.empty()     ? Decision::kRejected
                     : !found.cannot_judge.empty() ? Decision::kCannotJudge
                                                   : Decision::kAccepted;
  if (verdict.decision == Decision::kRejected) {
    const Violation& first = found.violations[0];
    verdict.reason = absl::StrCat(first.rule, ": ", first.file, ": ", first.what);
  } else {
    verdict.reason = found.cannot_judge;
  }
  verdict.json = {{"verdict", DecisionName(verdict.decision)},
                  {"kind", kind},
                  {"folder", fs::path(folder).lexically_normal().filename().string()},
                  {"violations", ToJson(found.violations)},
                  {"notes", found.notes},
                  {"not_judged", not_judged}};
  if (!found.cannot_judge.empty()) verdict.json["error"] = found.cannot_judge;
  verdict.json["environment"] = EnvironmentJson(context);
  return verdict;
}

absl::StatusOr<FolderVerdict> JudgeStep(const Context& context, const std::string& folder) {
  Found found;
  STRATA_ASSIGN_OR_RETURN(StepVerdict step, VerifyStep(context, folder, {}));
  found.violations = std::move(step.violations);
  found.notes = std::move(step.notes);
  if (step.decision == Decision::kCannotJudge) found.cannot_judge = step.reason;
  RunAlone(context, folder + "/children", "children", found);
  FolderVerdict verdict =
      Conclude(context, folder, "step", std::move(found), {"chain", "tree", "composition"});
  verdict.json["verification_result"] = std::move(step.verification_result);
  verdict.json["coverage_report"] = std::move(step.coverage_report);
  return verdict;
}

}  // namespace

const char* DecisionName(Decision decision) {
  switch (decision) {
    case Decision::kAccepted:
      return "accepted";
    case Decision::kRejected:
      return "rejected";
    case Decision::kCannotJudge:
      break;
  }
  return "cannot be judged";
}

absl::StatusOr<FolderVerdict> VerifyFolder(const Context& context, const std::string& folder) {
  if (IsStep(folder)) return JudgeStep(context, folder);
  if (IsBundle(folder)) return absl::UnimplementedError("bundles");
  return absl::InvalidArgumentError(absl::StrCat(
      folder, " is neither a bundle (steps/, level_0_kernel/) nor a step (original.py, refactored.py)"));
}

}  // namespace strata::verify
