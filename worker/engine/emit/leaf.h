#pragma once
// torch.nn constructors: nn.Linear(in_features, out_features, bias=False).

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::emit {

// One constructor argument. A `dimension` may become a parameter of the class around it.
struct ConstructorArgument {
  std::string name;   // schema of the constructor: "in_features"
  std::string value;  // Python literal
  bool positional = false;
  bool dimension = false;
};

struct Constructor {
  std::string callee;  // "nn.Linear", "Attention"
  std::vector<ConstructorArgument> arguments;
};

// A torch.nn leaf: how to construct it and which values are its state, by attribute ("weight").
struct Leaf {
  Constructor constructor;
  std::vector<std::pair<std::string, program::ValueId>> state;
  std::string member;  // usual attribute name: "linear", "conv", "norm"
};

// From a recorded module whose settings are known.
Leaf LeafOfModule(const program::Program& program, const program::Module& module);
// From a lone operator that torch.nn has a module for (F.linear with a parameter, F.dropout, …); nullopt for
// others. `inputs` receives the operands that the module's forward takes.
std::optional<Leaf> LeafOfCall(const program::Program& program, const program::Call& call,
                               std::vector<program::ValueId>* inputs);

}  // namespace strata::emit
