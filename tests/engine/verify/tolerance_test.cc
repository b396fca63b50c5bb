#include "worker/engine/verify/tolerance.h"

#include <gtest/gtest.h>

#include "worker/engine/program/builder.h"
#include "worker/engine/verify/weight_transfer.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::DType;
using program::T;

TEST(Tolerance, HalfOnTheWayWidensThatOutputOnly) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto half = b.Op("aten::to.dtype", {T("self", x)}, {2}, DType::kBFloat16);
  const auto coarse = b.Op("aten::to.dtype", {T("self", half)}, {2});
  const auto fine = b.Op("aten::relu", {T("self", x)}, {2});
  const auto tolerances = OutputTolerances(b.Finish({coarse, fine}), Purpose::kStep);
  ASSERT_EQ(tolerances.size(), 2u);
  EXPECT_EQ(tolerances[0].rtol, 1e-3);
  EXPECT_EQ(tolerances[0].atol, 1e-3);
  EXPECT_EQ(tolerances[1].rtol, 1e-5);
  EXPECT_EQ(tolerances[1].atol, 1e-6);
}

TEST(Tolerance, TheCompositionIsHeldToItsOwn) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto y = b.Op("aten::relu", {T("self", x)}, {2});
  const auto tolerances = OutputTolerances(b.Finish({y}), Purpose::kComposition);
  EXPECT_EQ(tolerances.at(0).rtol, 1e-4);
  EXPECT_EQ(tolerances.at(0).atol, 1e-5);
}

TEST(Tolerance, TheInputDtypeIsThatOfTheFirstFloatingInput) {
  Builder b;
  const auto ids = b.Input("ids", {2}, DType::kInt64);
  b.Input("x", {2}, DType::kBFloat16);
  EXPECT_EQ(InputDType(b.Finish({ids})), "torch.bfloat16");
  Builder only_ids;
  const auto id = only_ids.Input("ids", {2}, DType::kInt64);
  EXPECT_EQ(InputDType(only_ids.Finish({id})), "torch.int64");
}

program::Program WithWeights(const std::vector<std::string>& keys) {
  Builder b;
  const auto x = b.Input("x", {2});
  for (const std::string& key : keys) b.Parameter(key, {2});
  return b.Finish({x});
}

TEST(WeightTransfer, MapsByNameAndThroughTheMap) {
  const auto json = WeightTransferJson(WithWeights({"fc.weight", "fc.bias", "unused.weight"}),
                                       WithWeights({"linear.linear.weight", "fc.bias"}),
                                       {{"fc.weight", {"linear.linear.weight"}}});
  EXPECT_EQ(json["status"], "OK");
  EXPECT_EQ(json["mapped_count"], 2);
  EXPECT_EQ(json["unmapped_original"], nlohmann::ordered_json({"unused.weight"}));
  EXPECT_EQ(json["weight_map"]["fc.weight"], "linear.linear.weight");
}

TEST(WeightTransfer, AWeightThatGetsNothingFails) {
  const auto json =
      WeightTransferJson(WithWeights({"fc.weight"}), WithWeights({"fc.weight", "extra.weight"}), {});
  EXPECT_EQ(json["status"], "FAIL");
  EXPECT_EQ(json["unmapped_refactored"], nlohmann::ordered_json({"extra.weight"}));
}

TEST(WeightTransfer, OneNameOfATiedWeightIsEnough) {
  Builder original, refactored;
  const auto x = original.Input("x", {2});
  original.Parameter("embed.weight", {2});
  const auto y = refactored.Input("x", {2});
  const auto tied = refactored.Parameter("embed.weight", {2});
  refactored.Tie("head.weight", tied);
  const auto json = WeightTransferJson(original.Finish({x}), refactored.Finish({y}), {});
  EXPECT_EQ(json["status"], "OK") << json.dump();
}

}  // namespace
}  // namespace strata::verify
