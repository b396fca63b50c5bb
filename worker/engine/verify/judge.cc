#include "worker/engine/verify/judge.h"

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "worker/engine/verify/compare.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/source_scan.h"
#include "worker/engine/verify/weight_transfer.h"

namespace strata::verify {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

absl::StatusOr<std::map<std::string, std::string>> ReadWeightMap(const std::string& path) {
  std::map<std::string, std::string> map;
  if (path.empty()) return map;
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  const json parsed = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, " is no JSON object"));
  for (const auto& [key, value] : parsed.items()) {
    if (!value.is_string())
      return absl::InvalidArgumentError(absl::StrCat(path, ": the value of ", key, " is no string"));
    map[key] = value.get<std::string>();
  }
  return map;
}

// Both sides, run; the files of every trial lie below `scratch`.
struct Runs {
  std::string original_dir, refactored_dir;
  host::RunOutcome original, refactored;
  std::vector<TrialFiles> trials;
};

std::vector<TrialFiles> ListTrials(const Claim& claim, const Runs& runs) {
  std::vector<TrialFiles> trials;
  for (int workload = 0; workload < claim.workloads; ++workload) {
    for (const int64_t seed : kSeeds) {
      trials.push_back({.trial = static_cast<int>(trials.size()),
                        .seed = seed,
                        .workload = workload,
                        .original_outputs = TrialFile(runs.original_dir, "outputs", seed, workload),
                        .refactored_outputs = TrialFile(runs.refactored_dir, "outputs", seed, workload),
                        .original_after = TrialFile(runs.original_dir, "after", seed, workload),
                        .refactored_after = TrialFile(runs.refactored_dir, "after", seed, workload)});
    }
  }
  return trials;
}

Runs RunBoth(const Context& context, const Claim& claim, const TempDir& scratch) {
  Runs runs{Subfolder(scratch, "original"), Subfolder(scratch, "refactored"), {}, {}, {}};
  runs.trials = ListTrials(claim, runs);

  host::RunRequest request = MakeRequest(context, claim.original_file, "Model", runs.original_dir);
  request.record = request.save_weights = request.save_inputs = request.save_outputs = true;
  for (const TrialFiles& trial : runs.trials) {
    request.trials.push_back({.seed = trial.seed, .workload = trial.workload});
  }
  runs.original = context.zygote.Run(request, context.limits);
  if (runs.original.status != host::RunStatus::kOk) return runs;

  request = MakeRequest(context, claim.refactored_file, claim.refactored_class, runs.refactored_dir);
  request.record = request.save_outputs = true;
  request.weights_path = runs.original_dir + "/weights.bin";
  request.weight_map_path = claim.weight_map_path;
  for (const TrialFiles& trial : runs.trials) {
    request.trials.push_back(
        {.seed = trial.seed,
         .workload = trial.workload,
         .inputs_path = TrialFile(runs.original_dir, "inputs", trial.seed, trial.workload)});
  }
  runs.refactored = context.zygote.Run(request, context.limits);
  return runs;
}

ordered_json Skeleton(const Context& context, const Claim& claim) {
  const ordered_json none = ordered_json::array();
  ordered_json result = {{"timestamp", Timestamp()},
                         {"original_file", claim.original_name},
                         {"refactored_file", claim.refactored_name},
                         {"status", "ERROR"}};
  result["anticheat"] = {{"status", "ERROR"},
                         {"violations", none},
                         {"source_violations", none},
                         {"parameter_violations", none},
                         {"executed_violations", none}};
  result["weight_transfer"] = {{"status", "ERROR"},
                               {"mapped_count", 0},
                               {"unmapped_original", none},
                               {"unmapped_refactored", none},
                               {"weight_map", ordered_json::object()}};
  result["numerical_comparison"] = {{"status", "ERROR"},  {"rtol", nullptr},
                                    {"atol", nullptr},    {"input_dtype", "none"},
                                    {"num_trials", 0},    {"max_diff_across_trials", nullptr},
                                    {"bit_exact", false}, {"trials", none}};
  result["environment"] = EnvironmentJson(context);
  return result;
}

absl::StatusOr<ordered_json> SourceHalf(const Context& context, const Claim& claim) {
  absl::StatusOr<std::string> text = ReadFile(claim.refactored_file);
  if (!text.ok()) return text.status();
  absl::StatusOr<SourceScan> scan =
      ScanSource(context.zygote, context.limits, *text, claim.refactored_class, claim.imports);
  if (!scan.ok()) return scan.status();
  return SourceViolations(*scan, claim.refactored_class);
}

void FillAnticheat(const Judgement& judgement, const Claim& claim, const ordered_json& source,
                   ordered_json& anticheat) {
  const ChildScopes scopes(judgement.refactored, claim.children_dir);
  anticheat["source_violations"] = source;
  anticheat["parameter_violations"] = ParameterViolations(judgement.refactored, judgement.original, scopes,
                                                          claim.nested_parents ? claim.refactored_file : "");
  anticheat["executed_violations"] = ExecutedViolations(judgement.refactored, scopes);
  ordered_json all = ordered_json::array();
  for (const char* kind : {"source_violations", "parameter_violations", "executed_violations"}) {
    for (const ordered_json& violation : anticheat[kind]) all.push_back(violation);
  }
  anticheat["status"] = all.empty() ? "PASS" : "FAIL";
  anticheat["violations"] = all;
}

absl::StatusOr<ordered_json> Numbers(const Context& context, const Claim& claim, const Runs& runs,
                                     const program::Program& original) {
  CompareRequest request{runs.trials, OutputTolerances(original, claim.purpose), claim.allow_inf};
  absl::StatusOr<std::string> text = context.zygote.RunTrusted(
      [&]() -> absl::StatusOr<std::string> {
        absl::StatusOr<ordered_json> compared = CompareTrials(request);
        if (!compared.ok()) return compared.status();
        return compared->dump();
      },
      context.limits);
  if (!text.ok()) return text.status();
  const ordered_json compared = ordered_json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!compared.is_object()) return absl::InternalError("the comparison returned no JSON");
  Tolerance loosest = request.tolerances.empty() ? Tolerance{1e-5, 1e-6} : request.tolerances[0];
  for (const Tolerance& t : request.tolerances) loosest = t.rtol > loosest.rtol ? t : loosest;
  ordered_json numbers = {{"status", compared["status"]},
                          {"rtol", loosest.rtol},
                          {"atol", loosest.atol},
                          {"input_dtype", InputDType(original)}};
  numbers.update(compared);
  return numbers;
}

std::string FirstReason(const ordered_json& result) {
  const ordered_json& anticheat = result["anticheat"];
  if (anticheat["status"] != "PASS") {
    const ordered_json& first = anticheat["violations"][0];
    const std::string reason = first.value("reason", "");
    if (first.contains("operator")) {
      return absl::StrCat(first.value("operator", ""), " at ", first.value("file", ""), ":",
                          first.value("line", 0), ": ", reason);
    }
    for (const char* what : {"pattern", "parameter", "buffer", "module"}) {
      if (first.contains(what)) return absl::StrCat(first.value(what, ""), ": ", reason);
    }
    return reason;
  }
  if (result["weight_transfer"]["status"] != "OK") {
    return absl::StrCat("no weight of the original goes to ",
                        result["weight_transfer"]["unmapped_refactored"][0].get<std::string>());
  }
  for (const ordered_json& trial : result["numerical_comparison"]["trials"]) {
    for (const char* list : {"output_details", "inputs_after"}) {
      for (const ordered_json& detail : trial.value(list, ordered_json::array())) {
        if (detail.value("matches", true)) continue;
        return absl::StrCat("seed ", trial["seed"].get<int64_t>(), ", ",
                            list[0] == 'o' ? "output " : "input ", detail["output_idx"].get<int>(), ": ",
                            detail.value("reason", "the numbers differ"));
      }
    }
  }
  return "";
}

Judgement RunnerFailed(ordered_json result, host::RunOutcome outcome, const std::string& name) {
  Judgement judgement;
  judgement.reason = absl::StrCat(name, ": ", Describe(outcome));
  result["error"] = {{"file", name}, {"stage", outcome.stage}, {"message", outcome.message}};
  judgement.result = std::move(result);
  judgement.failure = std::move(outcome);
  return judgement;
}

}  // namespace

absl::StatusOr<Judgement> Judge(const Context& context, const Claim& claim) {
  ordered_json result = Skeleton(context, claim);
  absl::StatusOr<std::map<std::string, std::string>> weight_map = ReadWeightMap(claim.weight_map_path);
  if (!weight_map.ok()) return weight_map.status();
  absl::StatusOr<ordered_json> source = SourceHalf(context, claim);
  if (!source.ok()) return source.status();
  absl::StatusOr<TempDir> scratch = MakeScratch(context);
  if (!scratch.ok()) return scratch.status();

  Runs runs = RunBoth(context, claim, *scratch);
  if (runs.original.status != host::RunStatus::kOk) {
    return RunnerFailed(std::move(result), std::move(runs.original), claim.original_name);
  }
  if (runs.refactored.status != host::RunStatus::kOk) {
    return RunnerFailed(std::move(result), std::move(runs.refactored), claim.refactored_name);
  }

  Judgement judgement;
  judgement.failure.status = host::RunStatus::kOk;
  absl::StatusOr<program::Program> original = ReadProgram(runs.original_dir);
  if (!original.ok()) return original.status();
  judgement.original = *std::move(original);
  absl::StatusOr<program::Program> refactored = ReadProgram(runs.refactored_dir);
  if (!refactored.ok()) return refactored.status();
  judgement.refactored = *std::move(refactored);

  FillAnticheat(judgement, claim, *source, result["anticheat"]);
  result["weight_transfer"] = WeightTransferJson(judgement.original, judgement.refactored, *weight_map);
  absl::StatusOr<ordered_json> numbers = Numbers(context, claim, runs, judgement.original);
  if (!numbers.ok()) return numbers.status();
  result["numerical_comparison"] = *std::move(numbers);

  judgement.pass = result["anticheat"]["status"] == "PASS" && result["weight_transfer"]["status"] == "OK" &&
                   result["numerical_comparison"]["status"] == "PASS";
  result["status"] = judgement.pass ? "PASS" : "FAIL";
  if (!judgement.pass) judgement.reason = FirstReason(result);
  judgement.result = std::move(result);
  return judgement;
}

}  // namespace strata::verify
