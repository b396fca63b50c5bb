#pragma once
// Function -> the lines of `def forward`. Chooses variable names (the source's own where the program knows
// them), folds single-use expressions into the statement they stood in, says sizes as the source would,
// rolls loops over module lists, and comments a shape where it changes.

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/emit/function.h"
#include "worker/engine/emit/python_text.h"

namespace strata::emit {

struct ForwardOptions {
  std::set<program::CallId> aten;  // calls spelled torch.ops.aten.NAME.OVERLOAD
  bool shape_comments = true;
  size_t width = 100;
};

// Statements, and the expressions of function.returns after them.
struct ForwardBody {
  Lines lines;
  std::vector<std::string> results;
};
absl::StatusOr<ForwardBody> WriteBody(const program::Program& program, const Function& function,
                                      const ForwardOptions& options);

// "def forward(self, x):" and its body. InvalidArgument names a value that nothing makes.
absl::StatusOr<Lines> WriteForward(const program::Program& program, const Function& function,
                                   const ForwardOptions& options);

}  // namespace strata::emit
