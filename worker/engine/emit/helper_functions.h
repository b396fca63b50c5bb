#pragma once
// Python functions that a forward calls: where the source has apply_rotary(q, cos, sin), so has the
// component's file.

#include <optional>
#include <string>
#include <vector>

#include "worker/engine/emit/function.h"
#include "worker/engine/emit/python_text.h"
#include "worker/engine/emit/slice.h"

namespace strata::emit {

struct Helper {
  std::string name;
  Lines lines;
};

// calls[begin, end) are one activation of `function`.
struct HelperRun {
  std::string function;
  size_t end = 0;
};

// The activation that calls[begin] belongs to, below the first `depth` frames, if it makes a function of its
// own: two calls or more in an ordinary, pure function.
std::optional<HelperRun> FindHelperRun(const program::Program& program,
                                       const std::vector<program::CallId>& calls, size_t begin, size_t depth);

// Frames of the author's that all the calls share.
size_t SharedFrames(const program::Program& program, const std::vector<program::CallId>& calls);

// Writes the function, or finds it among `helpers`, and returns its application. nullopt where it has no
// text. `known`: names of the enclosing function's parameters.
std::optional<Apply> ApplyHelper(const Slice& slice, const std::vector<program::CallId>& calls,
                                 const std::string& function,
                                 const std::vector<std::pair<std::string, program::ValueId>>& known,
                                 std::vector<Helper>& helpers);

}  // namespace strata::emit
