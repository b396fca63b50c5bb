#include "worker/engine/verify/replay_claim.h"

#include <algorithm>
#include <exception>
#include <set>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/engine/verify/digest.h"
#include "worker/engine/verify/replay.h"
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

bool OnAccelerator(const Program& program) { return program.device != "cpu"; }

absl::StatusOr<host::TensorFile> Load(const std::string& path, bool restore) {
  STRATA_ASSIGN_OR_RETURN(host::TensorFile file, host::ReadTensorFile(path));
  if (restore) return host::RestoreDevices(std::move(file));
  return file;
}

// The leaves of one side in one trial, fresh: a replay writes to them.
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
  return leaves;
}

// What the model returned and its inputs afterwards, as one digest.
absl::StatusOr<std::string> ResultDigest(Replay& replay) {
  STRATA_ASSIGN_OR_RETURN(const host::TensorFile outputs, replay.Outputs());
  return DigestOf(outputs, {"output"}) + DigestOf(replay.inputs(), {"args", "kwargs"});
}

void SetUp(const RanClaim& claim) { at::set_num_threads(claim.threads); }

// ---- children ------------------------------------------------------------------------------------------

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

void AddValues(const Tree& tree, std::set<ValueId>& out) {
  if (tree.kind == Tree::Kind::kTensor && tree.value >= 0) out.insert(tree.value);
  for (const Tree& item : tree.items) AddValues(item, out);
}

int64_t Bytes(const Program& program, const std::set<ValueId>& values) {
  int64_t bytes = 0;
  for (const ValueId id : values) {
    int64_t count = program::ElementSizeBytes(program.value(id).type.dtype);
    for (const int64_t size : program.value(id).type.sizes) count *= size;
    bytes += count;
  }
  return bytes;
}

// ---- what matters --------------------------------------------------------------------------------------

std::vector<std::pair<ChildCallId, InvocationId>> CallsOfChildren(const Program& program,
                                                                  const ChildScopes& scopes) {
  std::map<std::string, int> seen;
  std::vector<std::pair<ChildCallId, InvocationId>> calls;
  for (const ChildScopes::ChildRun& run : scopes.runs()) {
    const Invocation& invocation = program.invocations[static_cast<size_t>(run.invocation)];
    const program::Module& module = program.modules[static_cast<size_t>(invocation.module)];
    const std::string path = module.paths.empty() ? "" : module.paths[0];
    calls.push_back({{run.stem, path, seen[path]++}, run.invocation});
  }
  return calls;
}

// Zeros where `id` is: in its memory where `in_place`, else as another tensor.
void Zero(Replay& replay, ValueId id, bool in_place) {
  const absl::StatusOr<at::Tensor> tensor = replay.Read(id);
  if (!tensor.ok()) return;
  if (in_place) {
    tensor->zero_();
  } else {
    replay.Set(id, at::zeros_like(*tensor));
  }
}

class Zeroing {
 public:
  Zeroing(const RanClaim& claim, size_t index) : claim_(claim), index_(index) {}

  absl::StatusOr<std::string> Plain(bool refactored) { return Run(refactored, {}); }

  // The refactored model's result where the child of `invocation` gives zeros. "raises" where it cannot run.
  std::string WithoutChild(InvocationId invocation) {
    const Program& program = claim_.refactored[index_];
    const Invocation& child = program.invocations[static_cast<size_t>(invocation)];
    std::set<ValueId> given, written;
    AddValues(child.output, given);
    for (program::CallId id = child.begin; id < child.end; ++id) {
      for (const ValueId to : program.call(id).mutated_to) written.insert(to);
    }
    const absl::StatusOr<std::string> result = RunWith(true, [&](Replay& replay) {
      return Replay::Hooks{.enter = {},
                           .leave =
                               [&, invocation](const Invocation& left) {
                                 if (left.id != invocation) return absl::OkStatus();
                                 for (const ValueId id : given) Zero(replay, id, written.contains(id));
                                 for (const ValueId id : written) Zero(replay, id, true);
                                 return absl::OkStatus();
                               },
                           .before_call = {},
                           .after_call = {}};
    });
    return result.ok() ? *result : "raises";
  }

  // The elements of what the child gives first, to be found again in the original.
  absl::StatusOr<at::Tensor> ResultOf(InvocationId invocation) {
    const Program& program = claim_.refactored[index_];
    std::set<ValueId> given;
    AddValues(program.invocations[static_cast<size_t>(invocation)].output, given);
    at::Tensor found;
    STRATA_RETURN_IF_ERROR(RunWith(true, [&](Replay& replay) {
      return Replay::Hooks{.enter = {},
                           .leave =
                               [&, invocation](const Invocation& left) {
                                 if (left.id != invocation || given.empty()) return absl::OkStatus();
                                 const absl::StatusOr<at::Tensor> value = replay.Read(*given.begin());
                                 if (value.ok()) found = value->clone();
                                 return absl::OkStatus();
                               },
                           .before_call = {},
                           .after_call = {}};
    }));
    return found;
  }

  // Whether the original has a value with these elements and gives the same without it.
  absl::StatusOr<bool> OriginalIgnores(const at::Tensor& value) {
    std::vector<ValueId> same;
    STRATA_ASSIGN_OR_RETURN(
        const std::string plain, RunWith(false, [&](Replay& replay) {
          return Replay::Hooks{
              .enter = {}, .leave = {}, .before_call = {}, .after_call = [&](const Call& call) {
                for (const ValueId id : call.results) {
                  if (id >= 0 && Alike(replay.Get(id), value)) same.push_back(id);
                }
              }};
        }));
    for (const ValueId id : same) {
      const program::CallId producer = claim_.original[index_].value(id).producer;
      const absl::StatusOr<std::string> without = RunWith(false, [&](Replay& replay) {
        return Replay::Hooks{
            .enter = {}, .leave = {}, .before_call = {}, .after_call = [&](const Call& call) {
              if (call.id == producer) Zero(replay, id, !call.mutated_to.empty());
            }};
      });
      if (without.ok() && *without == plain) return true;
    }
    return false;
  }

  // The model's result where this call gives back its first operand of the same type; "" where it has none.
  std::string WithoutCall(bool refactored, program::CallId id) {
    const Program& program = refactored ? claim_.refactored[index_] : claim_.original[index_];
    const Call& idle = program.call(id);
    if (idle.results.size() != 1 || idle.results[0] < 0) return "";
    const program::TensorType& type = program.value(idle.results[0]).type;
    const std::vector<ValueId> reads = program::Reads(idle);
    const auto operand = std::find_if(reads.begin(), reads.end(), [&](ValueId read) {
      return program.value(read).type.dtype == type.dtype && program.value(read).type.sizes == type.sizes;
    });
    if (operand == reads.end()) return "";
    const absl::StatusOr<std::string> result = RunWith(refactored, [&](Replay& replay) {
      return Replay::Hooks{.enter = {},
                           .leave = {},
                           .before_call =
                               [&](const Call& call) {
                                 if (call.id != id) return true;
                                 const absl::StatusOr<at::Tensor> same = replay.Read(*operand);
                                 if (!same.ok()) return true;
                                 replay.Set(idle.results[0], *same);
                                 for (const ValueId to : idle.mutated_to) {
                                   if (to >= 0) replay.Set(to, *same);
                                 }
                                 return false;
                               },
                           .after_call = {}};
    });
    return result.ok() ? *result : "raises";
  }

 private:
  static bool Alike(const at::Tensor& a, const at::Tensor& b) {
    if (!a.defined() || !b.defined() || a.numel() != b.numel() || a.scalar_type() != b.scalar_type())
      return false;
    return at::equal(a.reshape({-1}), b.reshape({-1}));
  }

  absl::StatusOr<std::string> Run(bool refactored, const Replay::Hooks& hooks) {
    return RunWith(refactored, [&](Replay&) { return hooks; });
  }

  template <typename MakeHooks>
  absl::StatusOr<std::string> RunWith(bool refactored, const MakeHooks& make_hooks) {
    STRATA_ASSIGN_OR_RETURN(Leaves leaves, LeavesOf(claim_, index_, refactored));
    Replay replay(refactored ? claim_.refactored[index_] : claim_.original[index_], std::move(leaves));
    STRATA_RETURN_IF_ERROR(replay.Run(claim_.trials[index_].seed, make_hooks(replay)));
    return ResultDigest(replay);
  }

  const RanClaim& claim_;
  const size_t index_;
};

// Trials with weights and inputs of the judge tell most.
std::vector<size_t> MostTellingFirst(const RanClaim& claim) {
  std::vector<size_t> order(claim.trials.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const auto rank = [&](size_t i) {
      const TrialRun& run = claim.trials[i];
      return (run.weights != Reach::kAsBuilt ? 2 : 0) + (run.inputs == Reach::kAsBuilt ? 1 : 0);
    };
    return rank(a) > rank(b);
  });
  return order;
}

InvocationId Find(const std::vector<std::pair<ChildCallId, InvocationId>>& calls, const ChildCallId& wanted) {
  for (const auto& [call, invocation] : calls) {
    if (call.path == wanted.path && call.nth == wanted.nth) return invocation;
  }
  return program::kNoId;
}

bool Same(const ChildCallId& a, const ChildCallId& b) { return a.path == b.path && a.nth == b.nth; }

absl::StatusOr<bool> OriginalIgnores(const RanClaim& claim, const std::vector<size_t>& order,
                                     const ChildCallId& call) {
  bool found = false;
  for (const size_t index : order) {
    const Program& program = claim.refactored[index];
    const InvocationId invocation =
        Find(CallsOfChildren(program, ChildScopes(program, claim.children_dir)), call);
    if (invocation == program::kNoId) continue;
    Zeroing zeroing(claim, index);
    STRATA_ASSIGN_OR_RETURN(const at::Tensor value, zeroing.ResultOf(invocation));
    if (!value.defined()) continue;
    STRATA_ASSIGN_OR_RETURN(const bool ignores, zeroing.OriginalIgnores(value));
    if (!ignores) return false;
    found = true;
  }
  return found;
}

}  // namespace

absl::StatusOr<ReplayedTrial> ReplayTrial(const RanClaim& claim, size_t index,
                                          const std::string& border_dir) {
  SetUp(claim);
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
    std::set<ValueId> values;
    for (const auto& [name, tree] : ArgumentTrees(invocation)) AddValues(tree, values);
    AddValues(invocation.output, values);
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

absl::StatusOr<std::vector<Idle>> FindIdleChildren(const RanClaim& claim) {
  SetUp(claim);
  const std::vector<size_t> order = MostTellingFirst(claim);
  std::vector<ChildCallId> known, mattering;
  const auto matters = [&](const ChildCallId& call) {
    return std::any_of(mattering.begin(), mattering.end(), [&](const auto& m) { return Same(m, call); });
  };
  for (const size_t index : order) {
    const Program& program = claim.refactored[index];
    Zeroing zeroing(claim, index);
    std::string plain;
    for (const auto& [call, invocation] :
         CallsOfChildren(program, ChildScopes(program, claim.children_dir))) {
      if (std::none_of(known.begin(), known.end(), [&](const auto& k) { return Same(k, call); }))
        known.push_back(call);
      if (matters(call)) continue;
      if (plain.empty()) {
        STRATA_ASSIGN_OR_RETURN(plain, zeroing.Plain(true));
      }
      if (zeroing.WithoutChild(invocation) != plain) mattering.push_back(call);
    }
  }
  std::vector<Idle> idle;
  for (const ChildCallId& call : known) {
    if (matters(call)) continue;
    STRATA_ASSIGN_OR_RETURN(const bool ignores, OriginalIgnores(claim, order, call));
    idle.push_back({call, ignores});
  }
  return idle;
}

absl::StatusOr<std::vector<program::CallId>> FindIdleCalls(const RanClaim& claim, bool refactored,
                                                           const std::vector<program::CallId>& candidates) {
  SetUp(claim);
  std::vector<program::CallId> idle = candidates;
  for (size_t index = 0; index < claim.trials.size() && !idle.empty(); ++index) {
    const std::vector<Program>& side = refactored ? claim.refactored : claim.original;
    if (side[index].calls.size() != side[0].calls.size()) return std::vector<program::CallId>{};
    Zeroing zeroing(claim, index);
    STRATA_ASSIGN_OR_RETURN(const std::string plain, zeroing.Plain(refactored));
    std::erase_if(idle, [&](program::CallId id) { return zeroing.WithoutCall(refactored, id) != plain; });
  }
  return idle;
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
