// verification/composition_test.py
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
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

std::string Composition(const Plan& plan) {
  const auto text = CompositionText(plan);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

TEST(Composition, ImportsKernelsAlone) {
  const Plan plan = TinyGpt();
  const std::vector<std::string> imports = LinesWith(Composition(plan), "import Model as");
  std::vector<std::string> kernels;
  for (const plan::Component& component : plan.components) {
    if (component.level == plan::Level::kKernel) kernels.push_back(component.stem);
  }
  std::set<std::string> imported;
  for (const std::string& line : imports) imported.insert(line.substr(5, line.find(' ', 5) - 5));
  EXPECT_THAT(imported, testing::UnorderedElementsAreArray(kernels));
  EXPECT_EQ(imports.size(), kernels.size()) << "each once";
}

TEST(Composition, IsMadeOfClassesThatHoldTheirParts) {
  const std::string text = Composition(Mlp());
  EXPECT_THAT(
      LinesWith(text, "import "),
      ElementsAre("import sys", "from pathlib import Path", "import torch", "import torch.nn as nn",
                  "import mlp as submission", "from linear_8x16_fp32 import Model as Linear8x16",
                  "from relu_fp32 import Model as ReLU", "from linear_16x16_fp32 import Model as Linear16x16",
                  "from linear_16x2_fp32 import Model as Linear16x2", "        import traceback"));
  EXPECT_EQ(ClassIn(text, "LinearRelu8x16"), R"py(class LinearRelu8x16(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = Linear8x16()
        self.relu = ReLU()

    def forward(self, x):
        x = self.fc1(x)  # [4, 16]
        return self.relu(x)
)py");
  EXPECT_EQ(ClassIn(text, "ComposedModel"), R"py(class ComposedModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1_relu = LinearRelu8x16()
        self.fc2_relu = LinearRelu16x16()
        self.fc3 = Linear16x2()

    def forward(self, x):
        x = self.fc1_relu(x)  # [4, 16]
        x = self.fc2_relu(x)
        return self.fc3(x)  # [4, 2]
)py");
}

TEST(Composition, DefinesEveryClassBeforeItIsUsed) {
  const std::string text = Composition(TinyGpt());
  std::set<std::string> known;
  for (const std::string& line : LinesWith(text, "import Model as "))
    known.insert(line.substr(line.rfind(' ') + 1));
  int made = 0;
  for (const std::string& line : LinesWith(text, "")) {
    if (line.starts_with("class ")) known.insert(line.substr(6, line.find('(') - 6));
    const size_t equals = line.find(" = ");
    if (!line.starts_with("        self.") || !line.ends_with("()") || equals == std::string::npos) continue;
    EXPECT_THAT(known, testing::Contains(line.substr(equals + 3, line.size() - equals - 5))) << line;
    ++made;
  }
  EXPECT_GT(made, 8) << text;
  EXPECT_THAT(text, HasSubstr("        self.blocks = nn.ModuleList(Block() for _ in range(2))\n"));
}

TEST(Composition, ComputesNothingBetweenTheKernelsButArithmetic) {
  const std::string text = Composition(TinyGpt());
  const std::string classes = text.substr(text.find("class "), text.find("WEIGHT_MAP") - text.find("class "));
  for (const char* word : {"F.", "torch.", "nn.Linear", " @ ", "nn.Parameter"}) {
    EXPECT_THAT(LinesWith(classes, word), IsEmpty()) << word;
  }
}

TEST(Composition, TheWeightMapInTheScriptIsTheOneHandedOut) {
  for (const Plan& plan : {TinyGpt(), Mlp()}) {
    const std::string text = Composition(plan);
    const size_t begin = text.find("WEIGHT_MAP = {\n");
    const std::string body = text.substr(begin, text.find("\n}\n", begin) - begin);
    const std::map<std::string, std::string> map = CompositionWeightMap(plan);
    EXPECT_EQ(LinesWith(body, ": ").size(), map.size());
    for (const auto& [from, to] : map)
      EXPECT_THAT(body, HasSubstr(absl::StrCat("    \"", from, "\": \"", to, "\",")));
  }
}

TEST(Composition, EveryKeyOfTheSubmissionGoesToAKeyOfItsOwn) {
  const Plan plan = TinyGpt();
  const std::map<std::string, std::string> map = CompositionWeightMap(plan);
  std::set<std::string> targets;
  size_t keys = 0;
  for (const Value& value : plan.program.values) {
    if (value.kind != ValueKind::kParameter && value.kind != ValueKind::kBuffer) continue;
    for (const std::string& path : value.paths) {
      ++keys;
      ASSERT_TRUE(map.contains(path)) << path;
      EXPECT_TRUE(targets.insert(map.at(path)).second) << map.at(path) << " twice";
    }
  }
  EXPECT_EQ(map.size(), keys);
  EXPECT_EQ(map.at("blocks.1.attn.q_proj.weight"), "blocks.1.attn.q_proj.linear.weight");
  EXPECT_EQ(map.at("blocks.0.attn.mask"), "blocks.0.attn.softmax.mask");
  EXPECT_EQ(map.at("norm.weight"), "norm.weight");
}

TEST(Composition, TiesWhatTheSubmissionTies) {
  const std::string text = ClassIn(Composition(TinyGpt()), "ComposedModel");
  EXPECT_THAT(LinesWith(text, ".weight = "),
              ElementsAre("        self.head.linear.weight = self.embed.embedding.weight"));
  EXPECT_THAT(LinesWith(ClassIn(Composition(Mlp()), "ComposedModel"), ".weight"), IsEmpty());
}

TEST(Composition, OfALoneKernelComparesItWithTheSubmission) {
  Net net("19_Linear.py");
  const auto x = net.b.Input("x", {2, 8});
  const auto weight = net.b.Parameter("weight", {4, 8});
  const auto y =
      net.b.Op("aten::linear", {T("input", x), T("weight", weight), Default(None("bias"))}, {2, 4});
  const Plan plan = Planned(&net, {y});
  const std::string text = Composition(plan);
  EXPECT_THAT(text, HasSubstr("import importlib\n")) << "19_Linear is no identifier";
  EXPECT_THAT(text, HasSubstr("submission = importlib.import_module(\"19_Linear\")\n"));
  EXPECT_THAT(text, HasSubstr("for folder in (\"source\", \"level_0_kernel\"):\n"));
  EXPECT_THAT(text, HasSubstr("from linear_8x4_nobias_fp32 import Model as Kernel\n"));
  EXPECT_EQ(ClassIn(text, "ComposedModel"), R"py(class ComposedModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = Kernel()

    def forward(self, x):
        return self.kernel(x)
)py");
  EXPECT_THAT(CompositionWeightMap(plan), ElementsAre(testing::Pair("weight", "kernel.linear.weight")));
}

TEST(Composition, NamesTheKeysOfARespelledKernel) {
  const Plan plan = Mlp();
  const plan::Component& linear = ComponentNamed(plan, "linear_8x16_fp32");
  const CallId call = plan.nodes[static_cast<size_t>(linear.nodes[0])].calls[0];
  const Spellings spellings = {{linear.id, {.aten = {call}}}};
  EXPECT_EQ(CompositionWeightMap(plan).at("fc1.weight"), "fc1_relu.fc1.linear.weight");
  EXPECT_EQ(CompositionWeightMap(plan, spellings).at("fc1.weight"), "fc1_relu.fc1.weight");
  EXPECT_THAT(CompositionText(plan, spellings).value_or(""),
              HasSubstr("    \"fc1.weight\": \"fc1_relu.fc1.weight\",\n"));
}

TEST(Composition, OfALoneKernelReturnsWhatTheSubmissionReturns) {
  Net net("pair.py");
  const auto x = net.b.Input("x", {2, 8});
  const auto halves = net.b.OpMany("aten::max.dim", {T("self", x), I("dim", 1)}, {{2}, {2}}, DType::kFloat32,
                                   /*is_list=*/false);
  Program program = Recorded(&net, halves);
  Tree& output = program.invocations.at(0).output;
  output = {.kind = Tree::Kind::kTuple,
            .items = {output.items[0], {.kind = Tree::Kind::kTuple, .items = {output.items[1]}}}};
  const std::string text = Composition(plan::PlanOf(program));
  EXPECT_THAT(ClassIn(text, "ComposedModel"),
              HasSubstr("        x, h = self.kernel(x)\n        return x, (h,)\n"));
}

TEST(Composition, RunsTheSeedsAndTolerancesOfTheFormat) {
  const std::string text = Composition(Mlp());
  EXPECT_THAT(text, HasSubstr("\nSEEDS = (42, 43, 44)\nRTOL, ATOL = 1e-4, 1e-5\n"));
  EXPECT_THAT(text, HasSubstr("for folder in (\"level_3_model\", \"level_0_kernel\"):\n"));
  EXPECT_THAT(text, Not(HasSubstr("import base64"))) << "nothing is packed";
  EXPECT_THAT(text, testing::EndsWith("if __name__ == \"__main__\":\n    sys.exit(main())\n"));
}

}  // namespace
}  // namespace strata::emit
