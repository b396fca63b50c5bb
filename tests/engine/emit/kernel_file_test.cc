// Files of single kernels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using plan::Net;
using plan::Plan;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(KernelFile, ALinearIsAStandaloneFile) {
  const std::string text = TextOf(Mlp(), "linear_16x2_fp32");
  EXPECT_THAT(text, StartsWith(R"py("""
Component: linear_16x2_fp32
Abstraction Level: kernel
Parent: mlp
Children: none

Operations: linear

Input Shapes:
  - x: [4, 16] dtype=torch.float32

Output Shapes:
  - output: [4, 2] dtype=torch.float32

Weight Shapes:
  - linear.weight: [2, 16]
  - linear.bias: [2]
"""

import torch
import torch.nn as nn


class Model(nn.Module):
    """
    nn.Linear.

    Extracted from: mlp, as fc3
    """

    def __init__(self, in_features=16, out_features=2):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.linear(x)  # [4, 2]


def get_inputs():
    return [torch.randn(4, 16)]


def get_init_inputs():
    return [16, 2]


def get_expected_output_shape():
    return [(4, 2)]


def run_tests():
    """Verify this component executes correctly."""
)py"));
  EXPECT_THAT(text, testing::EndsWith("    sys.exit(0 if run_tests() else 1)\n"));
}

TEST(KernelFile, AConvolutionKeepsWhatIsNotTorchsDefaultAndDropsTheRest) {
  Net net("conv.py");
  auto x = net.b.Input("x", {2, 3, 8, 8});
  x = net.Relu(net.Conv("down", x, 8, 3, 2, 1, false));
  const Plan plan = Planned(&net, {net.Relu(net.Conv("same", x, 8, 1, 1, 0))});
  EXPECT_EQ(ClassIn(TextOf(plan, "conv2d_3x8_3x3_s2_p1_nobias_fp32"), "Model"), R"py(class Model(nn.Module):
    def __init__(self, in_channels=3, out_channels=8):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, bias=False)

    def forward(self, x):
        return self.conv(x)  # [2, 8, 4, 4]
)py");
  EXPECT_EQ(ClassIn(TextOf(plan, "conv2d_8x8_1x1_fp32"), "Model"), R"py(class Model(nn.Module):
    def __init__(self, in_channels=8, out_channels=8):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x):
        return self.conv(x)
)py");
}

TEST(KernelFile, AFunctionalConvolutionIsTheModuleWithItsGroups) {
  Net net("functional.py");
  const auto x = net.b.Input("x", {2, 4, 8, 8});
  const auto weight = net.b.Parameter("weight", {8, 2, 3, 3});
  const auto y =
      net.b.Op("aten::conv2d",
               {T("input", x), T("weight", weight), Default(None("bias")), Default(Is("stride", {1, 1})),
                Is("padding", {2, 2}), Is("dilation", {2, 2}), I("groups", 2)},
               {2, 8, 8, 8});
  const Plan plan = Planned(&net, {net.Relu(net.Relu(y))});
  const plan::Component& conv = plan.components.at(1);
  EXPECT_EQ(ClassIn(TextOf(plan, conv.stem), "Model"), R"py(class Model(nn.Module):
    def __init__(self, in_channels=4, out_channels=8):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=2, dilation=2, groups=2, bias=False)

    def forward(self, x):
        return self.conv(x)  # [2, 8, 8, 8]
)py");
}

// The lines of forward of a model that is this one activation and a linear.
std::string ForwardOf(const std::string& op, std::vector<NamedArgument> more) {
  Net net("activation.py");
  const auto x = net.b.Input("x", {2, 8});
  more.insert(more.begin(), T("self", x));
  const auto y = net.b.Op(op, more, {2, 8});
  const Plan plan = Planned(&net, {net.Linear("fc", y, 8)});
  return ClassIn(TextOf(plan, plan.components.at(1).stem), "Model");
}

TEST(KernelFile, AnActivationIsOneLineWithoutItsDefaults) {
  EXPECT_EQ(ForwardOf("aten::gelu", {Default(KwargOnly(program::None("approximate", "str")))}),
            "class Model(nn.Module):\n    def forward(self, x):\n        return F.gelu(x)\n");
  NamedArgument tanh = KwargOnly(program::None("approximate", "str"));
  tanh.value = Argument::OfString("tanh");
  EXPECT_THAT(ForwardOf("aten::gelu", {tanh}), HasSubstr("        return F.gelu(x, approximate=\"tanh\")\n"));
  EXPECT_THAT(ForwardOf("aten::leaky_relu", {N("negative_slope", 0.2)}),
              HasSubstr("        return F.leaky_relu(x, 0.2)\n"));
  EXPECT_THAT(ForwardOf("aten::leaky_relu", {Default(N("negative_slope", 0.01))}),
              HasSubstr("        return F.leaky_relu(x)\n"));
}

TEST(KernelFile, SoftmaxSaysItsDimension) {
  const auto softmax = [](int64_t dim) {
    return ForwardOf("aten::softmax.int", {I("dim", dim), Default(program::None("dtype", "ScalarType?"))});
  };
  EXPECT_THAT(softmax(-1), HasSubstr("        return F.softmax(x, dim=-1)\n"));
  EXPECT_THAT(softmax(0), HasSubstr("        return F.softmax(x, dim=0)\n"));
}

// A Python number as the dispatcher wraps it.
ValueId Wrapped(Net* net, double number) {
  std::vector<uint8_t> bytes(sizeof number);
  std::memcpy(bytes.data(), &number, sizeof number);
  const ValueId id = net->b.Constant({}, DType::kFloat64, bytes);
  net->b.value(id).is_wrapped_number = true;
  return id;
}

TEST(KernelFile, RmsNormByHandIsOneKernelWithItsWeightAndEpsilon) {
  Net net("norm.py");
  const auto x = net.b.Input("x", {2, 4, 8});
  net.Enter("norm", "RMSNorm", {x});
  const auto weight = net.b.Parameter("norm.weight", {8});
  net.b.Targets({"variance"});
  const auto square = net.b.Op("aten::pow.Tensor_Scalar", {T("self", x), I("exponent", 2)}, {2, 4, 8});
  net.b.Targets({"variance"});
  const auto mean =
      net.b.Op("aten::mean.dim", {T("self", square), Is("dim", {-1}), B("keepdim", true)}, {2, 4, 1});
  const auto root = net.Unary("rsqrt", net.Add(mean, Wrapped(&net, 1e-6)));
  const auto normed = net.Mul(x, root);
  const auto y = net.b.Op("aten::mul.Tensor", {T("self", weight), T("other", normed)}, {2, 4, 8});
  net.Leave(y);
  const Plan plan = Planned(&net, {net.Linear("fc", y, 8)});
  EXPECT_EQ(ClassIn(TextOf(plan, "rms_norm_8_eps1em6_fp32"), "Model"), R"py(class Model(nn.Module):
    def __init__(self, dim=8, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        variance = x.pow(2)
        variance = variance.mean(-1, keepdim=True)  # [2, 4, 1]
        return self.weight * (x * torch.rsqrt(variance + self.eps))  # [2, 4, 8]
)py");
}

// softmax(x.masked_fill(mask == 0, -inf)) with a triangle for the mask.
std::string MaskedSoftmax(bool persistent) {
  Net net("masked.py");
  const auto x = net.b.Input("x", {2, 4, 4});
  const auto mask = net.b.Buffer("mask", {4, 4}, DType::kBool,
                                 {1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1}, persistent);
  const auto blocked = net.b.Op("aten::eq.Scalar", {T("self", mask), I("other", 0)}, {4, 4}, DType::kBool);
  const auto filled = net.b.Op(
      "aten::masked_fill.Scalar",
      {T("self", x), T("mask", blocked), N("value", -std::numeric_limits<double>::infinity())}, {2, 4, 4});
  const Plan plan = Planned(&net, {net.Linear("fc", net.Softmax(filled), 8)});
  return TextOf(plan, "masked_softmax_4x4_dimm1_fp32");
}

TEST(KernelFile, AMaskIsPartOfItsSoftmaxAndHasTheOriginalsContent) {
  const std::string text = MaskedSoftmax(/*persistent=*/true);
  EXPECT_EQ(ClassIn(text, "Model"), R"py(class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tril(torch.ones(4, 4, dtype=torch.bool)))

    def forward(self, x):
        return F.softmax(x.masked_fill(self.mask == 0, float("-inf")), dim=-1)
)py");
  EXPECT_THAT(text, HasSubstr("  - mask: [4, 4]\n"));
}

TEST(KernelFile, ABufferThatIsNotInTheStateStaysOutOfIt) {
  const std::string text = MaskedSoftmax(/*persistent=*/false);
  EXPECT_THAT(LinesWith(text, "register_buffer"), ElementsAre(testing::EndsWith(", persistent=False)")));
  EXPECT_THAT(text, HasSubstr("Weight Shapes:\n  - none\n"));
}

TEST(KernelFile, ACallThatIsToBeExactIsSpelledByItsAtenName) {
  const Plan plan = Mlp();
  const CallId relu = plan.nodes[static_cast<size_t>(ComponentNamed(plan, "relu_fp32").nodes[0])].calls[0];
  EXPECT_THAT(TextOf(plan, "relu_fp32", {.aten = {relu}}),
              HasSubstr("        return torch.ops.aten.relu.default(x)\n"));
  const CallId linear =
      plan.nodes[static_cast<size_t>(ComponentNamed(plan, "linear_16x2_fp32").nodes[0])].calls[0];
  EXPECT_EQ(ClassIn(TextOf(plan, "linear_16x2_fp32", {.aten = {linear}}), "Model"),
            R"py(class Model(nn.Module):
    def __init__(self, dim=2):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 16) * 0.02)
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return torch.ops.aten.linear.default(x, self.weight, self.bias)  # [4, 2]
)py");
}

// out, (h, c) = lstm(x, (h0, c0)), and what is kept of it.
Program Recurrent(Net* net, bool by_keyword) {
  net->b.Module("lstm", "LSTM", {{"input_size", "8"}, {"hidden_size", "4"}});
  const auto x = net->b.Input("x", {5, 2, 8});
  const auto h0 = net->b.Input("h0", {1, 2, 4}), c0 = net->b.Input("c0", {1, 2, 4});
  const auto w = net->b.Parameter("lstm.weight_ih_l0", {16, 8});
  net->b.Enter("lstm", {x});
  const auto made = net->b.OpMany("aten::lstm.input", {T("input", x), Ts("hx", {h0, c0}), Ts("params", {w})},
                                  {{5, 2, 4}, {1, 2, 4}, {1, 2, 4}}, DType::kFloat32, /*is_list=*/false);
  net->b.Leave(made);
  const auto y = net->Relu(made[0]);
  Program program = Recorded(net, {y});
  Invocation& lstm = program.invocations.at(1);
  const auto tensor = [](ValueId id) { return Tree{.kind = Tree::Kind::kTensor, .value = id}; };
  const Tree states{.kind = Tree::Kind::kTuple, .items = {tensor(h0), tensor(c0)}};
  if (by_keyword) {
    lstm.kwargs = {{"hx", states}, {"flag", {.kind = Tree::Kind::kLiteral, .text = "False"}}};
  } else {
    lstm.args.push_back(states);
  }
  lstm.output = {
      .kind = Tree::Kind::kTuple,
      .items = {tensor(made[0]), {.kind = Tree::Kind::kTuple, .items = {tensor(made[1]), tensor(made[2])}}}};
  return program;
}

std::string CallOfRecurrent(bool by_keyword) {
  Net net("rnn.py");
  const Plan plan = plan::PlanOf(Recurrent(&net, by_keyword));
  for (const plan::Component& component : plan.components) {
    if (!component.stem.starts_with("lstm_") || component.level != plan::Level::kKernel) continue;
    const auto lines = LinesWith(TextOf(plan, component.stem), "self.lstm(");
    return lines.empty() ? "" : lines[0];
  }
  return "no kernel";
}

TEST(KernelFile, ATupleAmongTheArgumentsOfALeafStaysOne) {
  EXPECT_EQ(CallOfRecurrent(false), "        x, (_, _) = self.lstm(x, (h0, c0))  # [5, 2, 4]");
}

TEST(KernelFile, ALiteralAmongTheArgumentsOfALeafKeepsItsKeyword) {
  EXPECT_EQ(CallOfRecurrent(true), "        x, (_, _) = self.lstm(x, hx=(h0, c0), flag=False)  # [5, 2, 4]");
}

}  // namespace
}  // namespace strata::emit
