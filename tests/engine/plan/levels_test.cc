// Fusions, layers, and what the submitted model is.
#include <gtest/gtest.h>

#include "tests/engine/plan/net.h"

namespace strata::plan {
namespace {

using namespace program;

Level LevelOf(Net* net, ValueId output) { return PlanOf(net->b.Finish({output})).components[0].level; }

TEST(SubmittedModel, OneKernelIsAKernelNamedAsWeNameIt) {
  Net net("19_ReLU.py");
  const auto x = net.b.Input("x", {2, 8});
  const Plan plan = PlanOf(net.b.Finish({net.Relu(x)}));
  EXPECT_EQ(plan.components.size(), 1u);
  EXPECT_EQ(plan.components[0].level, Level::kKernel);
  EXPECT_EQ(plan.components[0].stem, "relu_fp32");
  EXPECT_EQ(plan.components[0].step, 0);
  EXPECT_EQ(plan.model_name, "relu");
}

TEST(SubmittedModel, OnlyArithmeticIsAKernel) {
  Net net("scale.py");
  const auto x = net.b.Input("x", {2, 8});
  const Plan plan = PlanOf(net.b.Finish({net.Scale(x, 3)}));
  ASSERT_EQ(plan.components.size(), 1u);
  EXPECT_EQ(plan.components[0].level, Level::kKernel);
  EXPECT_EQ(plan.components[0].stem, "mul_3_fp32");
}

TEST(SubmittedModel, AStraightLineWithOneContractionIsAFusion) {
  Net net("1_Conv2D_ReLU_BiasAdd.py");
  auto x = net.b.Input("x", {2, 3, 8, 8});
  x = net.Relu(net.Conv("conv", x, 4));
  x = net.Scale(net.Add(x, net.b.Parameter("bias", {4, 1, 1})), 2.0);
  const Plan plan = PlanOf(net.b.Finish({x}));
  EXPECT_EQ(Outline(plan), R"(
conv2d_relu_bias_add <fusion>
  conv: conv2d_3x4_3x3_p1_fp32 <kernel>
  relu: relu_fp32 <kernel>
  add_bias: add_4x1x1_fp32 <kernel>
)");
}

TEST(SubmittedModel, OneKernelWithArithmeticAroundItIsAFusion) {
  Net net;
  const auto x = net.b.Input("x", {2, 8});
  EXPECT_EQ(LevelOf(&net, net.Scale(net.Linear("fc", x, 8), 2)), Level::kFusion);
}

TEST(SubmittedModel, TwoLinearsAreAnMlpAndThreeAModel) {
  Net two;
  auto x = two.b.Input("x", {2, 8});
  EXPECT_EQ(LevelOf(&two, two.Linear("b", two.Relu(two.Linear("a", x, 8)), 8)), Level::kFusion);
  Net three;
  x = three.b.Input("x", {2, 8});
  x = three.Relu(three.Linear("b", three.Relu(three.Linear("a", x, 8)), 8));
  EXPECT_EQ(LevelOf(&three, three.Linear("c", x, 8)), Level::kModel);
}

TEST(SubmittedModel, SixKernelsInARowAreAModel) {
  Net net;
  auto x = net.b.Input("x", {2, 3, 8, 8});
  x = net.Relu(net.BatchNorm("bn", net.Conv("conv", x, 4)));
  x = net.Unary("sigmoid", net.Unary("tanh", net.Unary("exp", x)));
  EXPECT_EQ(LevelOf(&net, x), Level::kModel);
}

TEST(SubmittedModel, BranchesRejoinedByCatAreALayer) {
  Net net;
  auto x = net.b.Input("x", {2, 3, 8, 8});
  const auto a = net.Relu(net.Conv("a", x, 4)), b = net.Relu(net.Conv("b", x, 4));
  const auto y = net.b.Op("aten::cat", {Ts("tensors", {a, b}), I("dim", 1)}, {2, 8, 8, 8});
  EXPECT_EQ(LevelOf(&net, y), Level::kLayer);
}

TEST(SubmittedModel, AWrapperRoundOneBlockIsThatBlock) {
  Net net("wrapped.py");
  auto x = net.b.Input("x", {2, 4, 8});
  net.Enter("block", "Block", {x});
  auto y = net.Add(x, net.Linear("block.fc", x, 8));
  net.Leave(y);
  const Plan plan = PlanOf(net.b.Finish({y}));
  EXPECT_EQ(plan.components[0].level, Level::kLayer);
  EXPECT_EQ(plan.components[0].stem, "wrapped");
  EXPECT_EQ(plan.components.size(), 2u);
}

TEST(Names, TheModelGivesWayToAComponentOfItsName) {
  Net net("attention.py");
  auto x = net.b.Input("x", {2, 4, 8});
  x = net.Attention("attn", x, 2, false);
  x = net.Linear("b", net.Relu(net.Linear("a", x, 8)), 8);
  const Plan plan = PlanOf(net.b.Finish({x}));
  EXPECT_EQ(plan.components[0].stem, "attention_model") << Outline(plan);
  EXPECT_EQ(ComponentNamed(plan, "attention").level, Level::kFusion);
}

TEST(Fusions, ANormBeforeAContractionStandsAlone) {
  Net net;
  auto x = net.b.Input("x", {2, 3, 8});
  x = net.Relu(net.Linear("a", net.LayerNorm("norm", net.Unary("tanh", net.Linear("c", x, 8))), 8));
  const Plan plan = PlanOf(net.b.Finish({net.Linear("d", x, 8)}));
  EXPECT_EQ(ComponentNamed(plan, "layer_norm_8_fp32").level, Level::kKernel);
  const Node& norm = plan.nodes[static_cast<size_t>(ComponentNamed(plan, "layer_norm_8_fp32").nodes[0])];
  EXPECT_EQ(norm.parent, 0);
}

TEST(Fusions, GateAndUpAndDownAreOneFusionWithTheirProduct) {
  Net net("gated.py");
  auto x = net.b.Input("x", {2, 3, 8});
  x = net.LayerNorm("norm", x);
  const auto gate = net.Unary("silu", net.Linear("gate", x, 16, false));
  const auto up = net.Linear("up", x, 16, false);
  const auto y = net.Add(x, net.Linear("down", net.Mul(gate, up), 8, false));
  const Plan plan = PlanOf(net.b.Finish({y}));
  EXPECT_EQ(Outline(plan), R"(
gated <layer>
  norm: layer_norm_8_fp32 <kernel>
  swiglu: swiglu <fusion>
    gate: linear_8x16_nobias_fp32 <kernel>
    silu: silu_fp32 <kernel>
    up: linear_8x16_nobias_fp32 <kernel>
    down: linear_16x8_nobias_fp32 <kernel>
)");
}

TEST(Fusions, AttentionWrittenInlineIsFoundFromItsProjections) {
  Net net("inline.py");
  auto x = net.b.Input("x", {2, 4, 8});
  const auto n = net.LayerNorm("norm", x);
  const auto q = net.Linear("q", n, 8), k = net.Linear("k", n, 8), v = net.Linear("v", n, 8);
  const auto scores = net.Softmax(net.Scale(net.Matmul(q, net.Transpose(k, 1, 2)), 0.5));
  const auto y = net.Add(x, net.Linear("out", net.Matmul(scores, v), 8));
  const Plan plan = PlanOf(net.b.Finish({y}));
  ASSERT_EQ(plan.components[0].level, Level::kLayer);
  const Component& attention = ComponentNamed(plan, "attention");
  EXPECT_EQ(attention.level, Level::kFusion);
  EXPECT_EQ(plan.nodes[static_cast<size_t>(attention.nodes[0])].inputs, std::vector<ValueId>{n});
  EXPECT_EQ(plan.nodes[0].body.size(), 3u) << "norm, attention, add";
}

TEST(Layers, TheLevelIsThatOfTheClass) {
  // One block has a residual, its brother changes the shape and has none.
  Net net("mixed.py");
  auto x = net.b.Input("x", {1, 4, 8, 8});
  net.b.Container("blocks", "ModuleList");
  for (int i = 0; i < 2; ++i) {
    const std::string path = "blocks." + std::to_string(i);
    net.Enter(path, "MBConv", {x});
    auto h = net.Relu(net.Conv(path + ".expand", x, 8));
    h = net.Conv(path + ".project", h, i == 0 ? 4 : 6);
    x = i == 0 ? net.Add(x, h) : h;
    net.Leave(x);
  }
  const Plan plan = PlanOf(net.b.Finish({x}));
  int layers = 0;
  for (const Node& node : plan.nodes) layers += node.level == Level::kLayer;
  EXPECT_EQ(layers, 2) << Outline(plan);
}

TEST(Layers, ResidualsWrittenIntoTheModelsForwardAreLayers) {
  Net net("inline_resnet.py");
  auto x = net.b.Input("x", {1, 3, 8, 8});
  x = net.Relu(net.Conv("stem", x, 4));
  for (const char* name : {"first", "second"}) {
    const std::string at = name;
    const auto h = net.Relu(net.Conv(at + "_a", x, 4));
    x = net.Relu(net.Add(net.Conv(at + "_b", h, 4), x));
  }
  x = net.Linear("head", net.View(x, {1, 256}), 5);
  EXPECT_EQ(Outline(PlanOf(net.b.Finish({x}))), R"(
inline_resnet <model>
  stem_relu: conv_relu_3x4 <fusion>
    stem: conv2d_3x4_3x3_p1_fp32 <kernel>
    relu: relu_fp32 <kernel>
  residual_block: residual_block <layer>
    first_a_relu: conv_relu_4x4 <fusion>
      first_a: conv2d_4x4_3x3_p1_fp32 <kernel>
      relu: relu_fp32 <kernel>
    first_b: conv2d_4x4_3x3_p1_fp32 <kernel>
    relu: relu_fp32 <kernel>
  residual_block_2: residual_block <layer>
  head: linear_256x5_fp32 <kernel>
)");
}

TEST(Instances, CountsMultiplyDownTheTree) {
  Net net("twice.py");
  auto x = net.b.Input("x", {1, 8});
  net.b.Container("blocks", "ModuleList");
  for (int i = 0; i < 3; ++i) {
    const std::string path = "blocks." + std::to_string(i);
    net.Enter(path, "Block", {x});
    const auto h = net.Relu(net.Linear(path + ".a", x, 8));
    x = net.Add(x, net.Relu(net.Linear(path + ".b", h, 8)));
    net.Leave(x);
  }
  const Plan plan = PlanOf(net.b.Finish({x}));
  for (const Component& component : plan.components) {
    int64_t runs = component.id == 0 ? 1 : 0;
    for (const Component& parent : plan.components) {
      for (size_t k = 0; k < parent.children.size(); ++k) {
        if (parent.children[k] == component.id) runs += parent.calls[k] * parent.instance_count;
      }
    }
    EXPECT_EQ(component.instance_count, runs) << component.stem;
    EXPECT_EQ(component.instance_count, static_cast<int64_t>(component.nodes.size()));
  }
}

}  // namespace
}  // namespace strata::plan
