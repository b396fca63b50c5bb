#include "worker/engine/plan/text.h"

#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strata::plan {
namespace {

bool IsUpper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }
bool IsLower(char c) { return std::islower(static_cast<unsigned char>(c)) != 0; }
bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// A word ends before `name[i]`: aB | ABc | 2B.
bool WordStarts(std::string_view name, size_t i) {
  if (i == 0 || !IsUpper(name[i])) return false;
  if (IsLower(name[i - 1])) return true;
  if (IsDigit(name[i - 1])) return i + 1 < name.size() && IsLower(name[i + 1]);
  return IsUpper(name[i - 1]) && i + 1 < name.size() && IsLower(name[i + 1]);
}

const std::set<std::string>& Keywords() {
  static const auto* keywords = new std::set<std::string>{
      "and",  "as",   "assert", "async", "await", "break",    "class", "continue", "def",   "del",
      "elif", "else", "except", "false", "for",   "finally",  "from",  "global",   "if",    "import",
      "in",   "is",   "lambda", "none",  "not",   "nonlocal", "or",    "pass",     "raise", "return",
      "true", "try",  "while",  "with",  "yield", "self",     "super", "forward"};
  return *keywords;
}

// ReLU, SiLU and the like are one word.
std::string JoinAcronyms(std::string_view name) {
  std::string joined(name);
  for (const char* word : {"ReLU", "SiLU", "GeLU", "GELU", "SELU", "CELU", "ELU"}) {
    const std::string acronym = word;
    for (size_t at = joined.find(acronym); at != std::string::npos; at = joined.find(acronym, at + 1)) {
      for (size_t i = at + 1; i < at + acronym.size(); ++i)
        joined[i] = static_cast<char>(std::tolower(static_cast<unsigned char>(joined[i])));
    }
  }
  return joined;
}

std::string Lowered(std::string_view name);

}  // namespace

std::string SnakeCase(std::string_view name) { return Lowered(JoinAcronyms(name)); }

namespace {

std::string Lowered(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    // SwiGLU, GeGLU, ReGLU are one word.
    const bool glu = name.substr(i) == "GLU" && i > 0 && i <= 3;
    if (WordStarts(name, i) && !glu && !out.empty() && out.back() != '_') out += '_';
    if (IsWord(c)) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!out.empty() && out.back() != '_') {
      out += '_';
    }
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  return out;
}

}  // namespace

std::string Identifier(std::string_view name, std::string_view fallback) {
  std::string out = SnakeCase(name);
  size_t start = 0;
  while (start < out.size() && (IsDigit(out[start]) || out[start] == '_')) ++start;
  out = out.substr(start);
  return out.empty() || Keywords().contains(out) ? std::string(fallback) : out;
}

std::string NumberToken(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "minf" : "inf";
  char text[40];
  if (number == std::floor(number) && std::abs(number) < 1e15) {
    std::snprintf(text, sizeof text, "%s%.0f", number < 0 ? "m" : "", std::abs(number));
    return text;
  }
  for (int digits = 1; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, number);
    if (std::strtod(text, nullptr) == number) break;
  }
  std::string out;
  const std::string plain = text;
  for (size_t i = 0; i < plain.size(); ++i) {
    const char c = plain[i];
    if (c == '-')
      out += 'm';
    else if (c == '.')
      out += 'p';
    else if (c == '+')
      continue;
    else if (c == '0' && i > 0 && (plain[i - 1] == '-' || plain[i - 1] == '+') && plain.find('e') < i)
      continue;
    else
      out += c;
  }
  return out;
}

std::string Dims(const std::vector<int64_t>& sizes) {
  return sizes.empty() ? "scalar" : absl::StrJoin(sizes, "x");
}

std::string Enumerate(const std::vector<std::string>& items) {
  if (items.empty()) return "nothing";
  if (items.size() == 1) return items[0];
  const std::vector<std::string> head(items.begin(), items.end() - 1);
  return absl::StrCat(absl::StrJoin(head, ", "), " and ", items.back());
}

std::string Place(const program::Call& call) {
  if (call.frames.empty()) return "";
  // The author's own line, not one inside torch.nn.functional.
  size_t at = call.frames.size() - 1;
  while (at > 0 && call.frames[at].file.find("/torch/") != std::string::npos) --at;
  const program::Frame& frame = call.frames[at];
  const size_t slash = frame.file.rfind('/');
  return absl::StrCat(slash == std::string::npos ? frame.file : frame.file.substr(slash + 1), ":",
                      frame.line);
}

const program::Module& ModuleOf(const program::Program& program, program::InvocationId invocation) {
  const auto module = program.invocations.at(static_cast<size_t>(invocation)).module;
  return program.modules.at(static_cast<size_t>(module));
}

const std::string& ModulePath(const program::Program& program, program::InvocationId invocation) {
  static const std::string* const kNone = new std::string;
  const program::Module& module = ModuleOf(program, invocation);
  return module.paths.empty() ? *kNone : module.paths[0];
}

}  // namespace strata::plan
