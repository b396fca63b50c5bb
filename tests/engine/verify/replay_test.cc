// Programs made by hand, executed by the replay in this process.
#include "worker/engine/verify/replay.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "worker/engine/program/builder.h"
#include "worker/engine/verify/digest.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::F;
using program::I;
using program::N;
using program::Program;
using program::T;

Leaves OneInput(const at::Tensor& x) {
  Leaves leaves;
  leaves.inputs.tensors.emplace_back("x", x);
  leaves.inputs.trees = {
      {"args", {{"kind", "tuple"}, {"items", {{{"kind", "tensor"}, {"index", 0}}}}}},
      {"kwargs", {{"kind", "dict"}, {"keys", nlohmann::json::array()}, {"items", nlohmann::json::array()}}}};
  return leaves;
}

// x is the model's one argument.
Program WithArgument(Builder& b, program::ValueId x, const std::vector<program::ValueId>& outputs) {
  Program p = b.Finish(outputs);
  program::Tree tree;
  tree.kind = program::Tree::Kind::kTensor;
  tree.value = x;
  p.invocations[0].args = {tree};
  return p;
}

at::Tensor Output(Replay& replay) {
  const auto outputs = replay.Outputs();
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs->tensors.at(0).second;
}

TEST(Replay, ExecutesOperatorsOnInputsAndWeights) {
  Builder b;
  const auto x = b.Input("x", {2, 3}), w = b.Parameter("fc.weight", {4, 3}),
             bias = b.Parameter("fc.bias", {4});
  const auto h = b.Op("aten::linear", {T("input", x), T("weight", w), T("bias", bias)}, {2, 4});
  const auto y = b.Op("aten::softmax.int", {T("self", h), I("dim", -1)}, {2, 4});
  const Program p = WithArgument(b, x, {y});
  const at::Tensor in = at::randn({2, 3}), weight = at::randn({4, 3}), shift = at::randn({4});
  Leaves leaves = OneInput(in);
  leaves.weights = {{"fc.weight", weight}, {"fc.bias", shift}};
  Replay replay(p, std::move(leaves));
  ASSERT_TRUE(replay.Run(42).ok());
  EXPECT_TRUE(at::equal(Output(replay), at::softmax(at::linear(in, weight, shift), -1)));
}

TEST(Replay, WritesThroughViewsAsTheModelDid) {
  Builder b;
  const auto x = b.Input("x", {2, 3});
  const auto row = b.View("aten::select.int", {T("self", x), I("dim", 0), I("index", 0)}, {3});
  b.Op("aten::mul_.Scalar", {T("self", row), N("other", 3)}, {3});
  const auto y = b.Op("aten::neg", {T("self", x)}, {2, 3});
  const Program p = WithArgument(b, x, {y});
  const at::Tensor in = at::ones({2, 3});
  Replay replay(p, OneInput(in));
  ASSERT_TRUE(replay.Run(42).ok());
  EXPECT_EQ(Output(replay)[0][0].item<float>(), -3);
  EXPECT_EQ(Output(replay)[1][0].item<float>(), -1);
  EXPECT_EQ(replay.inputs().tensors[0].second[0][0].item<float>(), 3) << "the input was changed in place";
}

TEST(Replay, RandomOperatorsDrawWhatARunnerDraws) {
  Builder b;
  const auto x = b.Input("x", {3});
  const auto y = b.Op("aten::rand_like", {T("self", x)}, {3});
  const Program p = WithArgument(b, x, {y});
  Replay replay(p, OneInput(at::zeros({3})));
  ASSERT_TRUE(replay.Run(7).ok());
  at::manual_seed(7);
  EXPECT_TRUE(at::equal(Output(replay), at::rand({3})));
}

TEST(Replay, WhatCannotBeExecutedIsAStatusThatNamesTheCall) {
  const auto status_of = [](const std::string& op, std::vector<program::NamedArgument> more) {
    Builder b("mlp.py");
    const auto x = b.Input("x", {3});
    std::vector<program::NamedArgument> args = {T("self", x)};
    args.insert(args.end(), more.begin(), more.end());
    b.Line(21);
    const auto y = b.Op(op, args, {3});
    const Program p = WithArgument(b, x, {y});
    return std::string(Replay(p, OneInput(at::zeros({3}))).Run(42).message());
  };
  EXPECT_NE(status_of("aten::no_such_operator", {}).find("no such operator"), std::string::npos);
  EXPECT_NE(status_of("aten::relu", {I("no", 1)}).find("too many arguments"), std::string::npos);
  EXPECT_NE(status_of("aten::softmax.int", {program::Is("dim", {0})}).find("does not fit"),
            std::string::npos);
  EXPECT_EQ(status_of("aten::squeeze.dim", {I("dim", 9)}).rfind("#0 aten::squeeze at mlp.py:21: ", 0), 0u);
}

TEST(Replay, HooksSeeBordersAndCalls) {
  Builder b;
  const auto x = b.Input("x", {3});
  b.Enter("act", {x});
  const auto y = b.Op("aten::relu", {T("self", x)}, {3});
  b.Leave({y});
  const auto z = b.Op("aten::neg", {T("self", y)}, {3});
  const Program p = WithArgument(b, x, {z});
  std::string seen;
  Replay replay(p, OneInput(at::ones({3})));
  const auto status = replay.Run(
      42, {.enter =
               [&](const program::Invocation& i) {
                 seen += "(" + std::to_string(i.id);
                 return absl::OkStatus();
               },
           .leave =
               [&](const program::Invocation& i) {
                 seen += ")";
                 if (i.id == 1) replay.Set(y, at::full({3}, 5.0));
                 return absl::OkStatus();
               },
           .before_call = {},
           .after_call = [&](const program::Call& call) { seen += program::OperatorName(call.op); }});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(seen, "(0(1relu)neg)");
  EXPECT_EQ(Output(replay)[0].item<float>(), -5) << "what a hook sets is what later calls read";
}

TEST(Replay, AHostileProgramIsAStatus) {
  Builder b;
  const auto x = b.Input("x", {3});
  const auto c = b.Constant({1 << 20, 1 << 20}, program::DType::kFloat32, {1, 2, 3});
  const auto y = b.Op("aten::add.Tensor", {T("self", x), T("other", c)}, {3});
  const Program p = WithArgument(b, x, {y});
  EXPECT_NE(std::string(Replay(p, OneInput(at::zeros({3}))).Run(42).message()).find("were not recorded"),
            std::string::npos);
}

TEST(Digest, SaysBitsShapesAndStructureAndNothingElse) {
  const at::Tensor a = at::arange(6, at::kFloat).reshape({2, 3});
  EXPECT_EQ(DigestOf(a), DigestOf(a.t().contiguous().t())) << "strides are no bits";
  EXPECT_NE(DigestOf(a), DigestOf(a.reshape({3, 2})));
  EXPECT_NE(DigestOf(a), DigestOf(a.to(at::kDouble)));
  EXPECT_NE(DigestOf(at::zeros({1})), DigestOf(-at::zeros({1}))) << "minus zero";
}

}  // namespace
}  // namespace strata::verify
