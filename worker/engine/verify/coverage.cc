#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/verify/plumbing_check.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

absl::Status Stopped(const std::string& what, const host::RunOutcome& outcome) {
  return absl::AbortedError(absl::StrCat(what, ": ", Describe(outcome)));
}

// The submitted model, recorded, and the inputs it had.
absl::StatusOr<program::Program> RecordModel(const Context& context, const std::string& file,
                                             const std::string& out_dir) {
  host::RunRequest request = MakeRequest(context, file, "Model", out_dir);
  request.record = request.save_inputs = true;
  request.trials = {{.seed = kSeeds[0]}};
  const host::RunOutcome outcome = context.zygote.Run(request, context.limits);
  if (outcome.status != host::RunStatus::kOk) return Stopped(file, outcome);
  return ReadProgram(out_dir, kSeeds[0], 0);
}

// The arithmetic that ComposedModel does between its kernels, on the same inputs.
absl::StatusOr<std::map<std::string, int64_t>> ComposedArithmetic(const Context& context,
                                                                  const std::string& bundle_dir,
                                                                  const std::string& inputs_dir,
                                                                  const std::string& out_dir) {
  const std::string script = bundle_dir + "/verification/composition_test.py";
  host::RunRequest request = MakeRequest(context, script, "ComposedModel", out_dir);
  request.record = true;
  request.trials = {{.seed = kSeeds[0], .inputs_path = TrialFile(inputs_dir, "inputs", kSeeds[0], 0)}};
  const host::RunOutcome outcome = context.zygote.Run(request, context.limits);
  if (outcome.status != host::RunStatus::kOk) return Stopped(script, outcome);
  absl::StatusOr<program::Program> program = ReadProgram(out_dir, kSeeds[0], 0);
  if (!program.ok()) return program.status();
  const ChildScopes scopes(*program, bundle_dir + "/level_0_kernel");
  return ArithmeticOutside(*program, [&](program::InvocationId id) { return scopes.Inside(id); });
}

// One kernel at each of its workloads, times the runs at that workload.
absl::StatusOr<CoveringFile> CountKernel(const Context& context, const std::string& bundle_dir,
                                         const json& node) {
  CoveringFile file{.path = node.at("path").get<std::string>(), .executed = {}};
  const json& workloads = node.at("workloads");
  for (size_t k = 0; k < workloads.size(); ++k) {
    const int64_t count = workloads[k].at("count").get<int64_t>();
    absl::StatusOr<Counted> run =
        CountAlone(context, absl::StrCat(bundle_dir, "/", file.path), static_cast<int>(k));
    if (!run.ok()) return run.status();
    if (run->outcome.status != host::RunStatus::kOk) return Stopped(file.path, run->outcome);
    for (const auto& [op, executions] : run->executed.counted) file.executed[op] += executions * count;
    file.runs += count;
  }
  return file;
}

}  // namespace

absl::StatusOr<ordered_json> CoverageSummary(const Context& context, const std::string& bundle_dir,
                                             const std::string& model_file, const json& tree) {
  absl::StatusOr<TempDir> scratch = MakeScratch(context);
  if (!scratch.ok()) return scratch.status();
  const std::string model_dir = Subfolder(*scratch, "model");
  absl::StatusOr<program::Program> model = RecordModel(context, model_file, model_dir);
  if (!model.ok()) return model.status();
  absl::StatusOr<std::map<std::string, int64_t>> arithmetic =
      ComposedArithmetic(context, bundle_dir, model_dir, Subfolder(*scratch, "composed"));
  if (!arithmetic.ok()) return arithmetic.status();

  CoverageInput input{.timestamp = Timestamp(),
                      .model_file = fs::path(model_file).lexically_relative(bundle_dir).generic_string(),
                      .original = CountOperators(*model),
                      .parent_arithmetic = *std::move(arithmetic),
                      .files = {}};
  try {
    for (const auto& [id, node] : tree.at("nodes").items()) {
      if (node.at("level") != "kernel") continue;
      absl::StatusOr<CoveringFile> file = CountKernel(context, bundle_dir, node);
      if (!file.ok()) return file.status();
      input.files.push_back(*std::move(file));
    }
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("decomposition_tree.json: ", e.what()));
  }
  return CoverageJson(input, /*summary=*/true);
}

}  // namespace strata::verify
