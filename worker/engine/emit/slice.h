#pragma once
// Questions about one node's part of the program: which calls are in it, what flows in and out of an
// invocation inside it, under which paths its modules stand.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "worker/engine/emit/function.h"
#include "worker/engine/plan/plan.h"

namespace strata::emit {

class Slice {
 public:
  Slice(const plan::Plan& plan, const plan::Node& node);

  const program::Program& program() const { return plan_.program; }
  const plan::Plan& plan() const { return plan_; }
  const plan::Node& node() const { return node_; }
  bool Has(program::CallId call) const { return calls_.count(call) > 0; }
  bool IsInput(program::ValueId id) const { return inputs_.count(id) > 0; }

  // The child of `scope` that encloses `inner`; kNoId if `inner` is `scope` or lies outside.
  program::InvocationId ChildOf(program::InvocationId scope, program::InvocationId inner) const;
  std::vector<program::CallId> CallsOf(program::InvocationId id) const;
  // It has calls, and all of them are in the node.
  bool HasWhole(program::InvocationId id) const;
  std::vector<program::InvocationId> ChildrenOf(program::InvocationId id) const;

  // Values that enter calls from outside, wrapped numbers and what `own` accepts left out; first use first.
  template <typename Own>
  std::vector<program::ValueId> FreeValues(const std::vector<program::CallId>& calls, const Own& own) const;
  // Values that `calls` make and that something else in the node, or the node's reader, reads.
  std::vector<program::ValueId> Outputs(const std::vector<program::CallId>& calls) const;

  // The value's path below `module_path` ("" for the model), "" where it has none there.
  static std::string RelativePath(const std::vector<std::string>& paths, const std::string& module_path,
                                  bool* found);

  // The node's other workloads.
  const std::vector<Twin>& twins() const { return twins_; }

 private:
  void AddTwin(const plan::Node& other);

  const plan::Plan& plan_;
  const plan::Node& node_;
  std::set<program::CallId> calls_;
  std::set<program::ValueId> inputs_, outputs_;
  std::map<program::ValueId, std::vector<program::CallId>> readers_;
  std::vector<Twin> twins_;
};

template <typename Own>
std::vector<program::ValueId> Slice::FreeValues(const std::vector<program::CallId>& calls,
                                                const Own& own) const {
  std::set<program::ValueId> made, seen;
  std::vector<program::ValueId> out;
  for (const program::CallId c : calls) {
    const program::Call& call = program().call(c);
    for (const program::ValueId id : program::Reads(call)) {
      if (program().value(id).is_wrapped_number || made.count(id) > 0 || own(id) || !seen.insert(id).second)
        continue;
      out.push_back(id);
    }
    made.insert(call.results.begin(), call.results.end());
    made.insert(call.mutated_to.begin(), call.mutated_to.end());
  }
  return out;
}

}  // namespace strata::emit
