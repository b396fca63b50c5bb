#pragma once
// Buffers and constants as Python: the source's own formula, else a recognised one, else a literal.

#include <set>
#include <string>
#include <vector>

#include "worker/engine/emit/python_text.h"
#include "worker/engine/program/program.h"

namespace strata::emit {

struct ConstantText {
  Lines setup;                            // statements that come first
  std::vector<std::string> expressions;   // parallel to the values asked for
  bool packed = false;                    // some literal is packed: the file needs UnpackHelper()
  std::vector<std::string> packed_notes;  // for the log: what is packed, and why
};

// Those in `literal` are said by their elements, whatever formula they have.
ConstantText SpellConstants(const program::Program& program, const std::vector<program::ValueId>& values,
                            const std::set<program::ValueId>& literal);

// The module-level function that packed literals call, with its imports' lines first.
Lines UnpackHelper();

}  // namespace strata::emit
