#include "worker/engine/verify/other_weights.h"

#include <algorithm>
#include <exception>
#include <map>
#include <set>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/engine/host/tensor_file.h"
#include "worker/engine/verify/claim_leaves.h"
#include "worker/engine/verify/draw.h"
#include "worker/engine/verify/draw_tensor.h"
#include "worker/engine/verify/runs.h"

namespace strata::verify {
namespace {

using host::TensorFile;
using nlohmann::json;
using nlohmann::ordered_json;
using Tensors = std::map<std::string, at::Tensor>;

absl::StatusOr<Tensors> ReadByKey(const std::string& path) {
  STRATA_ASSIGN_OR_RETURN(const TensorFile file, host::ReadTensorFile(path));
  return Tensors(file.tensors.begin(), file.tensors.end());
}

// The floating weights that have the values as built in every trial.
absl::StatusOr<std::set<std::string>> NeverOther(const RanClaim& claim, const Tensors& built) {
  std::set<std::string> kept;
  for (const auto& [key, tensor] : built) {
    if (tensor.is_floating_point() && tensor.numel() > 0) kept.insert(key);
  }
  std::set<std::string> seen = {claim.trials[0].weights_path};
  for (const TrialRun& trial : claim.trials) {
    if (!seen.insert(trial.weights_path).second) continue;
    STRATA_ASSIGN_OR_RETURN(const Tensors drawn, ReadByKey(trial.weights_path));
    std::erase_if(kept, [&](const std::string& key) {
      return !drawn.contains(key) || !SameValue(drawn.at(key), built.at(key));
    });
  }
  return kept;
}

// What each of them is drawn as. A buffer counts where it is equal to another, or one value all over, and
// each that it is equal to reaches the refactored model on its own: else one there may serve for both.
std::map<std::string, WeightRole> RolesOf(const RanClaim& claim, const Tensors& built,
                                          const std::set<std::string>& kept) {
  std::set<std::string> given;
  for (const auto& [to, from] : claim.weight_sources) given.insert(from);
  std::set<std::string> parameters;
  for (const auto& [key, role] : WeightRoles(claim.original[0])) {
    if (role == WeightRole::kParameter) parameters.insert(key);
  }
  std::map<std::string, WeightRole> roles;
  for (const std::string& key : kept) {
    if (!given.contains(key)) continue;
    if (parameters.contains(key)) {
      roles[key] = WeightRole::kParameter;
      continue;
    }
    const at::Tensor& value = built.at(key);
    bool twins = value.eq(value.flatten()[0]).all().item<bool>(), each = true;
    for (const auto& [other, tensor] : built) {
      if (other == key || !SameValue(tensor, value)) continue;
      twins = true;
      each &= given.contains(other);
    }
    // Positive: a spread or a variance may be among them.
    if (twins && each) roles[key] = WeightRole::kRunningVariance;
  }
  return roles;
}

absl::StatusOr<TensorFile> Outputs(const RanClaim& claim, bool refactored) {
  STRATA_ASSIGN_OR_RETURN(Leaves leaves, LeavesOf(claim, 0, refactored));
  Replay replay(refactored ? claim.refactored[0] : claim.original[0], std::move(leaves));
  STRATA_RETURN_IF_ERROR(replay.Run(claim.trials[0].seed));
  return replay.Outputs();
}

// Of one reach: the files of both sides' outputs, or why there are none.
absl::Status ReplayBoth(RanClaim& claim, const std::string& built, Reach reach,
                        const std::map<std::string, WeightRole>& roles, const TrialFiles& files) {
  claim.trials[0].weights_path = files.original_outputs + ".weights";
  // A seed that nobody has seen before.
  STRATA_RETURN_IF_ERROR(
      DrawWeights(built, roles, claim.trials.back().seed + 1, reach, claim.trials[0].weights_path));
  STRATA_ASSIGN_OR_RETURN(const TensorFile original, Outputs(claim, false));
  STRATA_RETURN_IF_ERROR(host::WriteTensorFile(files.original_outputs, original));
  STRATA_ASSIGN_OR_RETURN(const NonFinite found, FindNonFinite(files.original_outputs));
  if (found.nan || found.inf) return absl::InvalidArgumentError("it gives NaN or Inf");
  STRATA_ASSIGN_OR_RETURN(const TensorFile refactored, Outputs(claim, true));
  return host::WriteTensorFile(files.refactored_outputs, refactored);
}

// In a trusted fork: the copy is its own.
absl::StatusOr<json> Compare(RanClaim claim, CompareRequest request, const std::string& folder) {
  UseThreadsOf(claim);
  const std::string built_path = claim.trials[0].weights_path;
  STRATA_ASSIGN_OR_RETURN(const Tensors built, ReadByKey(built_path));
  STRATA_ASSIGN_OR_RETURN(const std::set<std::string> kept, NeverOther(claim, built));
  const auto roles = RolesOf(claim, built, kept);
  json result = {{"keys", json::array()}, {"problem", ""}, {"compared", nullptr}};
  if (roles.empty()) return result;
  for (const auto& [key, role] : roles) result["keys"].push_back(key);
  const TrialFiles files = {.seed = claim.trials[0].seed,
                            .workload = claim.trials[0].workload,
                            .original_outputs = folder + "/original.bin",
                            .refactored_outputs = folder + "/refactored.bin",
                            .inputs = claim.trials[0].inputs_path,
                            .scaled_atol = true,
                            .by_judge = true};
  for (const Reach reach : {Reach::kWide, Reach::kNarrow}) {
    const absl::Status status = ReplayBoth(claim, built_path, reach, roles, files);
    result["problem"] = std::string(status.message());
    if (!status.ok()) continue;
    request.trials = {files};
    STRATA_ASSIGN_OR_RETURN(const ordered_json compared, CompareTrials(request));
    result["compared"] = compared;
    return result;
  }
  return result;
}

OtherWeights Told(const json& result) {
  const json& keys = result["keys"];
  if (keys.empty()) return {};
  const std::string which =
      absl::StrCat("'", keys[0].get<std::string>(), "'",
                   keys.size() > 1 ? absl::StrCat(" and ", keys.size() - 1, " more") : "");
  OtherWeights told;
  if (const auto problem = result["problem"].get<std::string>(); !problem.empty()) {
    told.note = absl::StrCat("only the values as built compare ", which,
                             ": the recording bears no others: ", problem);
    return told;
  }
  for (const json& detail : result["compared"]["drawn_trials"][0]["output_details"]) {
    if (detail["matches"].get<bool>()) continue;
    told.differences.push_back(absl::StrCat("both recordings replayed with other values of ", which,
                                            ", output ", detail["output_idx"].get<int>(), ": ",
                                            detail.value("reason", "the numbers differ")));
  }
  return told;
}

}  // namespace

absl::StatusOr<OtherWeights> CompareOnOtherWeights(const Context& context, const RanClaim& claim,
                                                   CompareRequest request, const TempDir& scratch) {
  const std::string folder = Subfolder(scratch, "other_weights");
  STRATA_ASSIGN_OR_RETURN(
      const std::string text,
      context.zygote.RunTrusted(
          [&]() -> absl::StatusOr<std::string> {
            try {
              STRATA_ASSIGN_OR_RETURN(const json result, Compare(claim, request, folder));
              return result.dump();
            } catch (const std::exception& error) {  // torch's
              return absl::InternalError(absl::StrCat("replaying on other weights: ", error.what()));
            }
          },
          JudgingLimits(context)));
  const json result = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!result.is_object()) return absl::InternalError("replaying on other weights returned no JSON");
  return Told(result);
}

}  // namespace strata::verify
