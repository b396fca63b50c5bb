#pragma once
// Holds what a refactored forward recorded against the plumbing table (docs/bundle_format.md, "What may
// stand in a refactored forward"). Pure: Programs in, violations out.

#include <set>
#include <string>
#include <vector>

#include "worker/engine/program/program.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// Which invocations belong to a child: its module's class, or an enclosing invocation's, is defined in a
// file directly below `children_dir` (absolute). Indexed by InvocationId.
class ChildScopes {
 public:
  ChildScopes(const program::Program& program, const std::string& children_dir);

  bool Inside(program::InvocationId id) const {
    return id >= 0 && child_of_[static_cast<size_t>(id)] != program::kNoId;
  }
  // The outermost invocation of the child that encloses `id`; kNoId outside.
  program::InvocationId ChildOf(program::InvocationId id) const {
    return id < 0 ? program::kNoId : child_of_[static_cast<size_t>(id)];
  }
  bool IsChildModule(program::ModuleId id) const { return is_child_[static_cast<size_t>(id)]; }
  // Child invocations in execution order, with the stem of the file that each comes from.
  struct ChildRun {
    program::InvocationId invocation;
    std::string stem;
  };
  const std::vector<ChildRun>& runs() const { return runs_; }

 private:
  std::vector<bool> is_child_;                   // by ModuleId
  std::vector<program::InvocationId> child_of_;  // by InvocationId
  std::vector<ChildRun> runs_;
};

// Recorded outside the children: compute operators, arithmetic with the result of a comparison, operators
// that read a parameter or a child's buffer (rule `plumbing`).
std::vector<Violation> ExecutedViolations(const program::Program& refactored, const ChildScopes& scopes);

// A number that Python worked out from the data and handed to an operator outside the children: at the same
// call it differs between two recordings of one forward (rule `plumbing`).
std::vector<Violation> NumberViolations(const program::Program& one, const program::Program& other,
                                        const ChildScopes& scopes);

// A tensor from nowhere (numpy, another thread, a plain list of weights) that differs between two recordings
// of one forward, and that the original has not either (rule `replay`).
std::vector<Violation> ConstantViolations(const program::Program& one, const program::Program& other,
                                          const program::Program& original_of_other);

// A child that changes an argument in place, and something outside reads that memory later, though the
// original has no such operator in place (rule `inputs`): a second result behind the parent's back.
std::vector<Violation> HiddenChanges(const program::Program& refactored, const program::Program& original,
                                     const ChildScopes& scopes);

// A child of another class than Model, where its file defines a Model: what runs alone is not what runs here
// (rule `modules`). `with_model`: stems of the files that define one.
std::vector<Violation> ChildClassViolations(const program::Program& refactored, const ChildScopes& scopes,
                                            const std::set<std::string>& with_model);

// Modules that are neither children nor containers, parameters held outside children, and buffers that are
// neither the original's own nor tensors that it keeps (rules `modules`, `parameters`, `buffers`).
// Modules whose class is defined in `own_file` are parents too, held to the same rules: a composition
// nests them. "" where there may be one parent only.
std::vector<Violation> ParameterViolations(const program::Program& refactored,
                                           const program::Program& original, const ChildScopes& scopes,
                                           const std::string& own_file = "");

}  // namespace strata::verify
