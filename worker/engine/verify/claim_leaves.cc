#include "worker/engine/verify/claim_leaves.h"

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "base/status.h"
#include "worker/engine/verify/digest.h"
#include "worker/engine/verify/weight_transfer.h"

namespace strata::verify {
namespace {

using program::Program;

bool OnAccelerator(const Program& program) { return program.device != "cpu"; }

absl::StatusOr<host::TensorFile> Load(const std::string& path, bool restore) {
  STRATA_ASSIGN_OR_RETURN(host::TensorFile file, host::ReadTensorFile(path));
  if (restore) return host::RestoreDevices(std::move(file));
  return file;
}

}  // namespace

absl::StatusOr<Leaves> LeavesOf(const RanClaim& claim, size_t index, bool refactored) {
  const TrialRun& run = claim.trials[index];
  const Program& program = refactored ? claim.refactored[index] : claim.original[index];
  Leaves leaves;
  STRATA_ASSIGN_OR_RETURN(leaves.inputs, Load(run.inputs_path, OnAccelerator(program)));
  STRATA_ASSIGN_OR_RETURN(const host::TensorFile weights, Load(run.weights_path, OnAccelerator(program)));
  std::map<std::string, at::Tensor> by_key;
  for (const auto& [key, tensor] : weights.tensors) by_key.emplace(key, tensor);
  if (!refactored) {
    leaves.weights = std::move(by_key);
    return leaves;
  }
  // Targets that are no ties of each other are memory of their own, though one original weight fills both.
  std::map<std::string, at::Tensor> copies;
  for (const auto& group : StateDictKeys(program)) {
    const auto source = claim.weight_sources.find(group[0]);
    if (source == claim.weight_sources.end() || !by_key.contains(source->second)) continue;
    const auto [found, first] = copies.emplace(source->second, by_key.at(source->second));
    const at::Tensor tensor = first ? found->second : found->second.clone();
    for (const std::string& key : group) leaves.weights[key] = tensor;
  }
  if (claim.built_path.empty()) return leaves;
  STRATA_ASSIGN_OR_RETURN(const host::TensorFile built, Load(claim.built_path, OnAccelerator(program)));
  for (const auto& [key, tensor] : built.tensors) leaves.weights.emplace(key, tensor);
  return leaves;
}

absl::StatusOr<std::string> ResultDigest(Replay& replay) {
  STRATA_ASSIGN_OR_RETURN(const host::TensorFile outputs, replay.Outputs());
  return DigestOf(outputs, {"output"}) + DigestOf(replay.inputs(), {"args", "kwargs"});
}

void UseThreadsOf(const RanClaim& claim) { at::set_num_threads(claim.threads); }

}  // namespace strata::verify
