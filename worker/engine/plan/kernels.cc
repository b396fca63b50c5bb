#include "worker/engine/plan/kernels.h"

#include <algorithm>
#include <set>

namespace strata::plan {

using program::CallId;
using program::Invocation;
using program::InvocationId;
using program::kNoId;

InvocationId CommonScope(const program::Program& program, InvocationId a, InvocationId b) {
  if (a == kNoId) return b;
  while (a != kNoId && !program::Encloses(program, a, b))
    a = program.invocations[static_cast<size_t>(a)].parent;
  return a == kNoId ? 0 : a;
}

KernelSet::KernelSet(const program::Program& program, const Dataflow& flow)
    : program_(program), flow_(flow), of_(program.calls.size(), -1) {}

bool KernelSet::Claim(std::vector<CallId> calls, std::string operation, std::string why) {
  std::set<CallId> all(calls.begin(), calls.end());
  std::set<int> absorbed;
  for (CallId call : calls) {
    if (of(call) >= 0) absorbed.insert(of(call));
  }
  for (int index : absorbed) all.insert(kernel(index).calls.begin(), kernel(index).calls.end());
  Kernel merged;
  merged.calls.assign(all.begin(), all.end());
  if (!IsConvex(flow_, merged.calls)) return false;
  merged.operation = std::move(operation);
  merged.why = std::move(why);
  if (merged.operation.empty() && !absorbed.empty()) {
    merged.operation = kernel(*absorbed.begin()).operation;
    merged.why = kernel(*absorbed.begin()).why;
  }
  for (int index : absorbed) kernels_[static_cast<size_t>(index)].calls.clear();
  for (CallId call : merged.calls) of_[static_cast<size_t>(call)] = static_cast<int>(kernels_.size());
  kernels_.push_back(std::move(merged));
  return true;
}

void KernelSet::AddParameter(program::ValueId parameter, CallId reader, std::string operation) {
  Kernel kernel;
  kernel.parameter = parameter;
  kernel.reader = reader;
  kernel.operation = std::move(operation);
  kernel.why = "returns a parameter that only data movement reads";
  kernels_.push_back(std::move(kernel));
}

std::vector<Kernel> KernelSet::Finish() const {
  std::vector<Kernel> finished;
  for (const Kernel& kernel : kernels_) {
    if (kernel.calls.empty() && kernel.parameter == kNoId) continue;
    Kernel k = kernel;
    if (k.parameter != kNoId) k.scope = program_.call(k.reader).scope;
    for (CallId call : k.calls) k.scope = CommonScope(program_, k.scope, program_.call(call).scope);
    // The outermost invocation whose calls are exactly these.
    for (InvocationId at = k.scope; at != kNoId && !k.calls.empty();) {
      const Invocation& invocation = program_.invocations[static_cast<size_t>(at)];
      if (static_cast<size_t>(invocation.end - invocation.begin) != k.calls.size()) break;
      k.module = at;
      at = invocation.parent;
    }
    finished.push_back(std::move(k));
  }
  return finished;
}

std::vector<Kernel> FindKernels(const program::Program& program, const Dataflow& flow) {
  KernelSet kernels(program, flow);
  FindModuleKernels(&kernels);
  FindFunctionKernels(&kernels);
  FindPatternKernels(&kernels);
  FindOperatorKernels(&kernels);
  return kernels.Finish();
}

}  // namespace strata::plan
