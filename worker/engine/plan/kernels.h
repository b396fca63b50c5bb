#pragma once
// Which calls are one kernel. The catalogue is docs/kernels.md; each pass below finds one of its chapters.

#include <string>
#include <vector>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/program/program.h"

namespace strata::plan {

struct Kernel {
  std::vector<program::CallId> calls;           // ascending; empty for a kernel that only returns a parameter
  program::ValueId parameter = program::kNoId;  // that parameter, else kNoId
  program::CallId reader = program::kNoId;      // with `parameter`: the first call that reads it
  std::string operation;                        // "linear", "rms_norm", "apply_rotary"
  program::InvocationId scope = program::kNoId;   // innermost invocation that holds all its calls
  program::InvocationId module = program::kNoId;  // the invocation whose calls they exactly are, else kNoId
  std::string why;  // how it was recognised, end of a sentence: "computes RMS normalisation by hand"
};

// The kernels found so far; every call is in at most one.
class KernelSet {
 public:
  KernelSet(const program::Program& program, const Dataflow& flow);

  const program::Program& program() const { return program_; }
  const Dataflow& flow() const { return flow_; }

  // Index of the kernel that holds the call, or -1.
  int of(program::CallId call) const { return of_[static_cast<size_t>(call)]; }
  bool is_free(program::CallId call) const { return of(call) < 0; }
  const Kernel& kernel(int index) const { return kernels_[static_cast<size_t>(index)]; }
  int size() const {
    return static_cast<int>(kernels_.size());
  }  // absorbed kernels included: they have no calls

  // Makes `calls`, and all calls of the kernels among them, one kernel. False, and nothing changes, where
  // that is not convex. `operation` empty: that of the kernel already there.
  bool Claim(std::vector<program::CallId> calls, std::string operation, std::string why);
  void AddParameter(program::ValueId parameter, program::CallId reader, std::string operation);

  // The kernels that stand at the end: those with calls or a parameter, `scope` and `module` filled in.
  std::vector<Kernel> Finish() const;

 private:
  const program::Program& program_;
  const Dataflow& flow_;
  std::vector<Kernel> kernels_;
  std::vector<int> of_;
};

// torch.nn leaves with at most one contraction, and small custom modules of one meaning.
void FindModuleKernels(KernelSet* kernels);
// Python helper functions of one meaning: apply_rotary, masks, normalisations.
void FindFunctionKernels(KernelSet* kernels);
// The same things written inline: norms, softmax, activations by formula; masks join their softmax.
void FindPatternKernels(KernelSet* kernels);
// Every other operator that may not stand in a parent, what only feeds one kernel from weights and constants,
// and the parameters that plumbing touches.
void FindOperatorKernels(KernelSet* kernels);

// All four, in that order.
std::vector<Kernel> FindKernels(const program::Program& program, const Dataflow& flow);

// Innermost invocation that encloses both.
program::InvocationId CommonScope(const program::Program& program, program::InvocationId a,
                                  program::InvocationId b);

}  // namespace strata::plan
