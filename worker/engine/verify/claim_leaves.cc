#include "worker/engine/verify/claim_leaves.h"

#include <cmath>

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

bool Alike(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined() || a.numel() != b.numel() || a.scalar_type() != b.scalar_type())
    return false;
  const at::Tensor left = a.reshape({-1}), right = b.reshape({-1});
  if (!a.is_floating_point()) return at::equal(left, right);
  const at::Tensor ours = left.to(at::kDouble), theirs = right.to(at::kDouble);
  const double rms = ours.numel() == 0 ? 0 : std::sqrt(ours.square().mean().item<double>());
  const bool half = a.element_size() < 4;
  return at::allclose(ours, theirs, half ? 1e-2 : 1e-4, (half ? 1e-2 : 1e-5) * (std::isfinite(rms) ? rms : 0),
                      /*equal_nan=*/true);
}

void UseThreadsOf(const RanClaim& claim) { at::set_num_threads(claim.threads); }

}  // namespace strata::verify
