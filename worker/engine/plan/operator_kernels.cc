#include <algorithm>
#include <set>

#include "worker/engine/plan/kernels.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/pattern_tools.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"

namespace strata::plan {
namespace {

using program::Call;
using program::CallId;
using program::kNoId;
using program::OpClass;
using program::ValueId;
using program::ValueKind;

bool IsHeldKind(ValueKind kind) {
  return kind == ValueKind::kParameter || kind == ValueKind::kBuffer || kind == ValueKind::kConstant;
}

// The value is a parameter, buffer or constant, straight or through data movement in the same scope.
bool IsOwnTensor(const Dataflow& flow, ValueId id, program::InvocationId scope) {
  const program::Value& value = flow.program().value(id);
  if (value.is_wrapped_number) return false;
  // A buffer or constant with several readers is the parent's, and so is the arithmetic with it.
  if (value.kind == ValueKind::kBuffer || value.kind == ValueKind::kConstant)
    return flow.readers(id).size() == 1;
  if (value.kind != ValueKind::kResult) return IsHeldKind(value.kind);
  const CallId producer = flow.producer(id);
  if (producer == kNoId || !flow.independent_of_input(producer)) return false;
  const Call& call = flow.program().call(producer);
  if (call.scope != scope || program::Classify(flow.program(), call) != OpClass::kPlumbing) return false;
  for (ValueId operand : patterns::Tensors(flow, call)) {
    if (IsOwnTensor(flow, operand, scope)) return true;
  }
  return false;
}

// Arithmetic with a weight is that weight's operator; arithmetic between results is the parent's.
bool TakesOwnTensor(const Dataflow& flow, const Call& call) {
  for (ValueId operand : patterns::Tensors(flow, call)) {
    if (IsOwnTensor(flow, operand, call.scope)) return true;
  }
  return false;
}

bool IsKernelByItself(const Dataflow& flow, const Call& call) {
  switch (program::Classify(flow.program(), call)) {
    case OpClass::kPlumbing:
      return false;
    case OpClass::kArithmetic:
      return !flow.independent_of_input(call.id) && TakesOwnTensor(flow, call);
    case OpClass::kCompute:
      return true;
  }
  return true;
}

void ClaimSingleOperators(KernelSet* kernels, bool dependent) {
  for (const Call& call : kernels->program().calls) {
    if (!kernels->is_free(call.id) || kernels->flow().independent_of_input(call.id) == dependent) continue;
    if (IsKernelByItself(kernels->flow(), call)) {
      kernels->Claim({call.id}, TitleOf(kernels->program(), call), "is one " + NameOf(call) + " operator");
    }
  }
}

// A free call that works on weights and constants alone and is read by one kernel of its scope belongs to it.
bool Sinks(const KernelSet& kernels, const Call& call, int* into) {
  const Dataflow& flow = kernels.flow();
  if (!kernels.is_free(call.id) || !flow.independent_of_input(call.id)) return false;
  *into = -1;
  for (ValueId made : flow.makes(call.id)) {
    if (flow.is_output(made)) return false;
    for (CallId reader : flow.readers(made)) {
      const int kernel = kernels.of(reader);
      if (kernel < 0 || (*into >= 0 && kernel != *into)) return false;
      *into = kernel;
    }
  }
  if (*into < 0) return false;
  const Kernel& kernel = kernels.kernel(*into);
  // A torch.nn module keeps its borders; positions made by arange stay with whoever calls the embedding.
  if (kernel.operation == "embedding" || kernel.why.starts_with("is torch.nn.")) return false;
  return std::all_of(kernel.calls.begin(), kernel.calls.end(),
                     [&](CallId id) {
                       return program::Encloses(kernels.program(), call.scope,
                                                kernels.program().call(id).scope);
                     }) &&
         std::any_of(kernel.calls.begin(), kernel.calls.end(),
                     [&](CallId id) { return kernels.program().call(id).scope == call.scope; });
}

void SinkConstants(KernelSet* kernels) {
  bool changed = true;
  while (changed) {
    changed = false;
    const auto& calls = kernels->program().calls;
    for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
      int into = -1;
      if (!Sinks(*kernels, *call, &into)) continue;
      changed |= kernels->Claim({call->id, kernels->kernel(into).calls[0]}, kernels->kernel(into).operation,
                                kernels->kernel(into).why);
    }
  }
}

// What is left of a formula on constants, in one scope and one function, is one kernel.
void ClaimConstantFormulas(KernelSet* kernels) {
  const Dataflow& flow = kernels->flow();
  for (const Call& call : kernels->program().calls) {
    const bool computes = program::Classify(kernels->program(), call) == OpClass::kCompute;
    if (!kernels->is_free(call.id) || !computes || !flow.independent_of_input(call.id)) continue;
    std::set<CallId> group = {call.id};
    bool grown = true;
    while (grown) {
      grown = false;
      for (CallId member : std::set<CallId>(group)) {
        std::vector<CallId> neighbours = flow.needs(member);
        for (ValueId made : flow.makes(member)) {
          const auto& readers = flow.readers(made);
          neighbours.insert(neighbours.end(), readers.begin(), readers.end());
        }
        for (CallId id : neighbours) {
          const Call& other = kernels->program().call(id);
          const bool other_computes = program::Classify(kernels->program(), other) == OpClass::kCompute;
          const bool joins = kernels->is_free(id) && other.scope == call.scope &&
                             flow.independent_of_input(id) &&
                             (other_computes || !TakesOwnTensor(flow, other));
          grown |= joins && group.insert(id).second;
        }
      }
    }
    CallId last_id = call.id;
    for (CallId id : group) {
      if (program::Classify(kernels->program(), kernels->program().call(id)) != OpClass::kPlumbing)
        last_id = id;
    }
    // What shapes the result afterwards is the reader's business.
    while (*group.rbegin() > last_id) group.erase(*group.rbegin());
    const Call& last = kernels->program().call(last_id);
    std::string name = NameOf(call);
    if (group.size() > 1 && !last.frames.empty() && !last.frames.back().targets.empty())
      name = Identifier(last.frames.back().targets[0], name);
    if (!kernels->Claim(patterns::Sorted(group), name, "depends on no input: computed from constants alone"))
      kernels->Claim({call.id}, NameOf(call), "is one " + NameOf(call) + " operator");
  }
}

// Plumbing may not read a parameter: a kernel returns it.
void ReturnParameters(KernelSet* kernels) {
  std::set<ValueId> returned;
  for (const Call& call : kernels->program().calls) {
    if (!kernels->is_free(call.id)) continue;
    for (ValueId operand : patterns::Tensors(kernels->flow(), call)) {
      if (kernels->program().value(operand).kind != ValueKind::kParameter) continue;
      if (returned.insert(operand).second) kernels->AddParameter(operand, call.id, "parameter");
    }
  }
}

}  // namespace

void FindOperatorKernels(KernelSet* kernels) {
  ClaimSingleOperators(kernels, /*dependent=*/true);
  SinkConstants(kernels);
  ClaimConstantFormulas(kernels);
  SinkConstants(kernels);
  ReturnParameters(kernels);
}

}  // namespace strata::plan
