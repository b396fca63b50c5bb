#pragma once
// The classes of one component file: `class Model` over the node's calls, with one nested class per
// distinct custom module inside it, torch.nn leaves constructed with their settings, Sequential and
// ModuleList kept where the source has them.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/emit/dimensions.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/emit/python_text.h"
#include "worker/engine/plan/plan.h"

namespace strata::emit {

struct StateEntry {
  std::string key;         // in the class's state_dict
  program::ValueId value;  // of the node it was written from
};

struct ClassText {
  std::string name;
  std::vector<Dimension> dimensions;  // of __init__
  std::vector<StateEntry> state;
  Lines init;     // statements after super().__init__()
  Lines forward;  // "def forward(…):" and its body
};

struct ComponentClasses {
  std::vector<Lines> helpers;     // module-level functions
  std::vector<ClassText> nested;  // definitions first
  ClassText model;
  std::vector<std::string> inputs;  // names of forward's parameters, parallel to Node::inputs
  bool packed = false;              // some constant is packed
  std::vector<std::string> packed_notes;
};

absl::StatusOr<ComponentClasses> BuildClasses(const plan::Plan& plan, const plan::Node& node,
                                              const Spelling& spelling);

// "class NAME(nn.Module):" … ; `defaults`: __init__ has them (the top class).
Lines ClassLines(const ClassText& text, bool defaults, const Lines& docstring);

// The state_dict keys of the component's file, without its text. Kernels to layers; the submitted model's
// keys are its values' own paths.
absl::StatusOr<std::vector<StateEntry>> StateOf(const plan::Plan& plan, plan::ComponentId id,
                                                const Spelling& spelling = {});

}  // namespace strata::emit
