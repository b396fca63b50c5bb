#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/verify/judge.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/source_scan.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kScript[] = "verification/composition_test.py";

std::string RelativeTo(const std::string& bundle_dir, const std::string& file) {
  return fs::path(file).lexically_relative(bundle_dir).generic_string();
}

// The model's file and the kernels, by their stems or their folder.
std::vector<std::string> Importable(const std::string& bundle_dir, const std::string& model_file) {
  std::vector<std::string> stems = {Stem(model_file), BaseName(DirName(model_file)), "level_0_kernel"};
  // A submission keeps its own name, which need be no identifier: 19_ReLU.py.
  if (BaseName(DirName(model_file)) == "source") stems.push_back("importlib");
  absl::StatusOr<std::vector<std::string>> kernels = ListFiles(bundle_dir + "/level_0_kernel");
  if (!kernels.ok()) return stems;
  for (const std::string& file : *kernels) stems.push_back(Stem(file));
  return stems;
}

// What looks most like a weight map in the script's text; null where nothing does.
absl::StatusOr<nlohmann::json> MapOfScript(const Context& context, const std::string& script) {
  STRATA_ASSIGN_OR_RETURN(const std::string text, ReadFile(script));
  STRATA_ASSIGN_OR_RETURN(const SourceScan scan, ScanSource(context.zygote, context.limits, text,
                                                            "ComposedModel", TextRole::kScript));
  return scan.maps.empty() ? nlohmann::json() : scan.maps[0];
}

// PASS on stdout and exit 0, as anyone would run it.
void RunScript(const Context& context, const std::string& script, CompositionVerdict& verdict) {
  Context afresh = context;
  afresh.findings = nullptr;  // its run depends on the files that it imports
  const FileVerdict file = VerifyFile(afresh, script, /*by_import=*/false, /*may_write=*/true);
  verdict.script_exit_code = file.outcome.exit_code;
  if (file.pass) return;
  const host::RunStatus status = file.outcome.status;
  if (status != host::RunStatus::kOk && status != host::RunStatus::kRaised &&
      status != host::RunStatus::kExited) {
    verdict.pass = verdict.facts.pass = false;
    if (verdict.decision == Decision::kAccepted) verdict.decision = Decision::kCannotJudge;
    if (verdict.reason.empty()) verdict.reason = absl::StrCat(kScript, ": ", file.message);
    if (verdict.failure.status == host::RunStatus::kOk) verdict.failure = file.outcome;
    return;
  }
  verdict.pass = verdict.facts.pass = false;
  verdict.facts.violations.push_back({rules::kComposition, kScript, file.outcome.line, file.message,
                                      "let python verification/composition_test.py print PASS"});
  if (verdict.decision == Decision::kAccepted) verdict.decision = Decision::kRejected;
  if (verdict.reason.empty()) verdict.reason = absl::StrCat(kScript, ": ", file.message);
}

}  // namespace

absl::StatusOr<CompositionVerdict> VerifyComposition(
    const Context& context, const std::string& bundle_dir, const std::string& model_file,
    const std::optional<std::map<std::string, std::string>>& weight_map) {
  STRATA_ASSIGN_OR_RETURN(const TempDir scratch, MakeScratch(context));
  const std::string script = absl::StrCat(bundle_dir, "/", kScript);
  nlohmann::json map;
  if (weight_map) {
    map = *weight_map;
  } else {
    STRATA_ASSIGN_OR_RETURN(map, MapOfScript(context, script));
  }
  const std::string map_path = map.is_object() ? scratch.path() + "/weight_map.json" : "";
  if (map.is_object()) STRATA_RETURN_IF_ERROR(WriteFile(map_path, map.dump()));

  absl::StatusOr<Judgement> judgement = Judge(context, {.original_file = model_file,
                                                        .refactored_file = script,
                                                        .original_name = RelativeTo(bundle_dir, model_file),
                                                        .refactored_name = kScript,
                                                        .refactored_class = "ComposedModel",
                                                        .children_dir = bundle_dir + "/level_0_kernel",
                                                        .nested_parents = true,
                                                        .imports = Importable(bundle_dir, model_file),
                                                        .weight_map_path = map_path,
                                                        .workloads = 1,
                                                        .purpose = Purpose::kComposition,
                                                        .allow_inf = false});
  if (!judgement.ok()) return judgement.status();

  CompositionVerdict verdict;
  verdict.pass = judgement->pass;
  verdict.reason = judgement->reason;
  verdict.failure = judgement->failure;
  verdict.decision = judgement->decision;
  verdict.notes = std::move(judgement->notes);
  verdict.facts = std::move(judgement->facts);
  verdict.details = std::move(judgement->result);
  if (verdict.failure.status != host::RunStatus::kOk) return verdict;
  const ordered_json& numbers = verdict.details["numerical_comparison"];
  const ordered_json& max = numbers["max_diff_across_trials"];
  verdict.max_difference = max.is_number() ? max.get<double>() : -1;
  verdict.bit_exact = numbers["bit_exact"].get<bool>();
  RunScript(context, script, verdict);
  return verdict;
}

}  // namespace strata::verify
