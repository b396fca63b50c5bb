#include <algorithm>
#include <numeric>

#include "worker/engine/plan/kernels.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/patterns.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"

namespace strata::plan {
namespace {

using program::CallId;
using program::Invocation;
using program::InvocationId;
using program::OpClass;

// A custom formula longer than this has more than one meaning.
constexpr int kMaxFormula = 24;

struct Census {
  int contractions = 0;
  int compute = 0;  // neither plumbing nor arithmetic
  int arithmetic = 0;
  int named = 0;   // norms, pools, softmaxes, dropouts, embeddings: kernels by themselves
  int nested = 0;  // calls that an inner module made
  std::vector<CallId> calls;
  CallId main = program::kNoId;  // the last contraction, else the last compute call
};

Census Count(const program::Program& program, const Invocation& invocation) {
  Census census;
  census.calls.resize(static_cast<size_t>(invocation.end - invocation.begin));
  std::iota(census.calls.begin(), census.calls.end(), invocation.begin);
  for (CallId id : census.calls) {
    const program::Call& call = program.call(id);
    const std::string op = NameOf(call);
    if (call.scope != invocation.id) ++census.nested;
    const OpClass kind = program::Classify(program, call);
    if (kind == OpClass::kPlumbing) continue;
    if (kind == OpClass::kArithmetic) {
      ++census.arithmetic;
      continue;
    }
    ++census.compute;
    const bool heavy = IsContraction(op);
    if (heavy || census.contractions == 0) census.main = id;
    census.contractions += heavy;
    census.named += IsNormalisation(op) || IsPool(op) || IsSoftmax(op) || IsDropout(op) || op == "embedding";
  }
  return census;
}

bool AllFree(const KernelSet& kernels, const std::vector<CallId>& calls) {
  return std::all_of(calls.begin(), calls.end(), [&](CallId id) { return kernels.is_free(id); });
}

// A leaf of torch.nn: what it is called by is the operator, or the class where it runs several.
bool ClaimTorchLeaf(KernelSet* kernels, const Census& census, const program::Module& module) {
  if (census.nested > 0 || census.contractions > 1 || census.compute == 0) return false;
  const bool single = census.compute == 1 && census.arithmetic == 0;
  const std::string name = single ? TitleOf(kernels->program(), kernels->program().call(census.main))
                                  : SnakeCase(module.class_name);
  return kernels->Claim(census.calls, name, "is torch.nn." + module.class_name);
}

// RMSNorm, NewGELU: a module of our own kind with one formula in it.
bool ClaimCustomLeaf(KernelSet* kernels, const Census& census, const program::Module& module, bool is_model) {
  if (auto match = MeaningOf(kernels->flow(), census.calls)) {
    return kernels->Claim(census.calls, match->operation, match->why);
  }
  if (is_model || census.nested > 0 || census.contractions > 0 || census.named > 0) return false;
  const int formula = census.compute + census.arithmetic;
  if (census.compute == 0 || formula < 2 || formula > kMaxFormula) return false;
  return kernels->Claim(census.calls, SnakeCase(module.class_name),
                        "holds one formula and no other module: " + module.class_name);
}

}  // namespace

void FindModuleKernels(KernelSet* kernels) {
  const program::Program& program = kernels->program();
  for (const Invocation& invocation : program.invocations) {
    if (invocation.begin >= invocation.end) continue;
    const Census census = Count(program, invocation);
    if (!AllFree(*kernels, census.calls)) continue;
    const program::Module& module = ModuleOf(program, invocation.id);
    if (module.is_container) continue;
    if (module.is_torch_nn) {
      ClaimTorchLeaf(kernels, census, module);
    } else {
      ClaimCustomLeaf(kernels, census, module, invocation.parent == program::kNoId);
    }
  }
}

}  // namespace strata::plan
