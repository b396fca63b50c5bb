// What is one kernel, and what it is called.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "tests/engine/plan/net.h"
#include "worker/engine/plan/patterns.h"
#include "worker/engine/plan/text.h"

namespace strata::plan {
namespace {

using namespace program;

std::vector<std::string> KernelStems(const Plan& plan) {
  std::vector<std::string> stems;
  for (const Component& component : plan.components) {
    if (component.level == Level::kKernel) stems.push_back(component.stem);
  }
  return stems;
}

using Stems = std::vector<std::string>;

// A model of that one formula between two linears, so that it is a kernel among others.
template <typename Formula>
Stems StemsAround(Formula formula) {
  Net net;
  auto x = net.b.Input("x", {2, 3, 8});
  x = formula(&net, net.Linear("before", x, 8));
  return KernelStems(PlanOf(net.b.Finish({net.Linear("after", x, 4)})));
}

TEST(Patterns, EveryNameIsARowOfTheCatalogue) {
  std::ifstream file(std::string(std::getenv("STRATA_SOURCE_DIR")) + "/docs/kernels.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  ASSERT_FALSE(page.empty());
  for (const std::string& name : PatternNames())
    EXPECT_NE(page.find("| `" + name + "` |"), std::string::npos) << name << " is not in docs/kernels.md";
}

TEST(Patterns, GeluByItsFormulaIsOneKernel) {
  const Stems stems = StemsAround([](Net* n, ValueId x) {
    const auto cube = n->b.Op("aten::pow.Tensor_Scalar", {T("self", x), N("exponent", 3)}, n->sizes(x));
    const auto inner = n->Scale(n->Add(x, n->Scale(cube, 0.044715)), 0.7978845608);
    return n->Mul(n->Scale(x, 0.5), n->Plus(n->Unary("tanh", inner), 1.0));
  });
  EXPECT_EQ(stems, (Stems{"linear_8x8_fp32", "gelu_tanh_fp32", "linear_8x4_fp32"}));
}

TEST(Patterns, TanhElsewhereIsNoGelu) {
  const Stems stems =
      StemsAround([](Net* n, ValueId x) { return n->Mul(n->Unary("tanh", n->Scale(x, 2)), x); });
  EXPECT_EQ(stems, (Stems{"linear_8x8_fp32", "tanh_fp32", "linear_8x4_fp32"}));
}

TEST(Patterns, SwishByHandIsOneKernelButAGateIsNot) {
  EXPECT_EQ(StemsAround([](Net* n, ValueId x) { return n->Mul(x, n->Unary("sigmoid", x)); }),
            (Stems{"linear_8x8_fp32", "swish_fp32", "linear_8x4_fp32"}));
  EXPECT_EQ(StemsAround([](Net* n, ValueId x) {
              const auto gated = n->Relu(x);
              return n->Mul(gated, n->Unary("sigmoid", x));
            }),
            (Stems{"linear_8x8_fp32", "relu_fp32", "sigmoid_fp32", "linear_8x4_fp32"}));
}

TEST(Patterns, APatternWhoseInsideIsReadElsewhereIsNone) {
  const Stems stems = StemsAround([](Net* n, ValueId x) {
    const auto gate = n->Unary("sigmoid", x);
    const auto swish = n->Mul(x, gate);
    return n->Add(swish, gate);
  });
  EXPECT_EQ(stems, (Stems{"linear_8x8_fp32", "sigmoid_fp32", "linear_8x4_fp32"}));
}

TEST(Patterns, SoftmaxByHandIsOneKernel) {
  const Stems stems = StemsAround([](Net* n, ValueId x) {
    const auto max = n->b.Op("aten::amax", {T("self", x), Is("dim", {-1}), B("keepdim", true)}, {2, 3, 1});
    const auto shifted = n->b.Op("aten::sub.Tensor", {T("self", x), T("other", max)}, n->sizes(x));
    const auto exp = n->Unary("exp", shifted);
    const auto sum =
        n->b.Op("aten::sum.dim_IntList", {T("self", exp), Is("dim", {-1}), B("keepdim", true)}, {2, 3, 1});
    return n->b.Op("aten::div.Tensor", {T("self", exp), T("other", sum)}, n->sizes(x));
  });
  EXPECT_EQ(stems, (Stems{"linear_8x8_fp32", "softmax_fp32", "linear_8x4_fp32"}));
}

TEST(Patterns, LayerNormByHandTakesItsWeights) {
  const Stems stems = StemsAround([](Net* n, ValueId x) {
    const auto mean =
        n->b.Op("aten::mean.dim", {T("self", x), Is("dim", {-1}), B("keepdim", true)}, {2, 3, 1});
    const auto centred = n->b.Op("aten::sub.Tensor", {T("self", x), T("other", mean)}, n->sizes(x));
    const auto square =
        n->b.Op("aten::pow.Tensor_Scalar", {T("self", centred), N("exponent", 2)}, n->sizes(x));
    const auto var =
        n->b.Op("aten::mean.dim", {T("self", square), Is("dim", {-1}), B("keepdim", true)}, {2, 3, 1});
    const auto root = n->Unary("sqrt", n->Plus(var, 1e-5));
    const auto normal = n->b.Op("aten::div.Tensor", {T("self", centred), T("other", root)}, n->sizes(x));
    return n->Add(n->Mul(normal, n->b.Parameter("gain", {8})), n->b.Parameter("shift", {8}));
  });
  EXPECT_EQ(stems, (Stems{"linear_8x8_fp32", "layer_norm_8_eps1em5_fp32", "linear_8x4_fp32"}));
}

TEST(Patterns, RmsNormInAModuleCarriesItsEps) {
  const Stems stems = StemsAround([](Net* n, ValueId x) { return n->RmsNorm("norm", x, 1e-6); });
  EXPECT_EQ(stems, (Stems{"linear_8x8_fp32", "rms_norm_8_eps1em6_fp32", "linear_8x4_fp32"}));
}

TEST(Patterns, CentringAloneStaysInTheParent) {
  const Stems stems = StemsAround([](Net* n, ValueId x) {
    const auto mean =
        n->b.Op("aten::mean.dim", {T("self", x), Is("dim", {1}), B("keepdim", true)}, {2, 1, 8});
    return n->b.Op("aten::sub.Tensor", {T("self", x), T("other", mean)}, n->sizes(x));
  });
  EXPECT_EQ(stems, (Stems{"linear_8x8_fp32", "mean_dim1_keepdim_fp32", "linear_8x4_fp32"}));
}

TEST(FunctionKernels, ArithmeticOfOneHelperIsAKernelNamedByIt) {
  const auto rotate = [](Net* n, ValueId x, bool helper) {
    if (helper) n->b.EnterFunction("apply_rotary");
    const auto half =
        n->b.OpMany("aten::chunk", {T("self", x), I("chunks", 2), I("dim", -1)}, {{2, 3, 4}, {2, 3, 4}});
    const auto turned =
        n->b.Op("aten::cat", {Ts("tensors", {n->Unary("neg", half[1]), half[0]}), I("dim", -1)}, {2, 3, 8});
    const auto y = n->Add(n->Mul(x, x), turned);
    if (helper) n->b.LeaveFunction();
    return y;
  };
  EXPECT_EQ(StemsAround([&](Net* n, ValueId x) { return rotate(n, x, true); }),
            (Stems{"linear_8x8_fp32", "apply_rotary_fp32", "linear_8x4_fp32"}));
  EXPECT_EQ(StemsAround([&](Net* n, ValueId x) { return rotate(n, x, false); }),
            (Stems{"linear_8x8_fp32", "linear_8x4_fp32"}));
}

TEST(FunctionKernels, AHelperWithAContractionIsNoKernel) {
  const Stems stems = StemsAround([](Net* n, ValueId x) {
    n->b.EnterFunction("attend");
    const auto y = n->Matmul(n->Softmax(n->Matmul(x, n->Transpose(x, 1, 2))), x);
    n->b.LeaveFunction();
    return y;
  });
  EXPECT_EQ(stems.size(), 5u);
}

TEST(OperatorKernels, ArithmeticWithAParameterHoldsIt) {
  const Stems stems = StemsAround([](Net* n, ValueId x) {
    return n->Add(x, n->b.Parameter("pos", {1, 3, 8}));
  });
  EXPECT_EQ(stems, (Stems{"linear_8x8_fp32", "add_1x3x8_fp32", "linear_8x4_fp32"}));
}

TEST(OperatorKernels, ATransposedWeightBelongsToItsProduct) {
  Net net;
  const auto x = net.b.Input("x", {2, 8});
  const auto weight = net.b.Parameter("weight", {4, 8});
  const auto h = net.Relu(net.Matmul(x, net.Transpose(weight, 0, 1)));
  const Plan plan = PlanOf(net.b.Finish({net.Linear("fc", h, 4)}));
  EXPECT_EQ(KernelStems(plan), (Stems{"matmul_4x8_fp32", "relu_fp32", "linear_4x4_fp32"}));
}

TEST(OperatorKernels, AParameterThatOnlyEntersCatIsReturnedByAKernel) {
  Net net;
  auto x = net.b.Input("x", {2, 3, 8});
  x = net.Linear("patch", x, 8);
  const auto token = net.b.Parameter("cls_token", {1, 1, 8});
  const auto wide = net.b.View("aten::expand", {T("self", token), Is("size", {2, -1, -1})}, {2, 1, 8});
  x = net.b.Op("aten::cat", {Ts("tensors", {wide, x}), I("dim", 1)}, {2, 4, 8});
  const Plan plan = PlanOf(net.b.Finish({net.Linear("head", x, 4)}));
  const Component& kernel = ComponentNamed(plan, "parameter_1x1x8_fp32");
  const Node& node = plan.nodes[static_cast<size_t>(kernel.nodes[0])];
  EXPECT_EQ(node.attribute, "cls_token");
  EXPECT_TRUE(node.inputs.empty());
  EXPECT_EQ(node.outputs, std::vector<ValueId>{token});
  EXPECT_EQ(node.held, std::vector<ValueId>{token});
}

TEST(Ownership, ABufferWithTwoReadersIsKeptByTheParentAndPassedOn) {
  Net net("shared_mask.py");
  auto x = net.b.Input("x", {2, 3, 4, 4});
  const auto mask = net.b.Buffer("mask", {4, 4}, DType::kBool, std::vector<uint8_t>(16, 1));
  for (const char* path : {"a", "b"}) {
    x = net.Conv(path, x, 3);
    x = net.b.Op("aten::masked_fill.Scalar",
                 {T("self", x), T("mask", mask), N("value", -std::numeric_limits<double>::infinity())},
                 {2, 3, 4, 4});
    x = net.Softmax(x);
  }
  const Plan plan = PlanOf(net.b.Finish({x}));
  EXPECT_EQ(plan.nodes[0].held, std::vector<ValueId>{mask});
  const Component& kernel = ComponentNamed(plan, "masked_softmax_dimm1_fp32");
  EXPECT_EQ(kernel.instance_count, 2);
  const Node& node = plan.nodes[static_cast<size_t>(kernel.nodes[0])];
  EXPECT_TRUE(node.held.empty());
  EXPECT_EQ(node.inputs.back(), mask);
}

TEST(KernelNames, EverySettingThatIsNotTorchsDefaultStandsInTheName) {
  Net net;
  auto x = net.b.Input("x", {2, 4, 16, 16});
  x = net.Conv("a", x, 8, 3, 2, 1, false);
  x = net.Conv("b", x, 8, 1, 1, 0);
  x = net.b.Op("aten::leaky_relu", {T("self", x), N("negative_slope", 0.2)}, net.sizes(x));
  x = net.b.Op("aten::hardtanh", {T("self", x), N("min_val", 0), N("max_val", 6)}, net.sizes(x));
  x = net.b.Op("aten::clamp", {T("self", x), N("min", -1), N("max", 6)}, net.sizes(x));
  x = net.b.Op("aten::log_softmax.int", {T("self", x), I("dim", 1), Default(None("dtype"))}, net.sizes(x));
  const Stems stems = KernelStems(PlanOf(net.b.Finish({x})));
  EXPECT_EQ(stems, (Stems{"conv2d_4x8_3x3_s2_p1_nobias_fp32", "conv2d_8x8_1x1_fp32", "leaky_relu_0p2_fp32",
                          "relu6_fp32", "clamp_m1_6_fp32", "log_softmax_dim1_fp32"}));
}

TEST(KernelNames, TwoIdentitiesNeverShareAName) {
  Net net;
  auto x = net.b.Input("x", {2, 8});
  x = net.Linear("a", x, 8);
  // The same operator and shapes, told apart only by what is nowhere in the usual name.
  x = net.b.Op("aten::quantize_by", {T("self", x), Default(N("alpha", 1))}, {2, 8});
  x = net.Linear("b", x, 8);
  x = net.b.Op("aten::quantize_by", {T("self", x), Default(N("alpha", 2))}, {2, 8});
  const Plan plan = PlanOf(net.b.Finish({x}));
  std::set<std::string> stems;
  for (const Component& component : plan.components) {
    EXPECT_TRUE(stems.insert(component.stem).second) << component.stem;
    EXPECT_FALSE(component.stem.ends_with("_2"));
  }
  EXPECT_TRUE(stems.contains("quantize_by_1_fp32")) << Outline(plan);
  EXPECT_TRUE(stems.contains("quantize_by_2_fp32")) << Outline(plan);
}

TEST(Text, ClassNamesBecomeSnakeCase) {
  EXPECT_EQ(SnakeCase("CausalSelfAttention"), "causal_self_attention");
  EXPECT_EQ(SnakeCase("RMSNorm"), "rms_norm");
  EXPECT_EQ(SnakeCase("NewGELU"), "new_gelu");
  EXPECT_EQ(SnakeCase("SwiGLU"), "swiglu");
  EXPECT_EQ(SnakeCase("BatchNorm2d"), "batch_norm2d");
  EXPECT_EQ(SnakeCase("ConvBNReLU"), "conv_bn_relu");
  EXPECT_EQ(SnakeCase("VGG16"), "vgg16");
  EXPECT_EQ(Identifier("11_VGG16", "model"), "vgg16");
  EXPECT_EQ(Identifier("lambda", "f"), "f");
}

TEST(Text, NumbersBecomeParts) {
  EXPECT_EQ(NumberToken(0.1), "0p1");
  EXPECT_EQ(NumberToken(-1), "m1");
  EXPECT_EQ(NumberToken(1e-6), "1em6");
  EXPECT_EQ(NumberToken(160), "160");
  EXPECT_EQ(NumberToken(0), "0");
}

}  // namespace
}  // namespace strata::plan
