#include "worker/engine/verify/kept_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"

namespace strata::verify {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kLog[] = R"([{"file": "children/relu.py", "name": "Model.log"}])";

// Two trials; what the runner of each side said of the second.
std::vector<std::string> Wrong(const std::string& original, const std::string& refactored) {
  const auto dir = TempDir::Create("kept_test_");
  EXPECT_TRUE(dir.ok());
  RanClaim claim;
  claim.trials = {{.seed = 42}, {.seed = 43, .workload = 1}};
  claim.refactored_dir = dir->path() + "/refactored";
  for (const std::string& side : {std::string("original"), std::string("refactored")}) {
    const std::string& text = side == "original" ? original : refactored;
    EXPECT_TRUE(MakeDirs(dir->path() + "/" + side).ok());
    const std::string path = dir->path() + "/" + side + "/kept_43_1.json";
    EXPECT_TRUE(text.empty() || WriteFile(path, text).ok());
  }
  for (TrialRun& run : claim.trials) run.original_dir = dir->path() + "/original";
  std::vector<std::string> wrong;
  for (const Violation& v : KeptViolations(claim)) {
    EXPECT_EQ(v.rule, rules::kSource);
    wrong.push_back(v.file + ": " + v.what.substr(0, v.what.find(':')));
  }
  return wrong;
}

TEST(KeptCheck, NothingKeptIsRight) { EXPECT_THAT(Wrong("", ""), IsEmpty()); }

TEST(KeptCheck, WhatOnlyTheRefactoredModelKeepsIsNamed) {
  EXPECT_THAT(Wrong("", kLog), ElementsAre("children/relu.py: Model.log"));
}

TEST(KeptCheck, WhereTheOriginalKeepsSomethingTheNumbersDecide) {
  EXPECT_THAT(Wrong(R"([{"file": "original.py", "name": "Model.cache"}])", kLog), IsEmpty());
}

TEST(KeptCheck, TheInterpretersOwnIsComparedByName) {
  constexpr char kFilters[] = R"([{"file": "", "name": "warnings.filters"}])";
  EXPECT_THAT(Wrong(kFilters, kFilters), IsEmpty());
  EXPECT_THAT(Wrong(kFilters, kLog), ElementsAre("children/relu.py: Model.log"));
  EXPECT_THAT(Wrong("", kFilters), ElementsAre("refactored.py: warnings.filters"));
}

TEST(KeptCheck, WhatIsNoListSaysThatSomethingChanged) {
  EXPECT_THAT(Wrong("", "{"), ElementsAre("refactored.py: ?"));
  EXPECT_THAT(Wrong("", R"([1, {"file": 2}])"), ElementsAre("refactored.py: "));
}

}  // namespace
}  // namespace strata::verify
