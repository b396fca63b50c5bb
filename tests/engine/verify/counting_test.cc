#include "worker/engine/verify/counting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/program/builder.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::I;
using program::Is;
using program::N;
using program::T;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

CoveringFile File(const std::string& path, std::map<std::string, int64_t> executed, int64_t runs) {
  return {path, std::move(executed), runs};
}

TEST(Counting, AnInPlaceOperatorIsTheOperatorItself) {
  Builder b;
  const auto x = b.Input("x", {2, 4});
  const auto y = b.Op("aten::relu_", {T("self", x)}, {2, 4});
  const auto counts = CountOperators(b.Finish({y}));
  EXPECT_THAT(counts.counted, ElementsAre(Pair("relu", 1)));
  EXPECT_THAT(counts.plumbing, IsEmpty());
}

TEST(Counting, ShapeOperatorsAreListedAndNotCounted) {
  Builder b;
  const auto x = b.Input("x", {2, 4});
  const auto v = b.View("aten::view", {T("self", x), Is("size", {8})}, {8});
  const auto y = b.Op("aten::add.Tensor", {T("self", v), T("other", v)}, {8});
  const auto counts = CountOperators(b.Finish({y}));
  EXPECT_THAT(counts.counted, ElementsAre(Pair("add", 1)));
  EXPECT_THAT(counts.plumbing, ElementsAre(Pair("view", 1)));
}

TEST(Counting, OperatorsWhoseResultNothingReadsAreNotCounted) {
  Builder b;
  const auto x = b.Input("x", {2, 4});
  const auto unused = b.Op("aten::exp", {T("self", x)}, {2, 4});
  b.Op("aten::sin", {T("self", unused)}, {2, 4});
  const auto y = b.Op("aten::relu", {T("self", x)}, {2, 4});
  const auto counts = CountOperators(b.Finish({y}));
  EXPECT_THAT(counts.counted, ElementsAre(Pair("relu", 1)));
  EXPECT_THAT(counts.plumbing, ElementsAre(Pair("exp", 1), Pair("sin", 1)));
}

TEST(Counting, AWriteThroughAViewThatTheOutputSharesIsAlive) {
  Builder b;
  const auto x = b.Input("x", {2, 4});
  const auto y = b.Op("aten::exp", {T("self", x)}, {2, 4});
  const auto row = b.View("aten::select.int", {T("self", y), I("dim", 0), I("index", 0)}, {4});
  b.Op("aten::tanh_", {T("self", row)}, {4});
  const auto counts = CountOperators(b.Finish({y}));
  EXPECT_THAT(counts.counted, ElementsAre(Pair("exp", 1), Pair("tanh", 1)));
}

TEST(Counting, OnlyArithmeticBetweenChildrenIsTheParents) {
  Builder b;
  const auto x = b.Input("x", {2, 4});
  const auto scope = b.Enter("child", {x});
  const auto inner = b.Op("aten::add.Tensor", {T("self", x), T("other", x)}, {2, 4});
  b.Leave({inner});
  const auto y = b.Op("aten::add.Tensor", {T("self", inner), T("other", x)}, {2, 4});
  const auto z = b.Op("aten::mul.Tensor", {T("self", y), N("other", 2)}, {2, 4});
  const auto program = b.Finish({z});
  EXPECT_THAT(ArithmeticOutside(program, [&](program::InvocationId id) { return id == scope; }),
              ElementsAre(Pair("add", 1), Pair("mul", 1)));
}

TEST(Coverage, TheParentsArithmeticIsTakenOffTheOriginal) {
  const CoverageInput input{"now",
                            "m.py",
                            {{{"add", 2}, {"linear", 3}}, {{"view", 1}}},
                            {{"add", 1}},
                            {File("k/linear.py", {{"linear", 3}}, 3), File("k/add.py", {{"add", 1}}, 1)}};
  const auto json = CoverageJson(input, /*summary=*/true);
  EXPECT_EQ(json["status"], "FULL_COVERAGE");
  EXPECT_EQ(json["coverage"]["total_original_ops"], 4);
  EXPECT_EQ(json["coverage"]["coverage_pct"], 100.0);
  EXPECT_EQ(json["plumbing"]["add"], 1);
  EXPECT_EQ(json["plumbing"]["view"], 1);
  EXPECT_EQ(json["kernels"][0]["instance_count"], 3);
  EXPECT_TRUE(IsFullCoverage(json));
}

TEST(Coverage, AnOperatorThatNoKernelExecutesIsMissing) {
  const CoverageInput input{
      "now", "m.py", {{{"linear", 3}, {"relu", 2}}, {}}, {}, {File("k/linear.py", {{"linear", 3}}, 3)}};
  const auto json = CoverageJson(input, /*summary=*/false);
  EXPECT_EQ(json["status"], "LOW_COVERAGE");
  EXPECT_EQ(json["coverage"]["missing_op_types"], nlohmann::ordered_json({"relu"}));
  EXPECT_EQ(json["coverage"]["coverage_pct"], 60.0);
  EXPECT_FALSE(json.contains("kernels"));
}

TEST(Coverage, AnOperatorThatRunsTwiceInTheKernelsIsExtraAndNoFullCoverage) {
  const CoverageInput input{"now", "m.py", {{{"relu", 1}}, {}}, {}, {File("k/relu.py", {{"relu", 2}}, 2)}};
  const auto json = CoverageJson(input, /*summary=*/false);
  EXPECT_EQ(json["coverage"]["extra_op_types"], nlohmann::ordered_json({"relu"}));
  EXPECT_FALSE(IsFullCoverage(json));
}

TEST(Coverage, ArithmeticThatTheOriginalNeverDidIsExtra) {
  const CoverageInput input{
      "now", "m.py", {{{"relu", 1}}, {}}, {{"mul", 1}}, {File("k/relu.py", {{"relu", 1}}, 1)}};
  const auto json = CoverageJson(input, /*summary=*/false);
  EXPECT_EQ(json["coverage"]["extra_op_types"], nlohmann::ordered_json({"mul"}));
}

}  // namespace
}  // namespace strata::verify
