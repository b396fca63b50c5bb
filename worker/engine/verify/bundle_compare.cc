#include "worker/engine/verify/bundle_compare.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;

ordered_json Sorted(ordered_json list) {
  const auto is_word = [](const ordered_json& item) { return item.is_string(); };
  if (list.is_array() && std::all_of(list.begin(), list.end(), is_word)) std::sort(list.begin(), list.end());
  return list;
}

bool Close(double a, double b) {
  return a == b || std::abs(a - b) <= 1e-6 * std::max(std::abs(a), std::abs(b));
}

// The same numbers in another order of keys are the same object.
bool Same(const ordered_json& a, const ordered_json& b) {
  if (a.is_number() && b.is_number()) return Close(a.get<double>(), b.get<double>());
  if (a.is_object() && b.is_object()) {
    if (a.size() != b.size()) return false;
    for (const auto& [key, value] : a.items()) {
      if (!b.contains(key) || !Same(value, b.at(key))) return false;
    }
    return true;
  }
  return Sorted(a) == Sorted(b);
}

std::string Word(const ordered_json& status) {
  std::string word = absl::AsciiStrToUpper(TextOf(status));
  return word == "PASSED" ? "PASS" : word == "FAILED" ? "FAIL" : word;
}

}  // namespace

void StatedFile::Differs(const std::string& what) {
  report_->Add(rules::kResults, path_, absl::StrCat(path_, ": ", what),
               "write what a run of the files gives; do not keep results of other files");
}

void StatedFile::Differs(const std::string& name, const ordered_json& stated,
                         const ordered_json& recomputed) {
  Differs(absl::StrCat(name, " is ", Shown(stated), ", recomputed it is ", Shown(recomputed)));
}

void StatedFile::Equal(const std::string& name, const ordered_json& stated, const ordered_json& recomputed) {
  if (stated.is_null() || recomputed.is_null() || Same(stated, recomputed)) return;
  Differs(name, stated, recomputed);
}

void StatedFile::Difference(const std::string& name, const ordered_json& stated,
                            const ordered_json& recomputed, double atol) {
  if (stated.is_number() && recomputed.is_number()) {
    const double a = stated.get<double>(), b = recomputed.get<double>();
    if (exact_ ? Close(a, b) : (a <= atol) == (b <= atol)) return;
  } else if (stated.is_null() && recomputed.is_null()) {
    return;
  }
  Differs(name, stated, recomputed);
}

void StatedFile::Status(const std::string& name, const ordered_json& stated, const ordered_json& recomputed) {
  if (stated.is_null() || recomputed.is_null() || Word(stated) == Word(recomputed)) return;
  Differs(name, stated, recomputed);
}

bool IsSamePlace(const ordered_json& stated, const ordered_json& recomputed) {
  const auto same = [&](const char* name) { return AtPath(stated, name) == AtPath(recomputed, name); };
  return same("environment.torch") && same("environment.device") && same("environment.numeric");
}

bool IsSamePlace(const BundleIndex& index) {
  const auto& steps = index.files().steps;
  return index.is_own() && std::all_of(steps.begin(), steps.end(), [&](const StepFolder& step) {
           const ClaimFacts* claim = index.FactsOf(step);
           return claim == nullptr || IsSamePlace(step.verification_result.value, claim->verification_result);
         });
}

std::string ShortDType(const std::string& name) {
  const std::string bare = absl::StartsWith(name, "torch.") ? name.substr(6) : name;
  for (int i = 0; i <= static_cast<int>(program::DType::kOther); ++i) {
    const auto dtype = static_cast<program::DType>(i);
    if (bare == program::ShortName(dtype) || absl::StrCat("torch.", bare) == program::TorchName(dtype))
      return program::ShortName(dtype);
  }
  return bare;
}

}  // namespace strata::verify
