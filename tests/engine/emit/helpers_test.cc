// Functions and methods of the source below forward: written once, called where the source calls them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using plan::Net;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

// A block x + relu(fc(x) …) whose forward calls FUNCTION(h, second) twice, each result assigned to `target`.
std::string BlockThatCalls(const std::string& function, const std::string& target,
                           const std::string& parameter) {
  Net net("helped.py");
  const auto x = net.b.Input("x", {2, 8}), y = net.b.Input("y", {2, 8});
  net.Enter("block", "Block", {x, y});
  auto h = net.Linear("block.fc", x, 8);
  for (int i = 0; i < 2; ++i) {
    net.b.EnterFunction(function);
    h = net.Unary("tanh", net.Mul(h, y));
    net.b.last_call().frames[0].targets = {target};
    net.b.LeaveFunction();
  }
  const auto out = net.Add(x, net.Relu(h));
  net.Leave(out);
  Program program = Recorded(&net, {net.Linear("head", out, 2)});
  program.invocations[1].parameter_names = {"x", parameter};
  return TextOf(plan::PlanOf(std::move(program)), "block");
}

TEST(Helpers, AFunctionIsWrittenOnceAndCalledWhereTheSourceDoes) {
  const std::string text = BlockThatCalls("squash", "h", "y");
  EXPECT_EQ(FunctionIn(text, "squash"), "def squash(x, y):\n    return torch.tanh(x * y)\n");
  EXPECT_THAT(LinesWith(text, "def squash("), SizeIs(1));
  EXPECT_EQ(ClassIn(text, "Model"), R"py(class Model(nn.Module):
    def __init__(self, in_features=8, out_features=8):
        super().__init__()
        self.fc = nn.Linear(in_features, out_features)

    def forward(self, x, y):
        h = self.fc(x)
        h = squash(h, y)
        h = squash(h, y)
        return x + F.relu(h)
)py");
}

TEST(Helpers, AVariableDoesNotHideTheFunctionItComesFrom) {
  const std::string text = ClassIn(BlockThatCalls("scores", "scores", "y"), "Model");
  EXPECT_THAT(text, HasSubstr("= scores("));
  EXPECT_THAT(text, Not(HasSubstr("scores = "))) << "UnboundLocalError";
}

TEST(Helpers, AParameterDoesNotHideTheFunction) {
  const std::string text = BlockThatCalls("mask", "h", "mask");
  EXPECT_THAT(ClassIn(text, "Model"), HasSubstr("def forward(self, x, mask):\n"));
  EXPECT_THAT(ClassIn(text, "Model"), Not(HasSubstr("mask("))) << "mask is a tensor here";
  EXPECT_THAT(ClassIn(text, "Model"), HasSubstr("torch.tanh("));
}

}  // namespace
}  // namespace strata::emit
