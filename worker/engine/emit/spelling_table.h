#pragma once
// The data behind spelling.cc: which Python name and style an ATen operator has.

#include <cstdint>
#include <string>

namespace strata::emit {

enum class Style : uint8_t {
  kMethod,      // x.NAME(…)
  kFunction,    // PREFIX.NAME(x, …)
  kInfix,       // x NAME y
  kUnaryPrefix  // NAMEx
};

struct SpellingRow {
  Style style = Style::kFunction;
  std::string prefix;  // "torch", "F", "torch.linalg"
  std::string name;
  int precedence = 0;    // kInfix, kUnaryPrefix
  int positional = 0;    // how many arguments that are no tensors stand without their name
  bool varargs = false;  // the first list argument is spread: x.view(2, 3)
};

// nullptr where the operator has no row and no automatically generated torch.NAME.
const SpellingRow* FindSpelling(const std::string& operator_name);

}  // namespace strata::emit
