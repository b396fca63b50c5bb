#include "worker/engine/verify/bundle_imports.h"

#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace strata::verify {
namespace {

// Calls `take` with every line of code, comments cut off and triple-quoted text left out.
void ForEachLine(const std::string& text, const std::function<void(const std::string&, int)>& take) {
  std::string open;  // the quotes that a text over several lines began with
  int number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    const std::string line(raw);
    std::string code;
    char quote = 0;
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string three = line.substr(i, 3);
      if (!open.empty()) {
        if (three == open) {
          open.clear();
          i += 2;
        }
      } else if (quote == 0 && (three == "\"\"\"" || three == "'''")) {
        open = three;
        i += 2;
      } else if (quote == 0 && line[i] == '#') {
        break;
      } else {
        if (quote != 0 && line[i] == '\\' && i + 1 < line.size())
          code += line[i++];
        else if (quote == 0 && (line[i] == '"' || line[i] == '\''))
          quote = line[i];
        else if (line[i] == quote)
          quote = 0;
        code += line[i];
      }
    }
    take(code, number);
  }
}

std::string FirstWord(const absl::string_view text) {
  size_t end = 0;
  const auto in_word = [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.'; };
  while (end < text.size() && in_word(text[end])) ++end;
  return std::string(text.substr(0, end));
}

}  // namespace

std::vector<Import> ImportsOf(const std::string& text) {
  std::vector<Import> imports;
  ForEachLine(text, [&](const std::string& code, int number) {
    for (absl::string_view statement : absl::StrSplit(code, ';')) {
      statement = absl::StripAsciiWhitespace(statement);
      if (absl::ConsumePrefix(&statement, "from ")) {
        imports.push_back({FirstWord(absl::StripAsciiWhitespace(statement)), number});
      } else if (absl::ConsumePrefix(&statement, "import ")) {
        for (const absl::string_view name : absl::StrSplit(statement, ','))
          imports.push_back({FirstWord(absl::StripAsciiWhitespace(name)), number});
      }
    }
  });
  return imports;
}

std::vector<int> LinesWith(const std::string& text, const std::string& word) {
  std::vector<int> lines;
  ForEachLine(text, [&](const std::string& code, int number) {
    if (absl::StrContains(code, word)) lines.push_back(number);
  });
  return lines;
}

}  // namespace strata::verify
