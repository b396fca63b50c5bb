// Whole trees: what the author of the model would draw.
#include <gtest/gtest.h>

#include "tests/engine/plan/net.h"

namespace strata::plan {
namespace {

using program::DType;
using program::kNoId;
using program::ValueId;

program::Program ThreeLinears() {
  Net net("1_MLP.py");
  auto x = net.b.Input("x", {4, 8});
  x = net.Relu(net.Linear("fc1", x, 16));
  x = net.Relu(net.Linear("fc2", x, 16));
  return net.b.Finish({net.Linear("fc3", x, 2)});
}

TEST(MakePlan, CutsThreeLinearsAfterEachActivation) {
  EXPECT_EQ(Outline(PlanOf(ThreeLinears())), R"(
mlp <model>
  fc1_relu: linear_relu_8x16 <fusion>
    fc1: linear_8x16_fp32 <kernel>
    relu: relu_fp32 <kernel>
  fc2_relu: linear_relu_16x16 <fusion>
    fc2: linear_16x16_fp32 <kernel>
    relu: relu_fp32 <kernel>
  fc3: linear_16x2_fp32 <kernel>
)");
}

TEST(MakePlan, DissolvesContainersAndEndsAFusionAtItsPool) {
  Net net("11_VGG16.py");
  auto x = net.b.Input("x", {2, 3, 8, 8});
  net.b.Container("features", "Sequential");
  net.b.Enter("features", {x});
  x = net.ReluModule("features.1", net.Conv("features.0", x, 4), /*in_place=*/true);
  x = net.ReluModule("features.4", net.BatchNorm("features.3", net.Conv("features.2", x, 8)));
  x = net.MaxPool("features.5", x);
  net.b.Leave({x});
  x = net.View(x, {2, 128});
  net.b.Container("classifier", "Sequential");
  net.b.Enter("classifier", {x});
  x = net.Dropout("classifier.2", net.ReluModule("classifier.1", net.Linear("classifier.0", x, 16)), 0.5);
  x = net.Dropout("classifier.5", net.ReluModule("classifier.4", net.Linear("classifier.3", x, 16)), 0.5);
  x = net.Linear("classifier.6", x, 5);
  net.b.Leave({x});
  EXPECT_EQ(Outline(PlanOf(net.b.Finish({x}))), R"(
vgg16 <model>
  features.0: conv_relu_3x4 <fusion>
    conv: conv2d_3x4_3x3_p1_fp32 <kernel>
    relu: relu_fp32 <kernel>
  features.2: conv_bn_relu_max_pool_4x8 <fusion>
    conv: conv2d_4x8_3x3_p1_fp32 <kernel>
    bn: batch_norm2d_8_fp32 <kernel>
    relu: relu_fp32 <kernel>
    max_pool: max_pool2d_2x2_s2_fp32 <kernel>
  classifier.0: linear_relu_dropout_128x16 <fusion>
    linear: linear_128x16_fp32 <kernel>
    relu: relu_fp32 <kernel>
    dropout: dropout_0p5_fp32 <kernel>
  classifier.3: linear_relu_dropout_16x16 <fusion>
    linear: linear_16x16_fp32 <kernel>
    relu: relu_fp32 <kernel>
    dropout: dropout_0p5_fp32 <kernel>
  classifier.6: linear_16x5_fp32 <kernel>
)");
}

// One transformer block at `path`; "" is the model itself.
ValueId Block(Net* net, const std::string& path, ValueId x) {
  const std::string at = path.empty() ? "" : path + ".";
  x = net->Add(x, net->Attention(at + "attn", net->LayerNorm(at + "ln_1", x), 2, true));
  auto h = net->Linear(at + "mlp.c_fc", net->LayerNorm(at + "ln_2", x), 32);
  h = net->Linear(at + "mlp.c_proj", net->GeluModule(at + "mlp.act", h), 8);
  return net->Add(x, net->Dropout(at + "mlp.dropout", h));
}

TEST(MakePlan, ATransformerBlockAloneIsALayer) {
  Net net("44_MiniGPTBlock.py");
  const auto x = net.b.Input("x", {2, 4, 8});
  const Plan plan = PlanOf(net.b.Finish({Block(&net, "", x)}));
  EXPECT_EQ(Outline(plan), R"(
mini_gpt_block <layer>
  ln_1: layer_norm_8_fp32 <kernel>
  attn: attention <fusion>
    q_proj: linear_8x8_nobias_fp32 <kernel>
    k_proj: linear_8x8_nobias_fp32 <kernel>
    v_proj: linear_8x8_nobias_fp32 <kernel>
    matmul_scores: matmul_2x2x4x4_2x2x4x4_fp32 <kernel>
    softmax: masked_softmax_4x4_dimm1_fp32 <kernel>
    matmul_out: matmul_2x2x4x4_2x2x4x4_fp32 <kernel>
    out_proj: linear_8x8_nobias_fp32 <kernel>
  ln_2: layer_norm_8_fp32 <kernel>
  mlp: mlp <fusion>
    c_fc: linear_8x32_fp32 <kernel>
    act: gelu_fp32 <kernel>
    c_proj: linear_32x8_fp32 <kernel>
    dropout: dropout_0p1_fp32 <kernel>
)");
  EXPECT_EQ(plan.components[0].step_name, "step_1_mini_gpt_block_to_fusions");
  const Node& softmax =
      plan.nodes[static_cast<size_t>(ComponentNamed(plan, "masked_softmax_4x4_dimm1_fp32").nodes[0])];
  ASSERT_EQ(softmax.held.size(), 1u);
  EXPECT_EQ(plan.program.value(softmax.held[0]).paths[0], "attn.mask");
  EXPECT_EQ(softmax.calls.size(), 3u) << "comparison, masked_fill and softmax are one kernel";
}

TEST(MakePlan, RepeatedBlocksAreOneLayerFileAndATiedHeadHoldsTheEmbedding) {
  Net net("mini_gpt.py");
  const auto tokens = net.b.Input("tokens", {2, 4}, DType::kInt64);
  auto x = net.Embedding("embed", tokens, 50, 8);
  const auto weight = net.b.last_call().args[0].value.value;
  net.b.Container("blocks", "ModuleList");
  for (int i = 0; i < 3; ++i) {
    const std::string path = "blocks." + std::to_string(i);
    net.Enter(path, "Block", {x});
    x = Block(&net, path, x);
    net.Leave(x);
  }
  x = net.RmsNorm("norm", x);
  net.b.Module("head", "Linear");
  net.b.Tie("head.weight", weight);
  net.b.Enter("head", {x});
  x = net.b.Op("aten::linear", {program::T("input", x), program::T("weight", weight), program::None("bias")},
               {2, 4, 50});
  net.b.Leave({x});
  const Plan plan = PlanOf(net.b.Finish({x}));

  EXPECT_EQ(Outline(plan).substr(0, 122), R"(
mini_gpt <model>
  embed: embedding_50x8_i64_fp32 <kernel>
  blocks.0: block <layer>
    ln_1: layer_norm_8_fp32 <kernel>)");
  const Component& block = ComponentNamed(plan, "block");
  EXPECT_EQ(block.instance_count, 3);
  EXPECT_EQ(ComponentNamed(plan, "linear_8x8_nobias_fp32").instance_count, 12);
  EXPECT_EQ(ComponentNamed(plan, "layer_norm_8_fp32").instance_count, 6);
  const Node& head =
      plan.nodes[static_cast<size_t>(ComponentNamed(plan, "linear_8x50_nobias_fp32").nodes[0])];
  const Node& embed =
      plan.nodes[static_cast<size_t>(ComponentNamed(plan, "embedding_50x8_i64_fp32").nodes[0])];
  EXPECT_EQ(head.held, embed.held);
  EXPECT_EQ(ComponentNamed(plan, "rms_norm_8_eps1em6_fp32").level, Level::kKernel);

  // Instances map by position: owned lists are parallel.
  const Node& first = plan.nodes[static_cast<size_t>(block.nodes[0])];
  const Node& last = plan.nodes[static_cast<size_t>(block.nodes[2])];
  ASSERT_EQ(first.owned.size(), last.owned.size());
  for (size_t i = 0; i < first.owned.size(); ++i) {
    const std::string a = plan.program.value(first.owned[i]).paths[0],
                      b = plan.program.value(last.owned[i]).paths[0];
    EXPECT_EQ(a.substr(8), b.substr(8));
    EXPECT_EQ(b.substr(0, 9), "blocks.2.");
  }
}

TEST(MakePlan, ResidualBlocksOfOneClassAreLayersAndStagesDissolve) {
  Net net("resnet.py");
  auto x = net.b.Input("x", {1, 4, 8, 8});
  for (int stage = 1; stage <= 2; ++stage) {
    const std::string name = "layer" + std::to_string(stage);
    net.b.Container(name, "Sequential");
    net.b.Enter(name, {x});
    for (int i = 0; i < 2; ++i) {
      const std::string path = name + "." + std::to_string(i);
      net.Enter(path, "BasicBlock", {x});
      const int64_t channels = 4 * stage;
      const bool project = net.sizes(x)[1] != channels;
      const auto identity = project ? net.Conv(path + ".shortcut", x, channels, 1, 1, 0, false) : x;
      auto out = net.Relu(net.BatchNorm(path + ".bn1", net.Conv(path + ".conv1", x, channels)));
      out = net.BatchNorm(path + ".bn2", net.Conv(path + ".conv2", out, channels));
      x = net.Relu(net.Add(out, identity));
      net.Leave(x);
    }
    net.b.Leave({x});
  }
  const Plan plan = PlanOf(net.b.Finish({x}));
  EXPECT_EQ(Outline(plan), R"(
resnet <model>
  layer1.0: basic_block_4x4 <layer>
    conv1_bn1_relu: conv_bn_relu_4x4 <fusion>
      conv1: conv2d_4x4_3x3_p1_fp32 <kernel>
      bn1: batch_norm2d_4_fp32 <kernel>
      relu: relu_fp32 <kernel>
    conv2_bn2: conv_bn_4x4 <fusion>
      conv2: conv2d_4x4_3x3_p1_fp32 <kernel>
      bn2: batch_norm2d_4_fp32 <kernel>
    relu: relu_fp32 <kernel>
  layer1.1: basic_block_4x4 <layer>
  layer2.0: basic_block_4x8 <layer>
    shortcut: conv2d_4x8_1x1_nobias_fp32 <kernel>
    conv1_bn1_relu: conv_bn_relu_4x8 <fusion>
      conv1: conv2d_4x8_3x3_p1_fp32 <kernel>
      bn1: batch_norm2d_8_fp32 <kernel>
      relu: relu_fp32 <kernel>
    conv2_bn2: conv_bn_8x8 <fusion>
      conv2: conv2d_8x8_3x3_p1_fp32 <kernel>
      bn2: batch_norm2d_8_fp32 <kernel>
    relu: relu_fp32 <kernel>
  layer2.1: basic_block_8x8 <layer>
    conv1_bn1_relu: conv_bn_relu_8x8 <fusion>
      conv1: conv2d_8x8_3x3_p1_fp32 <kernel>
      bn1: batch_norm2d_8_fp32 <kernel>
      relu: relu_fp32 <kernel>
    conv2_bn2: conv_bn_8x8 <fusion>
    relu: relu_fp32 <kernel>
)");
  const Component& block = ComponentNamed(plan, "basic_block_4x4");
  EXPECT_EQ(block.instance_count, 2);
  const std::string& reason = plan.nodes[static_cast<size_t>(block.nodes[0])].reason;
  EXPECT_NE(reason.find("Carries a residual"), std::string::npos) << reason;
  EXPECT_NE(reason.find("layer1.0.bn2"), std::string::npos) << reason;
}

TEST(MakePlan, IsDeterministic) { EXPECT_EQ(Print(PlanOf(ThreeLinears())), Print(PlanOf(ThreeLinears()))); }

TEST(MakePlan, RefusesAForwardThatComputesNothing) {
  Net net("nothing.py");
  const auto x = net.b.Input("x", {2});
  const auto plan = MakePlan(net.b.Finish({x}));
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(plan.status().message().find("nothing.py:1"), std::string::npos) << plan.status();
}

TEST(MakePlan, EveryCallIsInExactlyOnePlace) {
  const Plan plan = PlanOf(ThreeLinears());
  std::vector<int> seen(plan.program.calls.size(), 0);
  for (const Node& node : plan.nodes) {
    if (node.level == Level::kKernel) {
      for (program::CallId call : node.calls) ++seen[static_cast<size_t>(call)];
    }
    for (const Item& item : node.body) {
      if (!item.is_child) ++seen[static_cast<size_t>(item.index)];
    }
  }
  for (int count : seen) EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace strata::plan
