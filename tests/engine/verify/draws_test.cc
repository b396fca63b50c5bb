#include "worker/engine/verify/draws.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace strata::verify {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A model that returns one 2x3.
program::Program Returns2x3() {
  program::Program program;
  program.values.push_back({.id = 0, .type = {.dtype = program::DType::kFloat32, .sizes = {2, 3}}});
  program.invocations.emplace_back();
  program.invocations[0].output = {.kind = program::Tree::Kind::kTensor, .value = 0};
  return program;
}

std::vector<std::string> Wrong(const char* original, const char* refactored) {
  const program::Program program = Returns2x3();
  std::vector<std::string> wrong;
  for (const Violation& v : DrawViolations(json::parse(original), json::parse(refactored), {&program})) {
    EXPECT_EQ(v.rule, rules::kDimensions);
    wrong.push_back(v.what);
  }
  return wrong;
}

constexpr char kOriginal[] = R"([{"inputs": ["torch.float32[2, 4]"], "outputs": [[2, 3]]}])";

TEST(Draws, TheSameIsRight) { EXPECT_THAT(Wrong(kOriginal, kOriginal), IsEmpty()); }

TEST(Draws, AFunctionThatIsNotThereSaysNothing) {
  EXPECT_THAT(Wrong(kOriginal, R"([{"inputs": null, "outputs": null}])"), IsEmpty());
  EXPECT_THAT(Wrong(kOriginal, "null"), IsEmpty());
}

TEST(Draws, WhatTheOriginalReturnedIsRightToo) {
  EXPECT_THAT(Wrong(R"([{"inputs": [], "outputs": null}])", R"([{"inputs": [], "outputs": [[2, 3]]}])"),
              IsEmpty());
  EXPECT_THAT(Wrong(R"([{"inputs": [], "outputs": [[9]]}])", R"([{"inputs": [], "outputs": [[2, 3]]}])"),
              IsEmpty());
}

TEST(Draws, OtherSizesDtypesAndErrorsAreNamed) {
  EXPECT_THAT(Wrong(kOriginal, R"([{"inputs": ["torch.float64[2, 4]"], "outputs": [[2, 5]]}])"),
              ElementsAre(R"(get_inputs() says ["torch.float64[2, 4]"], original.py ["torch.float32[2, 4]"])",
                          "get_expected_output_shape() says [[2,5]], original.py [[2,3]]"));
  EXPECT_THAT(Wrong(kOriginal, R"([{"inputs": "NameError: x", "outputs": [[2, 3]]}])"),
              ElementsAre(R"(get_inputs() raises "NameError: x")"));
}

}  // namespace
}  // namespace strata::verify
