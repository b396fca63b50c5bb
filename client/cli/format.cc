#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "client/cli/json.h"
#include "client/cli/render.h"

namespace strata::cli {

std::string FormatDiff(double max_diff) { return max_diff == 0 ? "0" : absl::StrFormat("%.2g", max_diff); }

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrFormat("%d B", bytes);
  double value = static_cast<double>(bytes);
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; value >= 1024 && unit < 4; ++unit) value /= 1024;
  return absl::StrFormat("%.1f %s", value, units[unit]);
}

std::string FormatSeconds(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole >= 3600) return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
  return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
}

std::string FormatPercent(double percent) {
  // Never "100 %" for less: what is missing must show.
  if (percent >= 100) return "100 %";
  return absl::StrFormat("%.1f %%", std::floor(percent * 10) / 10);
}

std::string BundleName(const std::string& model_name) {
  return Printable(model_name.substr(model_name.rfind('/') + 1)) + "_bundle";
}

std::string VerdictOf(const v1::Decomposition& decomposition) {
  if (!decomposition.verdict().empty()) return decomposition.verdict();
  switch (decomposition.state()) {
    case v1::STATE_SUCCEEDED:
      return "PASS";
    case v1::STATE_CANCELED:
      return "CANCELED";
    default:
      return "FAIL";
  }
}

Style StyleOfStatus(std::string_view status) {
  if (status == "PASS" || status == "SUCCEEDED" || status == "FULL_COVERAGE" || status == "passed" ||
      status == "accepted")
    return Style::kGood;
  if (status == "FAIL" || status == "ERROR" || status == "FAILED" || status == "failed" ||
      status == "gate_failed" || status == "rejected") {
    return Style::kBad;
  }
  if (status == "PARTIAL_COVERAGE" || status == "LOW_COVERAGE" || status == "CANCELED" ||
      status == "dropped" || status == "cannot be judged") {
    return Style::kWarn;
  }
  return Style::kPlain;
}

std::string StatusOfStep(const v1::Step& step) {
  if (!step.status().empty()) return step.status();
  // No verdict yet: the later task speaks, once the earlier one has passed.
  const v1::TaskState state = step.decompose() == v1::TASK_STATE_PASSED ? step.verify() : step.decompose();
  const auto* value = v1::TaskState_descriptor()->FindValueByNumber(state);
  return value == nullptr ? "" : ShortEnumName(value, /*lower=*/true);
}

}  // namespace strata::cli
