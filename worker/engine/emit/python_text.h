#pragma once
// Python source as text: literals, identifiers, indentation. Knows nothing about programs.

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace strata::emit {

// A Python expression and how tightly it binds.
struct Expr {
  std::string text;
  int precedence = 100;
};
inline constexpr int kAtom = 100, kPower = 90, kUnary = 80, kProduct = 70, kSum = 60, kBitAnd = 50,
                     kBitXor = 45, kBitOr = 40, kCompare = 30, kLowest = 0;

// `expr` as an operand that must bind at least as tightly as `precedence`.
std::string Operand(const Expr& expr, int precedence);

std::string PythonFloat(double value);  // "0.1", "1e-5", "2.0", float("-inf")
// The same, but said by where it comes from if that is exact: "math.sqrt(32)", "1.0 / math.sqrt(64)",
// "math.sqrt(2.0 / math.pi)".
Expr PythonNumber(double value);
std::string PythonString(std::string_view text);
std::string PythonTuple(const std::vector<int64_t>& items);  // "(3,)", "(2, 3)"
std::string PythonList(const std::vector<int64_t>& items);
std::string ShapeText(const std::vector<int64_t>& sizes);  // "[2, 64, 128]", "[]" for a scalar

bool IsIdentifier(std::string_view text);  // and no keyword
// "blocks.0.q-proj" -> "blocks_0_q_proj"; never empty, never a keyword.
std::string ToIdentifier(std::string_view text);
std::string ToCamelCase(std::string_view snake);   // "rms_norm_128" -> "RmsNorm128"
std::string ToSnakeCase(std::string_view camel);   // "RMSNorm" -> "rms_norm"
std::string Singular(std::string_view list_name);  // "blocks" -> "block", "layers" -> "layer"; "h" -> "layer"

using Lines = std::vector<std::string>;
Lines Indented(const Lines& lines, int levels = 1);
void Append(Lines& to, const Lines& more);
std::string Join(const Lines& lines);  // each line ended by \n, no trailing blanks
// "items" as a bracketed list that wraps at `width`: prefix + "[" ... "]" + suffix.
Lines WrapList(const std::string& open, const std::vector<std::string>& items, const std::string& close,
               size_t width = 100);

// Names taken in one Python scope.
class NameScope {
 public:
  NameScope() = default;
  void Reserve(const std::string& name) { taken_.insert(name); }
  bool IsFree(const std::string& name) const { return taken_.count(name) == 0; }
  // `wanted`, or wanted_2, wanted_3 ... ; reserves what it returns.
  std::string Unique(const std::string& wanted);

 private:
  std::set<std::string> taken_;
};

}  // namespace strata::emit
