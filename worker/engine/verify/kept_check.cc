#include "worker/engine/verify/kept_check.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "nlohmann/json.hpp"
#include "worker/engine/verify/runs.h"

namespace strata::verify {
namespace {

using nlohmann::json;

constexpr int64_t kMaxBytes = int64_t{1} << 20;
constexpr size_t kMaxShown = 200;

// (file, name), the file empty where it is the interpreter's own.
using Kept = std::set<std::pair<std::string, std::string>>;

std::string Text(const json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>().substr(0, kMaxShown) : "";
}

// No file: nothing was changed. One that is no list says that something was.
void Read(const std::string& path, Kept& kept) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxBytes);
  if (absl::IsNotFound(text.status())) return;
  const json rows = text.ok() ? json::parse(*text, nullptr, /*allow_exceptions=*/false) : json();
  if (!rows.is_array()) kept.emplace("", "?");
  for (const json& row : rows) {
    if (row.is_object()) kept.emplace(Text(row, "file"), Text(row, "name"));
  }
}

}  // namespace

std::vector<Violation> KeptViolations(const RanClaim& claim) {
  Kept ours, theirs;
  for (const TrialRun& run : claim.trials) {
    const auto file = [&run](const std::string& dir) {
      return absl::StrCat(dir, "/kept_", run.seed, "_", run.workload, ".json");
    };
    Read(file(run.original_dir), ours);
    Read(file(claim.refactored_dir), theirs);
  }
  std::vector<Violation> violations;
  for (const auto& [file, name] : ours) {
    if (!file.empty()) return {};
  }
  for (const auto& [file, name] : theirs) {
    if (ours.contains({file, name})) continue;
    violations.push_back(
        {rules::kSource, file.empty() ? "refactored.py" : file, 0,
         absl::StrCat(name, ": a call changes it; the original keeps nothing from call to call"),
         "hand tensors on as arguments"});
  }
  return violations;
}

}  // namespace strata::verify
