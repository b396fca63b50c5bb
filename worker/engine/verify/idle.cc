#include "worker/engine/verify/idle.h"

#include <algorithm>
#include <map>
#include <set>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "worker/engine/verify/claim_leaves.h"
#include "worker/engine/verify/plumbing_check.h"
#include "worker/engine/verify/runs.h"

namespace strata::verify {
namespace {

using nlohmann::json;
using program::Call;
using program::Invocation;
using program::InvocationId;
using program::Program;
using program::ValueId;

// Which call of a child it is, in every trial: the n-th of this module.
struct ChildCallId {
  std::string stem, path;
  int nth = 0;
};
// What a child's result does to the model.
struct Idle {
  ChildCallId call;
  bool original_ignores_it = false;  // the original's own recording does not need that value either
};

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
    const std::vector<ValueId> returned = program::Tensors(child.output);
    const std::set<ValueId> given(returned.begin(), returned.end());
    std::set<ValueId> written;
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
    const std::vector<ValueId> given =
        program::Tensors(program.invocations[static_cast<size_t>(invocation)].output);
    at::Tensor found;
    STRATA_RETURN_IF_ERROR(RunWith(true, [&](Replay& replay) {
      return Replay::Hooks{.enter = {},
                           .leave =
                               [&, invocation](const Invocation& left) {
                                 if (left.id != invocation || given.empty()) return absl::OkStatus();
                                 const absl::StatusOr<at::Tensor> value = replay.Read(given[0]);
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

// Redrawn weights on the model's own inputs tell most; wide inputs saturate.
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

// In a trusted fork.
absl::StatusOr<std::vector<Idle>> FindIdleChildren(const RanClaim& claim) {
  UseThreadsOf(claim);
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

}  // namespace

absl::StatusOr<IdleFindings> CheckChildrenMatter(const Context& context, const RanClaim& claim) {
  STRATA_ASSIGN_OR_RETURN(
      const std::string text,
      context.zygote.RunTrusted(
          [&]() -> absl::StatusOr<std::string> {
            STRATA_ASSIGN_OR_RETURN(const auto idle, FindIdleChildren(claim));
            json rows = json::array();
            for (const Idle& i : idle)
              rows.push_back({i.call.stem, i.call.path, i.call.nth, i.original_ignores_it});
            return rows.dump();
          },
          JudgingLimits(context)));
  IdleFindings found;
  for (const json& row : json::parse(text)) {
    const std::string call =
        absl::StrCat("call ", row[2].get<int>() + 1, " of '", row[1].get<std::string>(), "'");
    if (row[3].get<bool>()) {
      found.notes.push_back(absl::StrCat(call, " changes nothing, and the original ignores the same value"));
      continue;
    }
    found.violations.push_back(
        {rules::kMatters, absl::StrCat("children/", row[0].get<std::string>(), ".py"), 0,
         absl::StrCat(call,
                      ": with zeros for its result the refactored model returns the same in every trial"),
         "let its result reach the output as it does in the original"});
  }
  return found;
}

absl::StatusOr<std::vector<program::CallId>> FindIdleCalls(const RanClaim& claim, bool refactored,
                                                           const std::vector<program::CallId>& candidates) {
  UseThreadsOf(claim);
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

}  // namespace strata::verify
