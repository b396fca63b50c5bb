#include "worker/engine/verify/draw.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "base/files.h"
#include "worker/engine/host/tensor_file.h"
#include "worker/engine/program/builder.h"
#include "worker/engine/verify/draw_tensor.h"

namespace strata::verify {
namespace {

using host::TensorFile;
using nlohmann::json;
using program::Builder;
using program::T;

class DrawTest : public ::testing::Test {
 protected:
  DrawTest() : dir_(*TempDir::Create("draw")) {}

  // What becomes of these arguments, with all single changes or none.
  TensorFile Draw(const TensorFile& given, bool all, Reach reach = Reach::kWide) {
    EXPECT_TRUE(host::WriteTensorFile(dir_.path() + "/in.bin", given).ok());
    InputDraw draw{.seed = 7, .reach = reach, .one_by_one = reach == Reach::kAsBuilt};
    const int count = *CountInputChanges(dir_.path() + "/in.bin", draw.one_by_one);
    for (int i = 0; all && i < count; ++i) draw.changes.insert(i);
    const absl::StatusOr<DrawnInputs> drawn =
        DrawInputs(dir_.path() + "/in.bin", draw, dir_.path() + "/out.bin");
    EXPECT_TRUE(drawn.ok()) << drawn.status();
    drawn_ = *drawn;
    return *host::ReadTensorFile(dir_.path() + "/out.bin");
  }

  TempDir dir_;
  DrawnInputs drawn_;
};

json Args(const json& items) { return {{"args", {{"kind", "tuple"}, {"class", "tuple"}, {"items", items}}}}; }
json Literal(const char* text) { return {{"kind", "literal"}, {"value", text}}; }
json Tensor(int index) { return {{"kind", "tensor"}, {"index", index}}; }

TEST_F(DrawTest, OneTensorThatIsGivenTwiceBecomesTwo) {
  TensorFile given;
  given.tensors.emplace_back("x", at::randn({3, 4}));
  given.trees = Args({Tensor(0), Tensor(0)});
  EXPECT_EQ(Draw(given, false).tensors.size(), 1u);
  const TensorFile apart = Draw(given, true);
  ASSERT_EQ(apart.tensors.size(), 2u);
  EXPECT_EQ(apart.trees["args"]["items"][1]["index"], 1);
  EXPECT_FALSE(at::equal(apart.tensors[0].second, apart.tensors[1].second));
}

TEST_F(DrawTest, WhatIsKeptBecomesAnotherOfItsKindAndEqualOnesEachAnother) {
  TensorFile given;
  const at::Tensor ids = at::arange(12).reshape({3, 4});
  given.tensors = {{"ids", ids},
                   {"again", ids.clone()},
                   {"mask", at::ones({4, 6})},
                   {"other", at::ones({4, 6})},
                   {"alone", at::zeros({5}, at::kLong)},
                   {"temperature", at::ones({1})},
                   {"spread", at::arange(4).expand({3, 4})},
                   {"rows", at::rand({1, 4}).sub(0.5).expand({3, 4})}};
  given.trees = Args(
      {Tensor(0), Tensor(1), Tensor(2), Tensor(3), Tensor(4), Tensor(5), Tensor(6), Tensor(7), Tensor(0)});
  const TensorFile drawn = Draw(given, true);
  ASSERT_EQ(drawn.tensors.size(), 9u);
  const auto at = [&](size_t i) { return drawn.tensors[i].second; };
  for (const size_t i : {0u, 1u, 8u}) {
    EXPECT_FALSE(at::equal(at(i), ids)) << i;
    EXPECT_TRUE(at::equal(std::get<0>(at(i).flatten().sort()), ids.flatten())) << i;
  }
  EXPECT_FALSE(at::equal(at(0), at(1)));
  EXPECT_FALSE(at::equal(at(0), at(8)));
  EXPECT_FALSE(at::equal(at(3), at(2)));
  for (const size_t i : {2u, 3u, 4u}) {
    EXPECT_FALSE(at::equal(at(i), given.tensors[i].second)) << i;
    EXPECT_TRUE(at(i).eq(0).logical_or(at(i).eq(1)).all().item<bool>()) << i;
  }
  EXPECT_GT(at(5).item<float>(), 0);
  EXPECT_NE(at(5).item<float>(), 1);
  for (const size_t i : {6u, 7u}) EXPECT_FALSE(at::equal(at(i)[0], at(i)[1])) << i;
}

TEST_F(DrawTest, EachTensorIsDrawnAloneWhereTheOriginalBearsNoDrawOfAll) {
  TensorFile given;
  given.tensors = {{"x", at::randn({3, 4})}, {"y", at::randn({4})}, {"ids", at::arange(3)}};
  given.trees = Args({Tensor(0), Tensor(1), Tensor(2)});
  EXPECT_TRUE(at::equal(Draw(given, false, Reach::kAsBuilt).tensors[0].second, given.tensors[0].second));
  EXPECT_FALSE(drawn_.tensors);
  EXPECT_EQ(*CountInputChanges(dir_.path() + "/in.bin", true), 5);  // wide and narrow, and ids
  EXPECT_FALSE(at::equal(Draw(given, true, Reach::kAsBuilt).tensors[1].second, given.tensors[1].second));
  EXPECT_TRUE(drawn_.tensors);
}

TEST_F(DrawTest, NumbersBecomeOthersOfTheirKind) {
  TensorFile given;
  given.tensors.emplace_back("x", at::randn({3, 4}));
  given.trees = Args({Tensor(0), Literal("0.5"), Literal("-4.0"), Literal("7"), Literal("1"), Literal("True"),
                      Literal("'mean'"), Literal("nan"), Literal("7"), Literal("-3")});
  Draw(given, false);
  EXPECT_FALSE(drawn_.numbers);
  const json items = Draw(given, true).trees["args"]["items"];
  EXPECT_TRUE(drawn_.numbers);
  const auto number = [&](int i) { return std::stod(items[i]["value"].get<std::string>()); };
  EXPECT_GT(number(1), 0);
  EXPECT_LT(number(1), 1);
  EXPECT_NE(number(1), 0.5);
  EXPECT_LT(number(2), 0);
  EXPECT_NE(number(2), -4);
  EXPECT_EQ(items[3]["value"], "8");
  EXPECT_EQ(items[8]["value"], "9");  // no longer equal to the first 7
  EXPECT_EQ(items[9]["value"], "-4");
  EXPECT_EQ(items[4]["value"], "2");
  const char* const kept[] = {"True", "'mean'", "nan"};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(items[5 + i]["value"], kept[i]);
}

TEST(DrawWide, IsWideInsideAModelAndInTheDomainOfItsInputs) {
  const at::Tensor positive = at::rand({64, 32}).add(0.5).mul(4);
  EXPECT_GT(DrawWide(positive, true, true, 1).min().item<float>(), 0);
  const at::Tensor inside = DrawWide(positive, false, true, 1);
  EXPECT_FALSE(at::equal(inside, DrawWide(positive, false, true, 2)));
  EXPECT_LT(inside.min().item<float>(), -50);
  EXPECT_GT(inside.max().item<float>(), 50);
  EXPECT_FALSE(DrawWide(at::arange(4), true, true, 1).defined());
  EXPECT_FALSE(DrawWide(at::ones({4}), true, true, 1).defined());
  EXPECT_FALSE(DrawWide(at::ones({4, 4}).triu(1).mul(-1e9), true, true, 1).defined());
}

TEST(BranchingWeights, AreThoseThatANumberOfPythonsLeadsBackTo) {
  Builder b;
  const auto x = b.Input("x", {2}), gate = b.Parameter("gate", {2}), weight = b.Parameter("weight", {2});
  const auto sum = b.Op("aten::sum", {T("self", gate)}, {});
  b.Op("aten::_local_scalar_dense", {T("self", sum)}, {});
  b.last_call().results.clear();
  const auto y = b.Op("aten::mul.Tensor", {T("self", x), T("other", weight)}, {2});
  EXPECT_EQ(BranchingWeights(b.Finish({y})), std::set<std::string>{"gate"});
}

}  // namespace
}  // namespace strata::verify
