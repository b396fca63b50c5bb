#pragma once
// The static half of the judge: what the text of a refactored file or of a child uses, read with Python's ast
// in a trusted fork. Nothing of the file is executed.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/host/zygote.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// What a text is. Of a script (composition_test.py) the classes are the model, the rest is how it is tested.
enum class TextRole : uint8_t { kParent, kChild, kScript };

struct SourceScan {
  bool has_class = false;    // `class_name` is defined at the top level
  bool has_main = false;     // it has an `if __name__ == …` block
  std::string syntax_error;  // "" if it parses; then `line` says where
  int line = 0;
  nlohmann::json uses;      // [{location, line, kind, name}]
  int workloads = 1;        // entries of a top-level list WORKLOADS: shapes that its get_inputs() draws
  nlohmann::json keeps;     // [{location, line, name}]: attributes of self that a forward sets
  nlohmann::json children;  // {stem: line} of the files of children/ that it imports
  nlohmann::json maps;  // [{name: name}]: dicts of names that it writes out, the likeliest weight map first
};

struct SourceText {
  std::string text, class_name;  // `class_name`: the model's
  TextRole role = TextRole::kChild;
  // Top-level modules that it may import beside torch, children and the standard library's basics.
  std::vector<std::string> imports;
};
// One scan for each text, all in one fork.
absl::StatusOr<std::vector<SourceScan>> ScanSources(host::Zygote& zygote, const host::Limits& limits,
                                                    const std::vector<SourceText>& texts);
absl::StatusOr<SourceScan> ScanSource(host::Zygote& zygote, const host::Limits& limits,
                                      const std::string& text, const std::string& class_name, TextRole role,
                                      const std::vector<std::string>& imports = {});

// The uses that are not allowed: compute and modules in a parent, by the plumbing table, and whatever reaches
// beyond a model anywhere. `file` is how the verdict names it. A text that does not parse, or has no such
// class, has none: it cannot be loaded. `original`: the text of the original, which may keep attributes, ask
// for settings of the process, catch what a computation raises and leave attributes on arguments too.
std::vector<Violation> SourceViolations(const SourceScan& scan, const std::string& file,
                                        const SourceScan& original);

// SourceScan::workloads of each file, at most kMaxWorkloads.
inline constexpr int kMaxWorkloads = 64;
absl::StatusOr<std::vector<int>> CountWorkloads(host::Zygote& zygote, const host::Limits& limits,
                                                const std::vector<std::string>& files);

}  // namespace strata::verify
