// The emitted file, captured again, against what it was written from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using plan::Net;
using plan::Plan;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

// softmax(a(norm(x)) - b(y)) and what may be wrong with it.
struct Scores {
  float table = 0;  // an element of the buffer that is added to the result; 0: none is
  double eps = 1e-6;
  int64_t dim = -1;
  int64_t width = 8;
  DType dtype = DType::kFloat32;  // of the result
  bool b_first = false;           // evaluate b(y) before norm and a
  bool swapped = false;           // b(y) - a(norm(x))
  bool twice = false;             // softmax of softmax
  bool without_softmax = false;
  bool unread = false;    // an operator whose result nothing reads
  bool in_place = false;  // x.sub_(y)

  Program Make() const {
    Net net("scores.py");
    const auto x = net.b.Input("x", {2, 4, 8}), y = net.b.Input("y", {2, 4, 8});
    const auto b = b_first ? net.Linear("b", y, width, false) : kNoId;
    const auto a = net.Linear("a", net.RmsNorm("norm", x, eps), width, false);
    const auto right = b_first ? b : net.Linear("b", y, width, false);
    if (unread) net.Unary("exp", a);
    auto out = net.b.Op(
        in_place ? "aten::sub_.Tensor" : "aten::sub.Tensor",
        {T("self", swapped ? right : a), T("other", swapped ? a : right), Default(KwargOnly(N("alpha", 1)))},
        {2, 4, width});
    for (int i = 0; i < (without_softmax ? 0 : twice ? 2 : 1); ++i) {
      out = net.b.Op("aten::softmax.int",
                     {T("self", out), I("dim", dim), Default(program::None("dtype", "ScalarType?"))},
                     {2, 4, width}, dtype);
    }
    if (table != 0) {
      std::vector<uint8_t> elements(sizeof table);
      std::memcpy(elements.data(), &table, sizeof table);
      const auto held = net.b.Buffer("table", {1}, DType::kFloat32, elements);
      out =
          net.b.Op("aten::add.Tensor", {T("self", out), T("other", held), Default(KwargOnly(N("alpha", 1)))},
                   {2, 4, width}, dtype);
    }
    return Recorded(&net, {out});
  }
};

class CompareWithSliceTest : public testing::Test {
 protected:
  std::vector<std::string> Whats(const Scores& emitted) const {
    std::vector<std::string> out;
    for (const Difference& d : CompareWithSlice(plan_, 0, emitted.Make())) out.push_back(d.what);
    return out;
  }
  std::string OpOf(const Difference& difference) const {
    return difference.call == kNoId ? "" : plan_.program.call(difference.call).op;
  }

  const Plan plan_ = plan::PlanOf(Scores{}.Make());
};

TEST_F(CompareWithSliceTest, TheSameProgramIsAccepted) { EXPECT_THAT(Whats({}), IsEmpty()); }

TEST_F(CompareWithSliceTest, IndependentOperatorsMayRunInAnotherOrder) {
  EXPECT_THAT(Whats({.b_first = true}), IsEmpty());
}

TEST_F(CompareWithSliceTest, InPlaceFormsAndUnreadResultsMeanNothing) {
  EXPECT_THAT(Whats({.unread = true}), IsEmpty());
  EXPECT_THAT(Whats({.in_place = true}), IsEmpty());
}

TEST_F(CompareWithSliceTest, AChangedEpsilonIsFoundWhereItStands) {
  const auto differences = CompareWithSlice(plan_, 0, Scores{.eps = 1e-5}.Make());
  ASSERT_FALSE(differences.empty());
  EXPECT_EQ(OpOf(differences[0]), "aten::add");
  EXPECT_EQ(differences[0].what,
            "recorded add(self=fp32[2,4,1], other=9.9999999999999995e-07) : fp32[2,4,1], which the emitted "
            "file does not run");
  EXPECT_THAT(Whats({.eps = 1e-5}),
              testing::Contains(
                  "the emitted file runs add(self=fp32[2,4,1], other=1.0000000000000001e-05) : fp32[2,4,1], "
                  "which was not recorded"));
}

TEST_F(CompareWithSliceTest, ABufferWithOtherElementsIsNamed) {
  const Plan plan = plan::PlanOf(Scores{.table = 0.5F}.Make());
  EXPECT_THAT(CompareWithSlice(plan, 0, Scores{.table = 0.5F}.Make()), IsEmpty());
  const auto differences = CompareWithSlice(plan, 0, Scores{.table = 0.25F}.Make());
  ASSERT_THAT(differences, SizeIs(1));
  EXPECT_EQ(plan.program.value(differences[0].value).paths[0], "table");
  EXPECT_EQ(differences[0].what, "recorded table : fp32[1], whose elements the emitted file does not hold");
}

TEST_F(CompareWithSliceTest, AChangedDimensionIsOneDifferenceOnEachSide) {
  EXPECT_THAT(
      Whats({.dim = 1}),
      ElementsAre(
          "recorded softmax(self=fp32[2,4,8], dim=-1) : fp32[2,4,8], which the emitted file does not run",
          "the emitted file runs softmax(self=fp32[2,4,8], dim=1) : fp32[2,4,8], which was not recorded"));
}

TEST_F(CompareWithSliceTest, AMissingOperatorIsNamedWithItsCall) {
  const auto differences = CompareWithSlice(plan_, 0, Scores{.without_softmax = true}.Make());
  ASSERT_THAT(differences, SizeIs(1));
  EXPECT_EQ(OpOf(differences[0]), "aten::softmax");
  EXPECT_THAT(differences[0].what, StartsWith("recorded softmax("));
}

TEST_F(CompareWithSliceTest, AnExtraOperatorHasNoCall) {
  const auto differences = CompareWithSlice(plan_, 0, Scores{.twice = true}.Make());
  ASSERT_THAT(differences, SizeIs(1));
  EXPECT_EQ(differences[0].call, kNoId);
  EXPECT_THAT(differences[0].what,
              HasSubstr("runs softmax(self=fp32[2,4,8], dim=-1) : fp32[2,4,8], which was not recorded"));
}

TEST_F(CompareWithSliceTest, SwappedOperandsOfASubtractionAreRejected) {
  const auto differences = CompareWithSlice(plan_, 0, Scores{.swapped = true}.Make());
  ASSERT_FALSE(differences.empty());
  EXPECT_EQ(OpOf(differences[0]), "aten::sub") << "the first wrong call comes first";
  EXPECT_THAT(differences, SizeIs(4)) << "sub and the softmax that reads it, on each side";
}

TEST_F(CompareWithSliceTest, AnotherShapeOrDtypeIsRejected) {
  ASSERT_FALSE(Whats({.width = 16}).empty());
  EXPECT_THAT(Whats({.width = 16})[0], StartsWith("recorded linear("));
  EXPECT_THAT(
      Whats({.dtype = DType::kFloat64}),
      testing::Contains(
          "the emitted file runs softmax(self=fp32[2,4,8], dim=-1) : fp64[2,4,8], which was not recorded"));
}

TEST_F(CompareWithSliceTest, AProgramThatRanNothingIsRejected) {
  const auto differences = CompareWithSlice(plan_, 0, Program());
  ASSERT_THAT(differences, SizeIs(1));
  EXPECT_EQ(differences[0].what, "the emitted file ran no module");
}

// A file of its own for the slice linear, relu of the MLP.
Program LinearRelu(bool relu, bool relu_first, int64_t out = 16) {
  Net net("linear_relu_8x16.py");
  auto x = net.b.Input("x", {4, 8});
  if (relu_first) x = net.Relu(x);
  x = net.Linear("fc1", x, out);
  return Recorded(&net, {relu ? net.Relu(x) : x});
}

TEST(CompareWithSlice, AnInnerComponentIsComparedWithItsOwnCallsAlone) {
  const Plan plan = Mlp();
  const auto id = ComponentNamed(plan, "linear_relu_8x16").id;
  EXPECT_THAT(CompareWithSlice(plan, id, LinearRelu(true, false)), IsEmpty());
  EXPECT_THAT(CompareWithSlice(plan, id, LinearRelu(false, false)), SizeIs(1));
  EXPECT_THAT(CompareWithSlice(plan, id, LinearRelu(false, true)), SizeIs(4))
      << "the same operators in another order";
}

// where(mask, x, 0) with the mask a constant of these bytes.
Program Masked(const std::vector<uint8_t>& bytes) {
  Net net("masked.py");
  const auto x = net.b.Input("x", {4});
  const auto mask = net.b.Constant({4}, DType::kBool, bytes);
  const auto y = net.b.Op("aten::masked_fill.Scalar", {T("self", x), T("mask", mask), N("value", 0)}, {4});
  return Recorded(&net, {net.Relu(y)});
}

TEST(CompareWithSlice, TheContentOfAConstantCounts) {
  const Plan plan = plan::PlanOf(Masked({1, 0, 1, 0}));
  EXPECT_THAT(CompareWithSlice(plan, 0, Masked({1, 0, 1, 0})), IsEmpty());
  EXPECT_THAT(CompareWithSlice(plan, 0, Masked({1, 0, 0, 0})), testing::Not(IsEmpty()));
}

TEST(CompareWithSlice, ASharedKernelIsHeldAgainstTheShapesThatItWasWrittenFrom) {
  Net net("two_sizes.py");
  const auto x = net.b.Input("x", {2, 4});
  const auto small = net.Unary("relu", net.Linear("a", x, 4));
  const auto large = net.Unary("relu", net.Linear("b", small, 64));
  const Plan plan = plan::PlanOf(Recorded(&net, {net.Linear("c", large, 4)}));
  const plan::Component& relu = plan::ComponentNamed(plan, "relu_fp32");
  ASSERT_EQ(relu.workloads.size(), 2u);
  ASSERT_NE(relu.workloads[0].node, relu.nodes[0]) << "the largest is not the first";
  Net alone("relu_fp32.py");
  const auto y = alone.b.Input("x", {2, 4});
  EXPECT_THAT(CompareWithSlice(plan, relu.id, Recorded(&alone, {alone.Unary("relu", y)})), IsEmpty());
}

}  // namespace
}  // namespace strata::emit
