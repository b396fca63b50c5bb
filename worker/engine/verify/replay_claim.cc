#include "worker/engine/verify/replay_claim.h"

#include <algorithm>
#include <set>

#include "ATen/ATen.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/engine/verify/claim_leaves.h"
#include "worker/engine/verify/digest.h"
#include "worker/engine/verify/runs.h"

namespace strata::verify {
namespace {

using nlohmann::json;
using program::Call;
using program::Invocation;
using program::InvocationId;
using program::Program;
using program::Tree;
using program::ValueId;

// Watches the borders of the children in one replay.
class BorderWatch {
 public:
  BorderWatch(const RanClaim& claim, size_t index, Replay& replay, const Leaves& leaves, std::string dir)
      : program_(claim.refactored[index]),
        index_(index),
        scopes_(program_, claim.children_dir),
        replay_(replay),
        weights_(leaves.weights),
        dir_(std::move(dir)),
        random_(std::any_of(program_.calls.begin(), program_.calls.end(),
                            [](const Call& call) { return (call.marks & program::kRandom) != 0; })) {
    for (const ChildScopes::ChildRun& run : scopes_.runs()) stems_[run.invocation] = run.stem;
  }

  Replay::Hooks Hooks() {
    return {.enter = [this](const Invocation& i) { return Enter(i); },
            .leave = [this](const Invocation& i) { return Leave(i); },
            .before_call = {},
            .after_call = [this](const Call& call) { AfterCall(call); }};
  }

  std::vector<ChildRun> children;

 private:
  absl::Status Enter(const Invocation& invocation) {
    const auto stem = stems_.find(invocation.id);
    if (stem == stems_.end()) return absl::OkStatus();
    const program::Module& module = program_.modules[static_cast<size_t>(invocation.module)];
    ChildRun run{.trial = index_,
                 .invocation = invocation.id,
                 .stem = stem->second,
                 .class_name = ClassName(module),
                 .path = module.paths.empty() ? "" : module.paths[0],
                 .name = absl::StrCat(index_, "_", invocation.id)};
    run.inputs_path = absl::StrCat(dir_, "/inputs_", run.name, ".bin");
    STRATA_ASSIGN_OR_RETURN(const host::TensorFile inputs, replay_.Collect(ArgumentTrees(invocation)));
    STRATA_RETURN_IF_ERROR(host::WriteTensorFile(run.inputs_path, inputs));
    if (random_) STRATA_RETURN_IF_ERROR(SaveGenerator(run));
    STRATA_RETURN_IF_ERROR(SaveChangedWeights(run));
    open_[invocation.id] = children.size();
    children.push_back(std::move(run));
    return absl::OkStatus();
  }

  absl::Status Leave(const Invocation& invocation) {
    const auto open = open_.find(invocation.id);
    if (open == open_.end()) return absl::OkStatus();
    auto trees = ArgumentTrees(invocation);
    STRATA_ASSIGN_OR_RETURN(const host::TensorFile after, replay_.Collect(trees));
    STRATA_ASSIGN_OR_RETURN(const host::TensorFile output, replay_.Collect({{"output", invocation.output}}));
    children[open->second].digest = DigestOf(output, {"output"}) + DigestOf(after, {"args", "kwargs"});
    return absl::OkStatus();
  }

  // "file.Outer.Inner" -> "Outer.Inner": the module's own name has no dot in a child file.
  static std::string ClassName(const program::Module& module) {
    const std::string& name = module.qualified_class;
    const size_t at = name.rfind("." + module.class_name);
    const std::string prefix = at == std::string::npos ? "" : name.substr(0, at);
    const size_t outer = prefix.rfind('.');
    const std::string last = prefix.substr(outer == std::string::npos ? 0 : outer + 1);
    const bool nested = !last.empty() && std::isupper(static_cast<unsigned char>(last[0])) != 0;
    return nested ? last + "." + module.class_name : module.class_name;
  }

  absl::Status SaveGenerator(ChildRun& run) {
    const at::Device device(program_.device == "cpu" ? at::kCPU : at::Device(program_.device).type());
    host::TensorFile file;
    const at::Generator& generator = at::globalContext().defaultGenerator(device);
    file.tensors.emplace_back("state", generator.get_state());
    run.generator_path = absl::StrCat(dir_, "/generator_", run.name, ".bin");
    return host::WriteTensorFile(run.generator_path, file);
  }

  // A child that wrote to a buffer of its own goes on with that.
  absl::Status SaveChangedWeights(ChildRun& run) {
    const std::string prefix = run.path + ".";
    host::TensorFile file;
    bool changed = false;
    for (const auto& [key, tensor] : weights_) {
      if (!absl::StartsWith(key, prefix)) continue;
      file.tensors.emplace_back(key.substr(prefix.size()), tensor);
      changed |= written_.contains(tensor.storage().unsafeGetStorageImpl());
    }
    if (!changed) return absl::OkStatus();
    run.weights_path = absl::StrCat(dir_, "/weights_", run.name, ".bin");
    return host::WriteTensorFile(run.weights_path, file);
  }

  void AfterCall(const Call& call) {
    for (const ValueId id : call.mutated_to) {
      if (id >= 0 && replay_.Get(id).defined() && replay_.Get(id).has_storage())
        written_.insert(replay_.Get(id).storage().unsafeGetStorageImpl());
    }
  }

  const Program& program_;
  const size_t index_;
  const ChildScopes scopes_;
  Replay& replay_;
  const std::map<std::string, at::Tensor> weights_;
  const std::string dir_;
  const bool random_;
  std::map<InvocationId, std::string> stems_;
  std::map<InvocationId, size_t> open_;
  std::set<const void*> written_;
};

int64_t Bytes(const Program& program, const std::set<ValueId>& values) {
  int64_t bytes = 0;
  for (const ValueId id : values) {
    int64_t count = program::ElementSizeBytes(program.value(id).type.dtype);
    for (const int64_t size : program.value(id).type.sizes) count *= size;
    bytes += count;
  }
  return bytes;
}

}  // namespace

absl::StatusOr<ReplayedTrial> ReplayTrial(const RanClaim& claim, size_t index,
                                          const std::string& border_dir) {
  UseThreadsOf(claim);
  ReplayedTrial replayed;
  const TrialRun& run = claim.trials[index];
  STRATA_ASSIGN_OR_RETURN(Leaves leaves, LeavesOf(claim, index, true));
  Leaves watched{.inputs = {}, .weights = leaves.weights};
  Replay replay(claim.refactored[index], std::move(leaves));
  BorderWatch watch(claim, index, replay, watched, border_dir);
  if (absl::Status ran = replay.Run(run.seed, watch.Hooks()); !ran.ok()) {
    replayed.problem = absl::StrCat("its recording cannot be executed again: ", ran.message());
    return replayed;
  }
  STRATA_ASSIGN_OR_RETURN(const std::string mine, ResultDigest(replay));
  STRATA_ASSIGN_OR_RETURN(
      const std::string theirs,
      DigestOfChildFiles(TrialFile(claim.refactored_dir, "outputs", run.seed, run.workload),
                         TrialFile(claim.refactored_dir, "after", run.seed, run.workload)));
  if (mine != theirs) replayed.problem = "the operators that it executed give other bits than it returned";
  replayed.children = std::move(watch.children);
  return replayed;
}

int64_t BorderBytes(const RanClaim& claim, size_t index) {
  const Program& program = claim.refactored[index];
  const ChildScopes scopes(program, claim.children_dir);
  int64_t bytes = 0;
  for (const ChildScopes::ChildRun& run : scopes.runs()) {
    const Invocation& invocation = program.invocations[static_cast<size_t>(run.invocation)];
    const auto given = program::TensorsOfArguments(invocation),
               returned = program::Tensors(invocation.output);
    std::set<ValueId> values(given.begin(), given.end());
    values.insert(returned.begin(), returned.end());
    bytes += Bytes(program, values);
  }
  return bytes;
}

absl::StatusOr<std::string> DigestOfChildFiles(const std::string& outputs_path,
                                               const std::string& after_path) {
  STRATA_ASSIGN_OR_RETURN(const host::TensorFile outputs, host::ReadTensorFile(outputs_path));
  STRATA_ASSIGN_OR_RETURN(const host::TensorFile after, host::ReadTensorFile(after_path));
  return DigestOf(outputs, {"output"}) + DigestOf(after, {"args", "kwargs"});
}
json ToJson(const ReplayedTrial& trial) {
  json children = json::array();
  for (const ChildRun& run : trial.children) {
    children.push_back({run.trial, run.invocation, run.stem, run.class_name, run.path, run.name,
                        run.inputs_path, run.generator_path, run.weights_path, run.digest});
  }
  return {{"problem", trial.problem}, {"children", children}};
}

ReplayedTrial ReplayedTrialFromJson(const json& json) {
  ReplayedTrial trial{.problem = json.at("problem"), .children = {}};
  for (const auto& row : json.at("children")) {
    trial.children.push_back(
        {row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9]});
  }
  return trial;
}

}  // namespace strata::verify
