#include "worker/engine/plan/parts.h"

#include <algorithm>
#include <map>
#include <queue>

namespace strata::plan {
namespace {

using program::CallId;
using program::Invocation;
using program::InvocationId;
using program::kNoId;

class TreeBuilder {
 public:
  explicit TreeBuilder(const PartContext& context)
      : context_(context), in_kernel_(context.program.calls.size(), false) {
    for (size_t i = 0; i < context.kernels.size(); ++i) {
      const Kernel& kernel = context.kernels[i];
      for (CallId call : kernel.calls) in_kernel_[static_cast<size_t>(call)] = true;
      InvocationId home = kernel.scope;
      if (kernel.module != kNoId)
        home = context.program.invocations[static_cast<size_t>(kernel.module)].parent;
      if (home == kNoId) home = 0;
      kernels_at_[home].push_back(static_cast<int>(i));
    }
    for (const Invocation& invocation : context.program.invocations) {
      if (invocation.parent != kNoId) children_[invocation.parent].push_back(invocation.id);
    }
    for (const program::Call& call : context.program.calls) {
      if (!in_kernel_[static_cast<size_t>(call.id)]) calls_at_[call.scope].push_back(call.id);
    }
  }

  Part Build(InvocationId id) {
    Part part;
    part.kind = Part::Kind::kScope;
    part.scope = id;
    for (CallId call : calls_at_[id]) {
      Part plumbing;
      plumbing.call = call;
      plumbing.scope = id;
      part.parts.push_back(std::move(plumbing));
    }
    for (int kernel : kernels_at_[id]) part.parts.push_back(KernelPart(kernel));
    for (InvocationId child : children_[id]) {
      Part inner = Build(child);
      if (!inner.parts.empty()) part.parts.push_back(std::move(inner));
    }
    SortParts(context_, &part.parts);
    return part;
  }

 private:
  Part KernelPart(int index) {
    const Kernel& kernel = context_.kernels[static_cast<size_t>(index)];
    Part part;
    part.kind = Part::Kind::kKernel;
    part.kernel = index;
    part.scope = kernel.module != kNoId ? kernel.module : kernel.scope;
    part.settled = true;
    part.operation = kernel.operation;
    part.reason = kernel.why;
    return part;
  }

  const PartContext& context_;
  std::vector<bool> in_kernel_;
  std::map<InvocationId, std::vector<int>> kernels_at_;
  std::map<InvocationId, std::vector<InvocationId>> children_;
  std::map<InvocationId, std::vector<CallId>> calls_at_;
};

void Collect(const PartContext& context, const Part& part, std::vector<CallId>* calls) {
  if (part.kind == Part::Kind::kCall) calls->push_back(part.call);
  if (part.kind == Part::Kind::kKernel) {
    const Kernel& kernel = context.kernel(part);
    calls->insert(calls->end(), kernel.calls.begin(), kernel.calls.end());
  }
  for (const Part& inner : part.parts) Collect(context, inner, calls);
}

void CollectKernels(const PartContext& context, const Part& part, std::vector<const Kernel*>* kernels) {
  if (part.kind == Part::Kind::kKernel) kernels->push_back(&context.kernel(part));
  for (const Part& inner : part.parts) CollectKernels(context, inner, kernels);
}

// Where a part stands among its siblings when nothing else decides: its last call; a returned parameter
// comes right before its first reader.
double PlaceOf(const PartContext& context, const Part& part, const std::vector<CallId>& calls) {
  if (!calls.empty()) return calls.back();
  if (part.kind == Part::Kind::kKernel) return context.kernel(part).reader - 0.5;
  for (const Part& inner : part.parts) {
    if (inner.kind == Part::Kind::kKernel) return context.kernel(inner).reader - 0.5;
  }
  return 0;
}

}  // namespace

Part BuildParts(const PartContext& context) { return TreeBuilder(context).Build(0); }

std::vector<CallId> CallsOf(const PartContext& context, const Part& part) {
  std::vector<CallId> calls;
  Collect(context, part, &calls);
  std::sort(calls.begin(), calls.end());
  return calls;
}

std::vector<const Kernel*> KernelsOf(const PartContext& context, const Part& part) {
  std::vector<const Kernel*> kernels;
  CollectKernels(context, part, &kernels);
  return kernels;
}

void SortParts(const PartContext& context, std::vector<Part>* parts) {
  const size_t count = parts->size();
  std::vector<std::vector<CallId>> calls(count);
  std::map<CallId, size_t> owner;
  for (size_t i = 0; i < count; ++i) {
    calls[i] = CallsOf(context, (*parts)[i]);
    for (CallId call : calls[i]) owner[call] = i;
  }
  std::vector<std::vector<size_t>> after(count);
  std::vector<int> waiting(count, 0);
  for (size_t i = 0; i < count; ++i) {
    std::vector<size_t> before;
    for (CallId call : calls[i]) {
      for (CallId needed : context.flow.needs(call)) {
        const auto it = owner.find(needed);
        if (it != owner.end() && it->second != i) before.push_back(it->second);
      }
    }
    std::sort(before.begin(), before.end());
    before.erase(std::unique(before.begin(), before.end()), before.end());
    for (size_t j : before) after[j].push_back(i);
    waiting[i] = static_cast<int>(before.size());
  }
  using Entry = std::pair<double, size_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
  const auto push = [&](size_t i) { ready.emplace(PlaceOf(context, (*parts)[i], calls[i]), i); };
  for (size_t i = 0; i < count; ++i) {
    if (waiting[i] == 0) push(i);
  }
  std::vector<Part> sorted;
  std::vector<bool> done(count, false);
  while (!ready.empty()) {
    const size_t i = ready.top().second;
    ready.pop();
    done[i] = true;
    sorted.push_back(std::move((*parts)[i]));
    for (size_t j : after[i]) {
      if (--waiting[j] == 0) push(j);
    }
  }
  // Kernels and slices are convex, so nothing is left; keep the order of the source if that ever fails.
  for (size_t i = 0; i < count; ++i) {
    if (!done[i]) sorted.push_back(std::move((*parts)[i]));
  }
  *parts = std::move(sorted);
}

InvocationId ScopeOf(const PartContext& context, const std::vector<Part>& parts) {
  InvocationId scope = kNoId;
  for (const Part& part : parts) scope = CommonScope(context.program, scope, part.scope);
  return scope == kNoId ? 0 : scope;
}

}  // namespace strata::plan
