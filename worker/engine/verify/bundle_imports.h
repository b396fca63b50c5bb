#pragma once
// What a Python text imports, read line by line: enough for a file whose every import is a statement of its
// own. The judge of steps has the whole grammar (source_scan.h). Pure.

#include <string>
#include <vector>

namespace strata::verify {

struct Import {
  std::string module;  // "children.relu_fp32"
  int line = 0;
};
std::vector<Import> ImportsOf(const std::string& text);

// Lines outside of comments and docstrings that hold `word`.
std::vector<int> LinesWith(const std::string& text, const std::string& word);

}  // namespace strata::verify
