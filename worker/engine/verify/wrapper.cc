#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/verify/judge.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

// Raised before its first forward, by the file that the verdict names so.
bool DoesNotLoad(const Judgement& judgement, const std::string& file) {
  const host::RunOutcome& failure = judgement.failure;
  return judgement.decision == Decision::kCannotJudge && failure.status == host::RunStatus::kRaised &&
         failure.stage != "forward" && judgement.result["error"]["file"] == file;
}

// The rules name files and children of a step.
Violation OfWrapper(Violation violation, const std::string& step_0, const std::string& wrapper) {
  const bool of_map = violation.file == "weight_map.json";
  violation.file = of_map ? JoinPath(step_0, violation.file) : wrapper;
  violation.advice = of_map ? "name the wrapper's weights as source/ names them, or map them here"
                            : "let the wrapper be what source/ is, operator by operator";
  return violation;
}

}  // namespace

absl::StatusOr<WrapperVerdict> VerifyWrapper(const Context& context, const std::string& bundle_dir,
                                             const std::string& step_0, const std::string& entry,
                                             const std::string& wrapper) {
  const std::string map = absl::StrCat(bundle_dir, "/", step_0, "/weight_map.json");
  STRATA_ASSIGN_OR_RETURN(Judgement judgement,
                          Judge(context, {.original_file = JoinPath(bundle_dir, entry),
                                          .refactored_file = JoinPath(bundle_dir, wrapper),
                                          .original_name = entry,
                                          .refactored_name = wrapper,
                                          .refactored_class = "Model",
                                          .children_dir = "",
                                          .source_dir = JoinPath(bundle_dir, "source"),
                                          .imports = {},
                                          .weight_map_path = FileExists(map) ? map : "",
                                          .workloads = 1,
                                          .purpose = Purpose::kWrapper,
                                          .allow_inf = false}));
  WrapperVerdict verdict{.decision = judgement.decision,
                         .reason = judgement.reason,
                         .violations = {},
                         .notes = std::move(judgement.notes),
                         .facts = std::move(judgement.facts)};
  for (Violation& violation : judgement.violations)
    verdict.violations.push_back(OfWrapper(std::move(violation), step_0, wrapper));
  if (DoesNotLoad(judgement, wrapper)) {
    verdict.decision = Decision::kRejected;
    verdict.violations.push_back(
        {rules::kAlone, wrapper, judgement.failure.line,
         absl::StrCat("without source/ it does not load: ", Describe(judgement.failure)),
         "write all that it needs of source/ into the file"});
  }
  return verdict;
}

}  // namespace strata::verify
