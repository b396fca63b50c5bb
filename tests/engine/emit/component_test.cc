// Files of components: what all have, fusions, and the submitted model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using plan::Net;
using plan::Plan;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

TEST(ComponentFile, OnlyAComponentWhoseOriginalHasInfinitiesMayHaveThem) {
  Net net("inf.py");
  const auto x = net.b.Input("x", {2, 8});
  const auto y = net.Unary("log", x);
  net.b.value(y).domain.known = net.b.value(y).domain.has_neg_inf = true;
  const Plan plan = Planned(&net, {net.Relu(y)});
  EXPECT_THAT(TextOf(plan, "log_fp32"), Not(HasSubstr("torch.isinf")));
  EXPECT_THAT(TextOf(plan, "log_fp32"), HasSubstr("torch.isnan"));
  EXPECT_THAT(TextOf(plan, "relu_fp32"), HasSubstr("assert not torch.isinf(actual).any()"));
}

TEST(ComponentFile, InputsAreDrawnFromTheirDomain) {
  Net net("tokens.py");
  const auto tokens = net.b.Input("tokens", {2, 4}, DType::kInt64);
  net.b.value(tokens).domain = {.known = true, .min = 1, .max = 40, .is_integral = true};
  const Plan plan = Planned(&net, {net.Linear("fc", net.Embedding("embed", tokens, 50, 8), 8)});
  EXPECT_EQ(FunctionIn(TextOf(plan, "embedding_50x8_i64_fp32"), "get_inputs"),
            "def get_inputs():\n    return [torch.randint(0, 50, (2, 4))]\n");
}

TEST(ComponentFile, EveryWorkloadIsListedTheLargestFirst) {
  Net net("shapes.py");
  const auto x = net.b.Input("x", {2, 8});
  const auto h = net.Relu(net.Linear("a", x, 4));
  const auto y = net.Relu(net.Linear("b", h, 16));
  const Plan plan = Planned(&net, {net.Linear("c", y, 2)});
  const std::string text = TextOf(plan, "relu_fp32");
  EXPECT_THAT(text, HasSubstr("WORKLOADS = [\n    {\"x\": (2, 16)},\n    {\"x\": (2, 4)},\n]\n"));
  EXPECT_EQ(FunctionIn(text, "get_inputs"),
            "def get_inputs(workload=0):\n    shapes = WORKLOADS[workload]\n    return "
            "[torch.randn(*shapes[\"x\"])]\n");
  EXPECT_EQ(FunctionIn(text, "get_expected_output_shape"),
            "def get_expected_output_shape(workload=0):\n    return [\n        [(2, 16)],\n        [(2, "
            "4)],\n    ][workload]\n");
  EXPECT_THAT(text, HasSubstr("for workload in range(len(WORKLOADS)):"));
  EXPECT_THAT(text, HasSubstr("  - x [2, 16] (1 run)\n  - x [2, 4] (1 run)\n"));
}

TEST(ComponentFile, ImportsFunctionalAndMathWhereTheyAreUsed) {
  const Plan plan = Mlp();
  EXPECT_THAT(LinesWith(TextOf(plan, "relu_fp32"), "import "),
              ElementsAre("import torch", "import torch.nn as nn", "import torch.nn.functional as F",
                          "        import traceback", "    import sys"));
  EXPECT_THAT(LinesWith(TextOf(plan, "linear_16x2_fp32"), "functional"), IsEmpty());
}

TEST(FusionFile, HoldsItsOwnModulesUnderTheirNames) {
  EXPECT_EQ(ClassIn(TextOf(Mlp(), "linear_relu_8x16"), "Model"), R"py(class Model(nn.Module):
    def __init__(self, in_features=8, out_features=16):
        super().__init__()
        self.fc1 = nn.Linear(in_features, out_features)

    def forward(self, x):
        return F.relu(self.fc1(x))  # [4, 16]
)py");
}

// x + mlp(x), where mlp is Sequential(Linear, ReLU) and a second linear of the same weight: an element of the
// Sequential, or a call of MLP's own forward.
std::string TiedMlp(bool as_module) {
  Net net("tied.py");
  const auto x = net.b.Input("x", {2, 8});
  net.Enter("mlp", "MLP", {x});
  net.b.Container("mlp.net", "Sequential");
  net.b.Enter("mlp.net", {x});
  auto h = net.Linear("mlp.net.0", x, 8, false);
  const ValueId weight = net.b.last_call().args[1].value.value;
  h = net.ReluModule("mlp.net.1", h);
  if (!as_module) net.b.Leave({h});
  if (as_module) {
    net.b.Module("mlp.net.2", "Linear");
    net.b.Tie("mlp.net.2.weight", weight);
    net.b.Enter("mlp.net.2", {h});
  }
  const auto y =
      net.b.Op("aten::linear", {T("input", h), T("weight", weight), Default(None("bias"))}, {2, 8});
  if (as_module) {
    net.b.Leave({y});
    net.b.Leave({y});
  }
  net.Leave(y);
  return ClassIn(TextOf(Planned(&net, {net.Add(x, y)}), "mlp"), "Model");
}

TEST(FusionFile, AWeightInsideASequentialIsReachedByItsIndex) {
  EXPECT_EQ(TiedMlp(/*as_module=*/true), R"py(class Model(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, dim, bias=False),
            nn.ReLU(),
            nn.Linear(dim, dim, bias=False),
        )
        self.net[2].weight = self.net[0].weight  # tied

    def forward(self, x):
        return self.net(x)
)py");
  EXPECT_EQ(TiedMlp(/*as_module=*/false), R"py(class Model(nn.Module):
    def __init__(self, in_features=8, out_features=8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(in_features, out_features, bias=False),
            nn.ReLU(),
        )

    def forward(self, x):
        return F.linear(self.net(x), self.net[0].weight)
)py");
}

TEST(ModelFile, BeginsWithTheSourceAndAddsOnlyWhatItLacks) {
  const Plan plan = Mlp();
  const std::string source =
      "import torch\n\n\ndef get_inputs():\n    return []\n\n\ndef get_init_inputs():\n    return [1]";
  const std::string text = ComponentText(plan, 0, source).value_or("");
  EXPECT_THAT(text, StartsWith(source + "\n\n\n# ---- component self-test ----\n# Component: mlp\n"));
  EXPECT_THAT(LinesWith(text, "def get_init_inputs("), testing::SizeIs(1));
  EXPECT_THAT(text, HasSubstr("def get_expected_output_shape():\n    return [(4, 2)]\n"));
  EXPECT_THAT(LinesWith(text, "if __name__"), ElementsAre("if __name__ == \"__main__\":"));
  EXPECT_THAT(text, HasSubstr("# Children: linear_relu_8x16, linear_relu_16x16, linear_16x2_fp32\n"));
  EXPECT_EQ(ComponentPath(plan, 0), "level_3_model/mlp.py");
}

TEST(ComponentFile, IsTheSameBytesEachTime) {
  for (const plan::Component& component : TinyGpt().components) {
    EXPECT_EQ(TextOf(TinyGpt(), component.stem), TextOf(TinyGpt(), component.stem)) << component.stem;
  }
}

}  // namespace
}  // namespace strata::emit
