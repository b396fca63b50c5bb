// The headers and docstrings of component files.
#include "worker/engine/emit/component_doc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using plan::Net;
using plan::Plan;
using testing::HasSubstr;

TEST(ModelNote, HasEverySectionOfTheTemplateAsComments) {
  const Plan plan = Mlp();
  EXPECT_EQ(absl::StrJoin(ModelNote(plan, plan.components[0]), "\n"), R"(# Component: mlp
# Abstraction Level: model
# Parent: root
# Children: linear_relu_8x16, linear_relu_16x16, linear_16x2_fp32
#
# Operations: linear x3, relu x2
#
# Input Shapes:
#   - x: [4, 8] dtype=torch.float32
#
# Output Shapes:
#   - output: [4, 2] dtype=torch.float32
#
# Weight Shapes:
#   - fc1.weight: [16, 8]
#   - fc1.bias: [16]
#   - fc2.weight: [16, 16]
#   - fc2.bias: [16]
#   - fc3.weight: [2, 16]
#   - fc3.bias: [2])");
}

TEST(ModelNote, NamesATiedWeightByAllItsKeys) {
  const Plan plan = TinyGpt();
  const std::string note = absl::StrJoin(ModelNote(plan, plan.components[0]), "\n");
  EXPECT_THAT(note, HasSubstr("#   - embed.weight: [50, 8]\n"));
  EXPECT_THAT(note, HasSubstr("#   - head.weight: [50, 8]\n"));
}

TEST(FileDocstring, AComponentThatRunsNoOperatorSaysSo) {
  Net net("tokens.py");
  const auto x = net.b.Input("x", {2, 3, 8});
  const auto token = net.b.Parameter("cls_token", {1, 1, 8});
  const auto tokens = net.b.View("aten::expand", {T("self", token), Is("size", {2, -1, -1})}, {2, 1, 8});
  const auto y = net.b.Op("aten::cat", {Ts("tensors", {tokens, x}), I("dim", 1)}, {2, 4, 8});
  const Plan plan = Planned(&net, {net.Linear("fc", y, 2)});
  EXPECT_THAT(TextOf(plan, "parameter_1x1x8_fp32"), HasSubstr("\nOperations: none\n\nInput Shapes:\n"));
}

TEST(ClassDocstring, AModelThatIsOneKernelReadsLikeThatKernelElsewhere) {
  Net alone("one.py"), inside("two.py");
  const auto x = alone.b.Input("x", {4, 8});
  const Plan one = Planned(&alone, {alone.Linear("fc", x, 2)});
  const auto y = inside.b.Input("x", {4, 8});
  const Plan two = Planned(&inside, {inside.Relu(inside.Softmax(inside.Linear("fc", y, 2)))});
  EXPECT_THAT(TextOf(one, "linear_8x2_fp32"),
              HasSubstr("    \"\"\"\n    nn.Linear.\n\n    Extracted from: root, as fc\n    \"\"\"\n"));
  EXPECT_THAT(TextOf(two, "linear_8x2_fp32"), HasSubstr("    \"\"\"\n    nn.Linear.\n\n"));
}

TEST(ClassDocstring, AModelThatIsOneOperatorIsNamedByIt) {
  Net net("act.py");
  const auto x = net.b.Input("x", {4, 8});
  EXPECT_THAT(TextOf(Planned(&net, {net.Relu(x)}), "relu_fp32"),
              HasSubstr("    \"\"\"\n    Relu.\n\n    Extracted from: root\n    \"\"\"\n"));
}

}  // namespace
}  // namespace strata::emit
