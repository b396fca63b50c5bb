// The files of a step, and which weight goes where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using plan::Plan;
using program::CallId;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

TEST(StepFiles, AreTheParentItsChildrenAndTheWeightMap) {
  const Plan plan = Mlp();
  const std::vector<File> files = StepOf(plan, "linear_relu_8x16");
  std::vector<std::string> paths;
  for (const File& file : files) paths.push_back(file.path);
  const std::string step = "steps/" + ComponentNamed(plan, "linear_relu_8x16").step_name;
  EXPECT_THAT(paths, ElementsAre(step + "/original.py", step + "/refactored.py",
                                 step + "/children/linear_8x16_fp32.py", "level_0_kernel/linear_8x16_fp32.py",
                                 step + "/children/relu_fp32.py", "level_0_kernel/relu_fp32.py",
                                 step + "/weight_map.json"));
  EXPECT_EQ(ContentOf(files, "/original.py"), TextOf(plan, "linear_relu_8x16"));
  EXPECT_EQ(ContentOf(files, "children/relu_fp32.py"), ContentOf(files, "level_0_kernel/relu_fp32.py"));
  EXPECT_EQ(ContentOf(files, "children/relu_fp32.py"), TextOf(plan, "relu_fp32"));
  EXPECT_EQ(ContentOf(files, "/weight_map.json"), R"json({
  "fc1.weight": "fc1.linear.weight",
  "fc1.bias": "fc1.linear.bias"
}
)json");
}

TEST(StepFiles, TheOriginalOfAStepIsAChildOfAnEarlierOne) {
  const Plan plan = TinyGpt();
  std::map<std::string, std::string> children;
  for (const plan::Component& component : plan.components) {
    if (component.level == plan::Level::kKernel) continue;
    const std::vector<File> files = StepOf(plan, component.stem);
    if (component.id > 0) {
      EXPECT_EQ(ContentOf(files, "/original.py"), children[component.stem]) << component.stem;
    }
    for (const File& file : files) {
      const size_t slash = file.path.rfind('/');
      children[file.path.substr(slash + 1, file.path.size() - slash - 4)] = file.content;
    }
  }
}

TEST(StepFiles, TheWeightMapCoversEveryWeightOnceOnEachSide) {
  const Plan plan = TinyGpt();
  for (const char* stem : {"block", "attention", "mlp"}) {
    const nlohmann::json map = nlohmann::json::parse(ContentOf(StepOf(plan, stem), "/weight_map.json"));
    std::set<std::string> targets;
    for (const auto& [from, to] : map.items()) targets.insert(to.get<std::string>());
    EXPECT_EQ(targets.size(), map.size()) << map;
    const std::string original = TextOf(plan, stem);
    const size_t begin = original.find("Weight Shapes:\n");
    const std::string weights = original.substr(begin, original.find("\"\"\"", begin) - begin);
    EXPECT_THAT(LinesWith(weights, "  - "), SizeIs(map.size())) << weights << map;
  }
}

TEST(StepFiles, TiedWeightsMapOneToOne) {
  const nlohmann::json map = nlohmann::json::parse(ContentOf(StepOf(TinyGpt(), "gpt"), "/weight_map.json"));
  EXPECT_EQ(map.value("embed.weight", ""), "embed.embedding.weight");
  EXPECT_EQ(map.value("head.weight", ""), "head.linear.weight");
  EXPECT_EQ(map.value("blocks.1.ln_2.bias", ""), "blocks.1.ln_2.bias") << map;
}

TEST(StepFiles, TheWeightMapNamesTheKeysOfARespelledChild) {
  const Plan plan = Mlp();
  const plan::Component& linear = ComponentNamed(plan, "linear_8x16_fp32");
  const CallId call = plan.nodes[static_cast<size_t>(linear.nodes[0])].calls[0];
  const auto step =
      StepFiles(plan, ComponentNamed(plan, "linear_relu_8x16").id, "", {{linear.id, {.aten = {call}}}});
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_THAT(ContentOf(step->files, "children/linear_8x16_fp32.py"),
              HasSubstr("torch.ops.aten.linear.default(x, self.weight, self.bias)"));
  EXPECT_EQ(ContentOf(step->files, "/weight_map.json"), R"json({
  "fc1.weight": "fc1.weight",
  "fc1.bias": "fc1.bias"
}
)json");
}

TEST(StepFiles, OfARespelledParentBeginWithItsRespelledFile) {
  const Plan plan = Mlp();
  const plan::Component& parent = ComponentNamed(plan, "linear_relu_8x16");
  const Spelling spelling{.aten = {plan.nodes[static_cast<size_t>(parent.nodes[0])].calls[0]}};
  const auto step = StepFiles(plan, parent.id, "", {{parent.id, spelling}});
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_EQ(ContentOf(step->files, "/original.py"), TextOf(plan, parent.stem, spelling));
  EXPECT_EQ(ContentOf(step->files, "/weight_map.json"), R"json({
  "weight": "fc1.linear.weight",
  "bias": "fc1.linear.bias"
}
)json");
}

TEST(StepFiles, AKernelHasNone) {
  const Plan plan = Mlp();
  const auto step = StepFiles(plan, ComponentNamed(plan, "relu_fp32").id, "");
  EXPECT_EQ(step.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(step.status().message()), HasSubstr("relu_fp32 is a kernel"));
}

}  // namespace
}  // namespace strata::emit
