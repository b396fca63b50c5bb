// Parents as calls of their children and plumbing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using plan::Net;
using plan::Plan;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

TEST(Refactored, AModelIsImportsOfItsChildrenAndTheirCalls) {
  EXPECT_EQ(RefactoredOf(Mlp(), "mlp"), R"py("""
mlp (model) as calls of its children and plumbing between them.

Children:
  - linear_relu_8x16
  - linear_relu_16x16
  - linear_16x2_fp32
"""

import sys
from pathlib import Path

import torch
import torch.nn as nn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from children.linear_relu_8x16 import Model as LinearRelu8x16
from children.linear_relu_16x16 import Model as LinearRelu16x16
from children.linear_16x2_fp32 import Model as Linear


class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1_relu = LinearRelu8x16()
        self.fc2_relu = LinearRelu16x16()
        self.fc3 = Linear()

    def forward(self, x):
        x = self.fc1_relu(x)  # [4, 16]
        x = self.fc2_relu(x)
        return self.fc3(x)  # [4, 2]


def get_inputs():
    return [torch.randn(4, 8)]


def get_init_inputs():
    return []
)py");
}

TEST(Refactored, AResidualAddStaysInTheParent) {
  Net net("block.py");
  const auto x = net.b.Input("x", {2, 8});
  const Plan plan = Planned(&net, {ResidualBlock(&net, "", x)});
  ASSERT_EQ(plan.components[0].level, plan::Level::kLayer);
  const std::string text = RefactoredOf(plan, "block");
  EXPECT_EQ(ClassIn(text, "RefactoredModel"), R"py(class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = Mlp()

    def forward(self, x):
        return x + self.mlp(x)
)py");
}

TEST(Refactored, RepeatedLayersAreImportedOnceAndLoopedOver) {
  const std::string text = RefactoredOf(TinyGpt(), "gpt");
  EXPECT_THAT(LinesWith(text, "import Model as"),
              ElementsAre("from children.embedding_50x8_i64_fp32 import Model as Embedding",
                          "from children.block import Model as Block",
                          "from children.rms_norm_8_eps1em6_fp32 import Model as RMSNorm",
                          "from children.linear_8x50_nobias_fp32 import Model as Linear"));
  EXPECT_EQ(ClassIn(text, "RefactoredModel"), R"py(class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = Embedding()
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm = RMSNorm()
        self.head = Linear()
        self.head.linear.weight = self.embed.embedding.weight

    def forward(self, tokens):
        x = self.embed(tokens)  # [2, 4, 8]
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x)  # [2, 4, 50]
)py");
}

TEST(Refactored, TwoInstancesOfOneKernelAreTwoAttributesOfOneImport) {
  const std::string text = RefactoredOf(TinyGpt(), "block");
  EXPECT_THAT(LinesWith(text, "layer_norm_8_fp32 import"),
              ElementsAre("from children.layer_norm_8_fp32 import Model as LayerNorm"));
  EXPECT_EQ(ClassIn(text, "RefactoredModel"), R"py(class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = LayerNorm()
        self.attn = Attention()
        self.ln_2 = LayerNorm()
        self.mlp = MLP()

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))
)py");
}

TEST(Refactored, AModuleThatRunsTwiceIsOneAttributeCalledTwice) {
  Net net("shared.py");
  auto x = net.b.Input("x", {2, 8});
  const auto weight = net.b.Parameter("fc.weight", {8, 8});
  net.b.Module("fc", "Linear");
  for (int i = 0; i < 2; ++i) {
    net.b.Enter("fc", {x});
    const auto h = net.b.Op("aten::linear", {T("input", x), T("weight", weight), None("bias")}, {2, 8});
    net.b.Leave({h});
    x = net.Relu(h);
  }
  const Plan plan = Planned(&net, {net.Linear("head", x, 2)});
  const std::string text = RefactoredOf(plan, "shared");
  EXPECT_EQ(ClassIn(text, "RefactoredModel"), R"py(class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc_relu = LinearRelu()
        self.head = Linear()

    def forward(self, x):
        x = self.fc_relu(x)
        x = self.fc_relu(x)
        return self.head(x)  # [2, 2]
)py");
  const nlohmann::json map = nlohmann::json::parse(ContentOf(StepOf(plan, "shared"), "/weight_map.json"));
  EXPECT_EQ(map.size(), 3u) << map;
}

TEST(Refactored, ASequentialOfTheSourceStaysOne) {
  Net net("sequential.py");
  auto x = net.b.Input("x", {2, 8});
  net.b.Container("net", "Sequential");
  net.b.Enter("net", {x});
  for (int i = 0; i < 2; ++i) x = ResidualBlock(&net, absl::StrCat("net.", i), x);
  net.b.Leave({x});
  const Plan plan = Planned(&net, {net.Linear("head", x, 2)});
  EXPECT_EQ(ClassIn(RefactoredOf(plan, "sequential"), "RefactoredModel"),
            R"py(class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(Block(), Block())
        self.head = Linear()

    def forward(self, x):
        x = self.net(x)
        return self.head(x)  # [2, 2]
)py");
}

TEST(Refactored, AnOwnBufferIsRegisteredUnderItsNameAndMapped) {
  Net net("scaled.py");
  auto x = net.b.Input("x", {2, 3});
  std::vector<uint8_t> bytes(3 * sizeof(float));
  const float numbers[] = {0.5F, 2.0F, -1.0F};
  std::memcpy(bytes.data(), numbers, bytes.size());
  const auto scale = net.b.Buffer("scale", {3}, DType::kFloat32, bytes);
  x = net.Linear("fc1", net.Mul(x, scale), 3);
  x = net.Relu(net.Linear("fc2", net.Mul(net.Relu(x), scale), 3));
  const Plan plan = Planned(&net, {net.Linear("fc3", x, 2)});
  const std::string text = RefactoredOf(plan, "scaled");
  EXPECT_THAT(text, HasSubstr("        self.register_buffer(\"scale\", torch.tensor([0.5, 2.0, -1.0]))\n"));
  EXPECT_THAT(text, HasSubstr("x * self.scale"));
  const nlohmann::json map = nlohmann::json::parse(ContentOf(StepOf(plan, "scaled"), "/weight_map.json"));
  EXPECT_EQ(map.value("scale", ""), "scale") << map;
}

TEST(Refactored, SizesOfAViewAreReadFromTheInput) {
  const std::string text = RefactoredOf(TinyGpt(), "attention");
  EXPECT_THAT(LinesWith(text, ".view("), SizeIs(testing::Ge(1u)));
  EXPECT_THAT(text, HasSubstr("self.matmul_scores("));
  EXPECT_THAT(text, HasSubstr("* 0.125"));
  EXPECT_THAT(text, Not(HasSubstr("torch.softmax")));
  EXPECT_THAT(text, Not(HasSubstr("F.")));
}

TEST(Refactored, AModelWithSeveralOutputsReturnsThemInItsOwnOrder) {
  Net net("two.py");
  const auto x = net.b.Input("x", {2, 8});
  const auto a = net.Relu(net.Linear("a", x, 8)), b = net.Relu(net.Linear("b", x, 4));
  const Plan plan = Planned(&net, {b, a});
  EXPECT_EQ(ClassIn(RefactoredOf(plan, "two"), "RefactoredModel"), R"py(class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.a_relu = LinearRelu8x8()
        self.b_relu = LinearRelu8x4()

    def forward(self, x):
        h = self.a_relu(x)
        x = self.b_relu(x)  # [2, 4]
        return x, h
)py");
}

Tree Tensor(ValueId id) {
  Tree tree;
  tree.kind = Tree::Kind::kTensor;
  tree.value = id;
  return tree;
}

TEST(Refactored, AModelKeepsItsKeywordsAndTheTreeItReturns) {
  Net net("tree.py");
  const auto x = net.b.Input("x", {2, 8}), y = net.b.Input("y", {2, 8});
  const auto a = net.Relu(net.Linear("a", x, 8)), b = net.Relu(net.Linear("b", y, 4));
  Program program = Recorded(&net, {a, b});
  Invocation& call = program.invocations[0];
  call.kwargs.emplace_back("y", call.args[1]);  // model(x, y=y)
  call.args.pop_back();
  Tree pair;
  pair.kind = Tree::Kind::kTuple;
  pair.items = {Tensor(a)};
  call.output = {};
  call.output.kind = Tree::Kind::kDict;
  call.output.keys = {"\"logits\"", "\"states\""};
  call.output.items = {Tensor(b), pair};
  const std::string text = RefactoredOf(plan::PlanOf(std::move(program)), "tree");
  EXPECT_EQ(ClassIn(text, "RefactoredModel"), R"py(class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.a_relu = LinearRelu8x8()
        self.b_relu = LinearRelu8x4()

    def forward(self, x, y):
        x = self.a_relu(x)
        y = self.b_relu(y)  # [2, 4]
        return {"logits": y, "states": (x,)}
)py");
  EXPECT_EQ(FunctionIn(text, "get_inputs"), "def get_inputs():\n    return [torch.randn(2, 8)]\n");
  EXPECT_EQ(FunctionIn(text, "get_input_kwargs"),
            "def get_input_kwargs():\n    return {\"y\": torch.randn(2, 8)}\n");
}

}  // namespace
}  // namespace strata::emit
