#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "worker/engine/verify/judge.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kScript[] = "verification/composition_test.py";

std::string RelativeTo(const std::string& bundle_dir, const std::string& file) {
  return fs::path(file).lexically_relative(bundle_dir).generic_string();
}

// The model's file and the kernels, by their stems.
std::vector<std::string> Importable(const std::string& bundle_dir, const std::string& model_file) {
  std::vector<std::string> stems = {Stem(model_file)};
  // A submission keeps its own name, which need be no identifier: 19_ReLU.py.
  if (BaseName(DirName(model_file)) == "source") stems.push_back("importlib");
  absl::StatusOr<std::vector<std::string>> kernels = ListFiles(bundle_dir + "/level_0_kernel");
  if (!kernels.ok()) return stems;
  for (const std::string& file : *kernels) stems.push_back(Stem(file));
  return stems;
}

// PASS on stdout and exit 0, as anyone would run it.
void RunScript(const Context& context, const std::string& script, CompositionVerdict& verdict) {
  Context afresh = context;
  afresh.findings = nullptr;  // its run depends on the files that it imports
  const FileVerdict file = VerifyFile(afresh, script, /*by_import=*/false);
  verdict.script_exit_code = file.outcome.exit_code;
  if (file.pass) return;
  verdict.pass = false;
  if (verdict.reason.empty()) verdict.reason = absl::StrCat(kScript, ": ", file.message);
}

}  // namespace

absl::StatusOr<CompositionVerdict> VerifyComposition(const Context& context, const std::string& bundle_dir,
                                                     const std::string& model_file,
                                                     const std::map<std::string, std::string>& weight_map) {
  absl::StatusOr<TempDir> scratch = MakeScratch(context);
  if (!scratch.ok()) return scratch.status();
  const std::string map_path = scratch->path() + "/weight_map.json";
  if (absl::Status s = WriteFile(map_path, nlohmann::json(weight_map).dump()); !s.ok()) return s;

  const std::string script = absl::StrCat(bundle_dir, "/", kScript);
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
