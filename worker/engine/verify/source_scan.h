#pragma once
// The static half of the judge: what the text of a refactored file uses, read with Python's ast in a
// trusted fork. Nothing of the file is executed.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/host/zygote.h"

namespace strata::verify {

struct SourceScan {
  bool has_class = false;    // `class_name` is defined at the top level
  bool has_main = false;     // it has an `if __name__ == …` block
  std::string syntax_error;  // "" if it parses; then `line` says where
  int line = 0;
  nlohmann::json uses;  // [{location, line, kind, name}]
};

// `imports`: top-level modules that it may import beside torch, children and the standard library's basics.
absl::StatusOr<SourceScan> ScanSource(host::Zygote& zygote, const host::Limits& limits,
                                      const std::string& text, const std::string& class_name,
                                      const std::vector<std::string>& imports = {});

// The uses that the plumbing table does not allow: [{pattern, line_number, location, reason}]. `text` is
// what was scanned.
nlohmann::ordered_json SourceViolations(const SourceScan& scan, const std::string& class_name);

}  // namespace strata::verify
