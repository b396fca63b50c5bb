#pragma once
// What the submitted model returns, as Python: the tree it is (tuple, dict, dataclass, None).
//
// A refactored file cannot import the submission, so a dataclass or named tuple is defined again: a class of
// the same name with the fields that the recorded output had.

#include <set>
#include <string>
#include <vector>

#include "worker/engine/emit/python_text.h"
#include "worker/engine/program/program.h"

namespace strata::emit {

struct OutputText {
  std::string pattern;  // "$0, $1", "Output(logits=$0, loss=None)"; "$$" for a dollar
  // What the pattern's numbers mean; a tensor that is returned twice is there twice.
  std::vector<program::ValueId> values;
  std::set<std::string> imports;  // "from collections import OrderedDict"
  Lines classes;                  // definitions, two blank lines after each
};

OutputText SpellOutput(const program::Tree& output);

}  // namespace strata::emit
