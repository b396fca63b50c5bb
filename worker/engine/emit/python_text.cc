#include "worker/engine/emit/python_text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strata::emit {
namespace {

const std::set<std::string, std::less<>>& Keywords() {
  static const auto* words = new std::set<std::string, std::less<>>{
      "False",    "None",   "True",  "and",  "as",     "assert",   "async",   "await", "break", "class",
      "continue", "def",    "del",   "elif", "else",   "except",   "finally", "for",   "from",  "global",
      "if",       "import", "in",    "is",   "lambda", "nonlocal", "not",     "or",    "pass",  "raise",
      "return",   "try",    "while", "with", "yield",  "match",    "case"};
  return *words;
}

bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

}  // namespace

std::string Operand(const Expr& expr, int precedence) {
  return expr.precedence >= precedence ? expr.text : absl::StrCat("(", expr.text, ")");
}

std::string PythonFloat(double value) {
  if (std::isnan(value)) return "float(\"nan\")";
  if (std::isinf(value)) return value > 0 ? "float(\"inf\")" : "float(\"-inf\")";
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string text(buffer, result.ptr);
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  std::string mantissa = text.substr(0, e);
  if (exponent < -4 || exponent >= 16) return absl::StrCat(mantissa, "e", exponent);
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  text.assign(buffer, fixed.ptr);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

Expr PythonNumber(double value) {
  const std::string plain = PythonFloat(value);
  const Expr as_it_is{plain, value < 0 ? kUnary : kAtom};
  // A number that somebody typed has few digits.
  if (plain.size() < 14 || !std::isfinite(value) || value <= 0) return as_it_is;
  const auto whole_root = [](double x) {
    const double n = std::round(x * x);
    return n >= 2 && n <= 1e6 && std::sqrt(n) == x ? static_cast<int64_t>(n) : 0;
  };
  if (const int64_t n = whole_root(value); n > 0) return {absl::StrCat("math.sqrt(", n, ")"), kAtom};
  if (value == std::sqrt(2.0 / M_PI)) return {"math.sqrt(2.0 / math.pi)", kAtom};
  const double n = std::round(1.0 / (value * value));
  if (n >= 2 && n <= 1e6 && 1.0 / std::sqrt(n) == value) {
    return {absl::StrCat("1.0 / math.sqrt(", static_cast<int64_t>(n), ")"), kProduct};
  }
  return as_it_is;
}

std::string PythonString(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string PythonTuple(const std::vector<int64_t>& items) {
  return absl::StrCat("(", absl::StrJoin(items, ", "), items.size() == 1 ? ",)" : ")");
}

std::string PythonList(const std::vector<int64_t>& items) {
  return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
}

std::string ShapeText(const std::vector<int64_t>& sizes) { return PythonList(sizes); }

bool IsIdentifier(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) return false;
  if (!std::all_of(text.begin(), text.end(), IsWord)) return false;
  return Keywords().find(text) == Keywords().end();
}

std::string ToIdentifier(std::string_view text) {
  std::string out;
  for (const char c : text) out += IsWord(c) ? c : '_';
  if (out.empty() || std::isdigit(static_cast<unsigned char>(out[0]))) out = "m" + out;
  if (!IsIdentifier(out)) out += "_";
  return out;
}

std::string ToCamelCase(std::string_view snake) {
  std::string out;
  bool upper = true;
  for (const char c : snake) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return ToIdentifier(out);
}

std::string ToSnakeCase(std::string_view camel) {
  std::string out;
  const auto upper = [&](size_t i) {
    return i < camel.size() && std::isupper(static_cast<unsigned char>(camel[i]));
  };
  const auto lower = [&](size_t i) {
    return i < camel.size() && std::islower(static_cast<unsigned char>(camel[i]));
  };
  for (size_t i = 0; i < camel.size(); ++i) {
    const bool starts_word = upper(i) && i > 0 && camel[i - 1] != '_' && (lower(i + 1) || !upper(i - 1));
    if (starts_word) out += '_';
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(camel[i])));
  }
  return out;
}

std::string Singular(std::string_view list_name) {
  std::string name(list_name.substr(list_name.rfind('.') + 1));
  if (name.size() > 3 && name.ends_with("ies")) return name.substr(0, name.size() - 3) + "y";
  if (name.size() > 2 && name.ends_with("s") && !name.ends_with("ss")) return name.substr(0, name.size() - 1);
  return "layer";
}

Lines Indented(const Lines& lines, int levels) {
  Lines out;
  for (const std::string& line : lines) {
    out.push_back(line.empty() ? line : std::string(static_cast<size_t>(levels) * 4, ' ') + line);
  }
  return out;
}

void Append(Lines& to, const Lines& more) { to.insert(to.end(), more.begin(), more.end()); }

std::string Join(const Lines& lines) {
  std::string out;
  for (std::string line : lines) {
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + "\n";
  }
  return out;
}

Lines WrapList(const std::string& open, const std::vector<std::string>& items, const std::string& close,
               size_t width) {
  std::string one = absl::StrCat(open, absl::StrJoin(items, ", "), close);
  if (one.size() <= width) return {one};
  Lines out = {open};
  for (const std::string& item : items) out.push_back("    " + item + ",");
  out.push_back(close);
  return out;
}

std::string NameScope::Unique(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 2; !taken_.insert(name).second; ++i) name = absl::StrCat(wanted, "_", i);
  return name;
}

}  // namespace strata::emit
