#pragma once
// One Python function about to be written: what a class's forward does, as steps over values.
//
// A step is an operator call of the program or the application of a submodule (a leaf, a nested class, a
// child component). forward_writer.h turns it into lines.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::emit {

// self.attn(x, mask): which member is called with what.
struct Apply {
  std::string callee;  // "self.attn", "self.blocks[2]"
  // Where the callee is an element of a list: the list ("self.blocks"), the position, what to call one.
  std::string list;
  int64_t position = -1;
  int64_t list_size = 0;
  std::string element;
  std::vector<program::ValueId> inputs;  // kNoId: None
  // The text of each argument, "$k" for inputs[k] and "$$" for a dollar: "($1, $2)", "mask=$3",
  // "causal=False". Empty: the inputs by position.
  std::vector<std::string> arguments;
  std::vector<program::ValueId> outputs;  // flat
  std::string pattern;                    // unpacking when nested: "$0, ($1, $2)"; "" for plain
  // A call whose frames say in which source statement the application stands; kNoId where unknown.
  program::CallId place = program::kNoId;
  std::string hint;  // a telling name for the first output, "" for none
};

struct Step {
  program::CallId call = program::kNoId;  // an operator call, or
  std::optional<Apply> apply;             // a submodule
};

// The same steps at another set of input shapes, to tell sizes from numbers.
struct Twin {
  std::map<program::CallId, program::CallId> calls;
  std::map<program::ValueId, program::ValueId> values;
};

struct Function {
  // As in the signature; a value may be missing (an argument that nothing reads).
  std::vector<std::pair<std::string, program::ValueId>> parameters;
  std::vector<Step> steps;
  std::vector<program::ValueId> returns;
  // How to return, "$$" for a dollar: "$0", "($0, $1)", "{\"loss\": $0}"; empty: one value or a tuple of
  // `returns`.
  std::string return_pattern;
  // Values that are neither parameters nor made here: "self.weight", "states[0]".
  std::map<program::ValueId, std::string> attributes;
  std::vector<Twin> twins;
  // Numbers among the arguments of a call that have a name: {call, item of its first list or int} -> text.
  std::map<std::pair<program::CallId, size_t>, std::string> sizes_said;
  bool is_method = true;  // has `self`
  std::string name = "forward";
  // The parameters have general names (x); what is computed from one that is not read again keeps its name.
  bool follow_first = false;
};

}  // namespace strata::emit
