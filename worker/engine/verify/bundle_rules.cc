#include "worker/engine/verify/bundle_rules.h"

#include "absl/strings/str_cat.h"
#include "worker/engine/verify/bundle_check.h"

namespace strata::verify {

void Report::Add(const char* rule, const std::string& file, int line, const std::string& what,
                 const std::string& advice) {
  const size_t count = ++count_[{rule, file}];
  if (count <= kMaxViolationsPerFile) violations_.push_back({rule, file, line, what, advice});
}

std::vector<Violation> Report::Take() && {
  std::map<std::pair<std::string, std::string>, size_t> left;
  for (Violation& violation : violations_) {
    const std::pair<std::string, std::string> key = {violation.rule, violation.file};
    const size_t all = count_[key];
    if (all > kMaxViolationsPerFile && ++left[key] == kMaxViolationsPerFile)
      absl::StrAppend(&violation.what, " (and ", all - kMaxViolationsPerFile, " more of this rule here)");
  }
  return std::move(violations_);
}

std::vector<Violation> CheckBundle(const BundleFiles& files, const BundleFacts& facts, Prices* prices) {
  const BundleIndex index(files, facts);
  Report report;
  for (const Violation& v : files.violations) report.Add(v.rule.c_str(), v.file, v.line, v.what, v.advice);
  using Check = void (*)(const BundleIndex&, Report*);
  static constexpr std::pair<const char*, Check> kChecks[] = {
      {rules::kLayout, CheckLayout},         {rules::kChain, CheckChain},
      {rules::kLevels, CheckLevels},         {rules::kKernel, CheckKernels},
      {rules::kFusion, CheckFusions},        {rules::kNames, CheckNames},
      {rules::kDuplicates, CheckDuplicates}, {rules::kDimensions, CheckDimensions},
      {rules::kAlone, CheckAlone},           {rules::kComposition, CheckComposition},
      {rules::kCoverage, CheckCoverage},     {rules::kTies, CheckTies},
      {rules::kResults, CheckStepResults},   {rules::kResults, CheckSummaries},
      {rules::kResults, CheckTree},          {rules::kResults, CheckDataFlow}};
  for (const auto& [rule, check] : kChecks) {
    const Prices::Scope price(prices, rule);
    check(index, &report);
  }
  return std::move(report).Take();
}

}  // namespace strata::verify
