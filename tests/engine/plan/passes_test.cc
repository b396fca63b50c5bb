// The passes before kernels: constants, dead code, in-place operators.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/engine/plan/net.h"
#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/dead_code.h"
#include "worker/engine/plan/fold_constants.h"
#include "worker/engine/plan/functionalise.h"

namespace strata::plan {
namespace {

using namespace program;

std::vector<std::string> Ops(const Program& program) {
  std::vector<std::string> ops;
  for (const Call& call : program.calls) ops.push_back(call.op.substr(6));
  return ops;
}

std::vector<uint8_t> Bytes(double value) {
  std::vector<uint8_t> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

TEST(FoldConstants, ACastOfAConstantIsAConstantOfTheNewType) {
  Net net;
  const auto x = net.b.Input("x", {2});
  const auto half = net.b.Constant({}, DType::kFloat64, Bytes(0.5));
  const auto cast =
      net.b.Op("aten::to.dtype", {T("self", half), Dt("dtype", DType::kFloat32)}, {}, DType::kFloat32);
  const Program folded = FoldConstants(net.b.Finish({net.Mul(x, cast)}));
  EXPECT_EQ(Ops(folded), std::vector<std::string>{"mul"});
  const Value& value = folded.value(folded.calls[0].args[1].value.value);
  EXPECT_EQ(value.kind, ValueKind::kConstant);
  ASSERT_EQ(value.data.size(), 4u);
  float f;
  std::memcpy(&f, value.data.data(), 4);
  EXPECT_EQ(f, 0.5f);
}

TEST(FoldConstants, OperatorsThatComputeOnConstantsStay) {
  Net net;
  const auto x = net.b.Input("x", {2});
  const auto c = net.b.Constant({}, DType::kFloat64, Bytes(0.5));
  const Program folded = FoldConstants(net.b.Finish({net.Mul(x, net.Unary("exp", c))}));
  EXPECT_EQ(Ops(folded), (std::vector<std::string>{"exp", "mul"}));
}

TEST(FoldConstants, ContiguousOfTheVeryTensorVanishesAndARealCopyStays) {
  Net net;
  const auto x = net.b.Input("x", {2, 3});
  const auto same = net.b.View("aten::contiguous", {T("self", net.Relu(x))}, {2, 3});
  const auto copy = net.b.Op("aten::clone", {T("self", same)}, {2, 3});
  const Program folded = FoldConstants(net.b.Finish({net.Relu(copy)}));
  EXPECT_EQ(Ops(folded), (std::vector<std::string>{"relu", "clone", "relu"}));
  EXPECT_EQ(folded.calls[1].args[0].value.value, folded.calls[0].results[0]);
}

TEST(FoldConstants, ConcatenationWithAnEmptyCacheIsItsOtherOperand) {
  Net net;
  const auto x = net.b.Input("x", {2, 3});
  const auto empty = net.b.Constant({0});
  const auto cat = net.b.Op("aten::cat", {Ts("tensors", {empty, x}), I("dim", 0)}, {2, 3});
  const Program folded = FoldConstants(net.b.Finish({net.Relu(cat)}));
  EXPECT_EQ(Ops(folded), std::vector<std::string>{"relu"});
  EXPECT_EQ(folded.calls[0].args[0].value.value, x);
}

TEST(RemoveDeadCode, DropsWhatNobodyReadsAndKeepsWriters) {
  Net net;
  const auto x = net.b.Input("x", {2});
  const auto counter = net.b.Buffer("steps", {});
  net.Relu(net.Unary("exp", x));
  net.b.Op("aten::add_.Tensor", {T("self", counter), N("other", 1)}, {});
  const Program program = RemoveDeadCode(net.b.Finish({net.Unary("tanh", x)}));
  EXPECT_EQ(Ops(program), (std::vector<std::string>{"add_", "tanh"}));
  EXPECT_EQ(program.calls[1].id, 1);
  EXPECT_EQ(program.invocations[0].end, 2);
  EXPECT_EQ(program.value(program.calls[1].results[0]).producer, 1);
}

TEST(Functionalise, ReluInPlaceBecomesRelu) {
  Net net;
  auto x = net.b.Input("x", {2, 4});
  x = net.Linear("fc", x, 4);
  x = net.ReluModule("act", x, /*in_place=*/true);
  const Program program = Functionalise(net.b.Finish({net.Unary("tanh", x)}));
  EXPECT_EQ(Ops(program), (std::vector<std::string>{"linear", "relu", "tanh"}));
  EXPECT_TRUE(program.calls[1].mutated.empty());
  EXPECT_EQ(program.calls[1].marks & kMutates, 0u);
}

TEST(Functionalise, KeepsAWriteToASubmittedInput) {
  Net net;
  const auto x = net.b.Input("x", {2, 4});
  const Program program = Functionalise(net.b.Finish({net.ReluModule("act", x, true)}));
  EXPECT_EQ(Ops(program), std::vector<std::string>{"relu_"});
}

TEST(Functionalise, KeepsAWriteThatTheOldValueShowsLater) {
  Net net;
  auto x = net.b.Input("x", {2, 4});
  const auto h = net.Linear("fc", x, 4);
  const auto y = net.ReluModule("act", h, true);
  const Program program = Functionalise(net.b.Finish({net.Add(h, y)}));
  EXPECT_EQ(Ops(program), (std::vector<std::string>{"linear", "relu_", "add"}));
}

TEST(Functionalise, KeepsAWriteThatAnotherViewShowsLater) {
  Net net;
  auto x = net.b.Input("x", {2, 4});
  const auto h = net.Linear("fc", x, 4);
  const auto view = net.View(h, {4, 2});
  const auto y = net.ReluModule("act", h, true);
  const auto seen = net.Unary("tanh", view);
  const Program program = Functionalise(net.b.Finish({y, seen}));
  EXPECT_EQ(Ops(program), (std::vector<std::string>{"linear", "view", "relu_", "tanh"}));
}

TEST(Functionalise, KeepsAWriteWhosePlainFormWouldPromote) {
  Net net;
  const auto x = net.b.Input("x", {2}, DType::kFloat32);
  const auto half =
      net.b.Op("aten::to.dtype", {T("self", x), Dt("dtype", DType::kFloat16)}, {2}, DType::kFloat16);
  const auto sum = net.b.Op("aten::add_.Tensor", {T("self", half), T("other", x)}, {2}, DType::kFloat16);
  const Program program = Functionalise(net.b.Finish({sum}));
  EXPECT_EQ(program.calls[1].op, "aten::add_");
}

TEST(Dataflow, AWriteRunsAfterEarlierReadersOfThatMemory) {
  Net net;
  auto x = net.b.Input("x", {2, 4});
  const auto h = net.Linear("fc", x, 4);
  const auto early = net.Unary("tanh", h);
  const auto y = net.ReluModule("act", h, true);
  const Program program = net.b.Finish({early, y});
  const Dataflow flow(program);
  EXPECT_EQ(flow.needs(2), (std::vector<CallId>{0, 1}));
}

TEST(Dataflow, ASetWithAPathThroughTheOutsideIsNotConvex) {
  Net net;
  const auto x = net.b.Input("x", {2});
  const auto a = net.Unary("exp", x);
  const auto b = net.Unary("tanh", a);
  const Program program = net.b.Finish({net.Add(a, b)});
  const Dataflow flow(program);
  EXPECT_FALSE(IsConvex(flow, {0, 2}));
  EXPECT_TRUE(IsConvex(flow, {0, 1, 2}));
  EXPECT_TRUE(IsConvex(flow, {0, 1}));
}

}  // namespace
}  // namespace strata::plan
