#include "worker/engine/program/program.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/engine/program/builder.h"
#include "worker/engine/program/printer.h"

namespace strata::program {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(OperatorName, DropsNamespaceAndTheUnderscoreOfInPlaceForms) {
  EXPECT_EQ(OperatorName("aten::linear"), "linear");
  EXPECT_EQ(OperatorName("aten::relu_"), "relu");
  EXPECT_EQ(OperatorName("aten::__and__"), "__and__");
  EXPECT_EQ(OperatorName("aten::_softmax"), "_softmax");
  EXPECT_EQ(OperatorName("mylib::relu"), "mylib::relu");
}

TEST(DType, NamesAreThoseOfBundleFilesAndOfPython) {
  EXPECT_STREQ(ShortName(DType::kBFloat16), "bf16");
  EXPECT_STREQ(TorchName(DType::kInt64), "torch.int64");
  EXPECT_EQ(ElementSizeBytes(DType::kComplex128), 16);
  EXPECT_TRUE(IsFloating(DType::kFloat16));
  EXPECT_FALSE(IsFloating(DType::kInt64));
  EXPECT_TRUE(IsIntegral(DType::kUInt8));
  EXPECT_FALSE(IsIntegral(DType::kBool));
}

TEST(Reads, FlattensListsInArgumentOrder) {
  Builder b;
  const auto x = b.Input("x", {2}), y = b.Input("y", {2});
  b.Op("aten::cat", {Ts("tensors", {y, x, y}), I("dim", 0)}, {6});
  EXPECT_THAT(Reads(b.last_call()), ElementsAre(y, x, y));
}

TEST(Encloses, FollowsParents) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto outer = b.Enter("a", {x});
  const auto inner = b.Enter("a.b", {x});
  b.Leave({x});
  b.Leave({x});
  const auto other = b.Enter("c", {x});
  b.Leave({x});
  const Program p = b.Finish({x});
  EXPECT_TRUE(Encloses(p, 0, inner));
  EXPECT_TRUE(Encloses(p, outer, inner));
  EXPECT_TRUE(Encloses(p, inner, inner));
  EXPECT_FALSE(Encloses(p, inner, outer));
  EXPECT_FALSE(Encloses(p, other, inner));
}

TEST(InitSlice, HoldsWhatTheBufferWasMadeFromAndNothingElse) {
  Builder b;
  const auto ones = b.InitOp("aten::ones", {Is("size", {4, 4})}, {4, 4});
  b.InitOp("aten::zeros", {Is("size", {4})}, {4});
  const auto tril = b.InitOp("aten::tril", {T("self", ones)}, {4, 4});
  const auto mask = b.Buffer("mask", {4, 4});
  b.MadeBy(mask, tril);
  const auto x = b.Input("x", {4, 4});
  const Program p = b.Finish({x});
  EXPECT_THAT(InitSlice(p, mask), ElementsAre(0, 2));
  EXPECT_THAT(InitSlice(p, x), IsEmpty());
}

TEST(InitSlice, HoldsWritesThroughViewsOfTheSameMemory) {
  Builder b;
  const auto table = b.InitOp("aten::zeros", {Is("size", {4, 4})}, {4, 4});
  const auto view = b.InitOp("aten::slice.Tensor", {T("self", table)}, {4, 2});
  b.value(view).storage = b.value(table).storage;
  const auto angles = b.InitOp("aten::arange", {I("end", 2)}, {2});
  b.InitOp("aten::copy_", {T("self", view), T("src", angles)}, {4, 2});
  const auto buffer = b.Buffer("pe", {4, 4});
  b.value(buffer).storage = b.value(table).storage;
  b.MadeBy(buffer, table);
  const Program p = b.Finish({b.Input("x", {1})});
  EXPECT_THAT(InitSlice(p, buffer), ElementsAre(0, 1, 2, 3));
}

TEST(Print, SaysCallsWithTheirParametersScopesAndLines) {
  Builder b("mlp.py");
  b.Module("fc1", "Linear", {{"in_features", "8"}, {"out_features", "16"}});
  const auto w = b.Parameter("fc1.weight", {16, 8});
  const auto x = b.Input("x", {2, 8});
  b.Enter("fc1", {x});
  b.Line(21);
  const auto h = b.Op("aten::linear", {T("input", x), T("weight", w), Default(None("bias"))}, {2, 16});
  b.Leave({h});
  b.EnterFunction("activate");
  b.Targets({"y"});
  const auto y = b.Op("aten::relu_", {T("self", h)}, {2, 16});
  const std::string text = Print(b.Finish({y}));
  EXPECT_THAT(text, HasSubstr("param  %p0 \"fc1.weight\" : fp32[16,8]"));
  EXPECT_THAT(text, HasSubstr("module \"fc1\" nn.Linear(in_features=8, out_features=16)"));
  EXPECT_THAT(text,
              HasSubstr("    %2 = linear(%x1 \"x\", %p0 \"fc1.weight\") : fp32[2,16]   # fc1 @ nn.py:21\n"));
  EXPECT_THAT(text, HasSubstr("%3 = relu_(%2) : fp32[2,16] writes %2 as %3 mutates   # @ mlp.py:"));
  EXPECT_THAT(text, HasSubstr("activate#"));
  EXPECT_THAT(text, HasSubstr(" =y\n"));
  EXPECT_THAT(text, HasSubstr("  return %3\n"));
}

}  // namespace
}  // namespace strata::program
