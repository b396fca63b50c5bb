#include <algorithm>
#include <map>

#include "worker/engine/plan/kernels.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/patterns.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"

namespace strata::plan {
namespace {

using program::Call;
using program::CallId;
using program::Frame;
using program::OpClass;

constexpr size_t kMaxCalls = 60;

struct Activation {
  std::string function;
  size_t depth = 0;
  std::vector<CallId> calls;
};

// One entry per function activation below a module's forward, outermost first.
std::vector<Activation> Activations(const program::Program& program) {
  std::map<int32_t, Activation> by_serial;
  for (const Call& call : program.calls) {
    for (size_t depth = 1; depth < call.frames.size(); ++depth) {
      Activation& activation = by_serial[call.frames[depth].serial];
      activation.function = call.frames[depth].function;
      activation.depth = depth;
      activation.calls.push_back(call.id);
    }
  }
  std::vector<Activation> activations;
  for (auto& [serial, activation] : by_serial) activations.push_back(std::move(activation));
  std::stable_sort(activations.begin(), activations.end(),
                   [](const Activation& a, const Activation& b) { return a.depth < b.depth; });
  return activations;
}

// It called no module: everything between its first and last operator is its own.
bool IsWhole(const Activation& activation) {
  const auto span = static_cast<size_t>(activation.calls.back() - activation.calls.front()) + 1;
  return span == activation.calls.size();
}

bool HasOneMeaning(const KernelSet& kernels, const Activation& activation) {
  if (activation.calls.size() > kMaxCalls || !IsWhole(activation)) return false;
  int formula = 0, named = 0;
  for (CallId id : activation.calls) {
    const Call& call = kernels.program().call(id);
    if (!kernels.is_free(id)) return false;
    const std::string op = NameOf(call);
    if (IsContraction(op)) return false;
    formula += program::Classify(kernels.program(), call) != OpClass::kPlumbing;
    named += IsNormalisation(op) || IsPool(op) || IsSoftmax(op) || IsDropout(op) || op == "embedding";
  }
  return formula >= 2 && named <= 1 && !(named == 1 && formula > 3);
}

}  // namespace

void FindFunctionKernels(KernelSet* kernels) {
  for (const Activation& activation : Activations(kernels->program())) {
    // Lambdas and comprehensions say nothing about meaning; forward is a module's.
    if (activation.function.empty() || activation.function[0] == '<' || activation.function == "forward")
      continue;
    if (!HasOneMeaning(*kernels, activation)) continue;
    const std::string name = Identifier(activation.function, "function");
    kernels->Claim(activation.calls, name, "is the whole of " + activation.function + "()");
  }
}

}  // namespace strata::plan
