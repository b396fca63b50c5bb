#pragma once
// A parent as calls of its children and plumbing: the class of refactored.py, and, with composed classes
// as children, of composition_test.py.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/emit/class_builder.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/emit/function.h"
#include "worker/engine/plan/plan.h"

namespace strata::emit {

// What a child is called and holds, in the file being written.
struct ChildClasses {
  std::map<plan::ComponentId, std::string> names;               // "Linear784x512"
  std::map<plan::ComponentId, std::vector<StateEntry>> states;  // of the component's first node
};

struct RefactoredClass {
  ClassText text;  // its `state` refers to the parent's first node
  bool packed = false;
  std::vector<std::string> packed_notes;
};

// `spelling`: the component's own; of what the parent itself holds.
absl::StatusOr<RefactoredClass> BuildRefactored(const plan::Plan& plan, plan::ComponentId id,
                                                const ChildClasses& children, const Spelling& spelling,
                                                const std::string& class_name, bool tie_inside_children);

// The keys of one state_dict that hold the same values as the other's; tied weights pair up in order.
std::map<std::string, std::string> MatchState(const std::vector<StateEntry>& original,
                                              const std::vector<StateEntry>& refactored);

// Class names for components, in the given order: their stems in CamelCase, without the dtype where that is
// enough to tell them apart.
std::map<plan::ComponentId, std::string> ClassNames(const plan::Plan& plan,
                                                    const std::vector<plan::ComponentId>& ids);

// A telling name for what a member returns ("gate_proj" -> "gate"), "" where its name says nothing.
std::string ResultHint(const std::string& member);

// "blocks.0.attn.weight" -> "blocks[0].attn.weight".
std::string AttributePath(const std::string& key);

// The submitted model's forward: its own signature, arguments and output tree.
void DescribeModelInterface(const program::Program& program, Function& function);

}  // namespace strata::emit
