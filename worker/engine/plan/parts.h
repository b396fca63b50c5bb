#pragma once
// The tree while it is being decided: module scopes that hold kernels, inner scopes and single calls. The
// passes after kernels dissolve scopes, group parts into slices and settle levels; nodes.h makes it a Plan.

#include <cstdint>
#include <string>
#include <vector>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/kernels.h"
#include "worker/engine/plan/plan.h"

namespace strata::plan {

struct Part {
  enum class Kind : uint8_t {
    kCall,    // plumbing or arithmetic that the enclosing part's own forward executes
    kKernel,  // kernels[index]
    kScope,   // one module invocation
    kSlice,   // neighbours grouped by a pass: a fusion or a layer that is no module of its own
  };
  Kind kind = Kind::kCall;
  program::CallId call = program::kNoId;  // kCall
  int kernel = -1;                        // kKernel
  program::InvocationId scope =
      program::kNoId;       // kScope: it; kKernel, kSlice: innermost that holds all of it
  std::vector<Part> parts;  // kScope, kSlice: in an order that respects dependencies
  // Set when the level is decided: kernels always, scopes and slices by fusions.h and levels.h.
  bool settled = false;
  Level level = Level::kKernel;
  std::string operation;
  std::string reason;

  bool is_unit() const { return kind != Kind::kCall; }
};

struct PartContext {
  const program::Program& program;
  const Dataflow& flow;
  const std::vector<Kernel>& kernels;

  const Kernel& kernel(const Part& part) const { return kernels[static_cast<size_t>(part.kernel)]; }
};

// The scopes of the Program with the kernels in their places; scopes without any call are left out.
Part BuildParts(const PartContext& context);

// All calls below, ascending.
std::vector<program::CallId> CallsOf(const PartContext& context, const Part& part);
// All kernels below, in order.
std::vector<const Kernel*> KernelsOf(const PartContext& context, const Part& part);
// Sorts siblings so that each comes after what it needs, otherwise by where they ended in the forward.
void SortParts(const PartContext& context, std::vector<Part>* parts);
// Innermost invocation that holds all of them.
program::InvocationId ScopeOf(const PartContext& context, const std::vector<Part>& parts);

}  // namespace strata::plan
