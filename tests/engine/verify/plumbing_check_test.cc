#include "worker/engine/verify/plumbing_check.h"

#include <gtest/gtest.h>

#include "worker/engine/program/builder.h"
#include "worker/engine/verify/formulas.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::Program;
using program::T;

constexpr char kChildren[] = "/bundle/steps/step_1/children";

// The module at `path` comes from a file.
void PlaceModule(Program& program, const std::string& path, const std::string& file) {
  for (program::Module& module : program.modules) {
    if (!module.paths.empty() && module.paths[0] == path) module.file = file;
  }
}

TEST(PlumbingCheck, ComputeInsideAChildIsFine) {
  Builder b;
  const auto x = b.Input("x", {2});
  b.Enter("act", {x});
  const auto y = b.Op("aten::relu", {T("self", x)}, {2});
  b.Leave({y});
  const auto z = b.Op("aten::add.Tensor", {T("self", y), T("other", x)}, {2});
  Program p = b.Finish({z});
  PlaceModule(p, "act", "/bundle/steps/step_1/children/relu_fp32.py");
  const ChildScopes scopes(p, kChildren);
  EXPECT_TRUE(ExecutedViolations(p, scopes).empty());
  EXPECT_TRUE(ParameterViolations(p, p, scopes).empty());
  ASSERT_EQ(scopes.runs().size(), 1u);
  EXPECT_EQ(scopes.runs()[0].stem, "relu_fp32");
}

TEST(PlumbingCheck, ComputeInTheParentIsAViolationWithItsLine) {
  Builder b("refactored.py");
  const auto x = b.Input("x", {2});
  b.Line(31);
  const auto y = b.Op("aten::relu", {T("self", x)}, {2});
  const Program p = b.Finish({y});
  const auto violations = ExecutedViolations(p, ChildScopes(p, kChildren));
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].rule, rules::kPlumbing);
  EXPECT_EQ(violations[0].what.substr(0, 5), "relu:");
  EXPECT_EQ(violations[0].line, 31);
}

TEST(PlumbingCheck, AModuleFromAnotherFolderIsNoChild) {
  Builder b;
  const auto x = b.Input("x", {2});
  b.Enter("act", {x});
  const auto y = b.Op("aten::relu", {T("self", x)}, {2});
  b.Leave({y});
  Program p = b.Finish({y});
  PlaceModule(p, "act", "/bundle/steps/step_1/children/deeper/relu_fp32.py");
  const ChildScopes scopes(p, kChildren);
  EXPECT_EQ(ExecutedViolations(p, scopes).size(), 1u);
  const auto modules = ParameterViolations(p, p, scopes);
  ASSERT_EQ(modules.size(), 1u);
  EXPECT_EQ(modules[0].rule, rules::kModules);
  EXPECT_EQ(modules[0].what.substr(0, 5), "'act'");
}

TEST(PlumbingCheck, AParameterInPlumbingIsAViolation) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto w = b.Parameter("child.weight", {2});
  const auto y = b.Op("aten::mul.Tensor", {T("self", x), T("other", w)}, {2});
  Program p = b.Finish({y});
  PlaceModule(p, "child", "/bundle/steps/step_1/children/c.py");
  const ChildScopes scopes(p, kChildren);
  EXPECT_EQ(ExecutedViolations(p, scopes).size(), 1u);
  EXPECT_TRUE(ParameterViolations(p, p, scopes).empty()) << "the child may hold it";
}

TEST(PlumbingCheck, AParameterThatItsChildReturnedMayBeMoved) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto w = b.Parameter("token.weight", {2});
  b.Enter("token", {});
  b.Leave({w});
  const auto y = b.Op("aten::expand", {T("self", w)}, {2});
  const auto z = b.Op("aten::add.Tensor", {T("self", x), T("other", y)}, {2});
  Program p = b.Finish({z});
  PlaceModule(p, "token", "/bundle/steps/step_1/children/parameter_2_fp32.py");
  EXPECT_TRUE(ExecutedViolations(p, ChildScopes(p, kChildren)).empty());
}

TEST(PlumbingCheck, AParentMayHoldNoParameter) {
  Builder b;
  const auto x = b.Input("x", {2});
  b.Parameter("scale", {2});
  const Program p = b.Finish({x});
  const auto violations = ParameterViolations(p, p, ChildScopes(p, kChildren));
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].rule, rules::kParameters);
  EXPECT_NE(violations[0].what.find("'scale'"), std::string::npos);
}

Program WithBuffer(std::vector<uint8_t> data) {
  Builder b;
  const auto x = b.Input("x", {2});
  b.Buffer("mask", {2}, program::DType::kBool, std::move(data));
  return b.Finish({x});
}

TEST(PlumbingCheck, ABufferMustBeTheOriginalsOwn) {
  const Program original = WithBuffer({1, 0}), other = WithBuffer({1, 1});
  EXPECT_TRUE(ParameterViolations(original, original, ChildScopes(original, kChildren)).empty());
  EXPECT_EQ(ParameterViolations(other, original, ChildScopes(other, kChildren)).size(), 1u);
}

// gate * sigmoid(value); `in_child`: the module that takes the sigmoid, "" for silu in one piece.
Program Gated(const std::string& in_child, bool by_itself, bool reshaped = false) {
  Builder b;
  const auto x = b.Input("x", {2, 3}), u = b.Input("u", {2, 3});
  if (in_child.empty()) return b.Finish({b.Op("aten::silu", {T("self", x)}, {2, 3})});
  auto taken = x;
  if (reshaped) taken = b.View("aten::view", {T("self", x)}, {6});
  b.Enter(in_child, {taken});
  auto gate = b.Op("aten::sigmoid", {T("self", taken)}, {2, 3});
  b.Leave({gate});
  if (reshaped) gate = b.View("aten::view", {T("self", gate)}, {2, 3});
  Program p = b.Finish({b.Op("aten::mul.Tensor", {T("self", by_itself ? x : u), T("other", gate)}, {2, 3})});
  PlaceModule(p, "child", "/bundle/steps/step_1/children/sigmoid_fp32.py");
  return p;
}

TEST(Formulas, APatternThatTheParentCompletesIsAViolation) {
  const auto count = [](const Program& original, const Program& refactored) {
    return FormulaViolations(original, refactored, ChildScopes(refactored, kChildren)).size();
  };
  const Program silu = Gated("", true), written = Gated("act", true), gate = Gated("act", false);
  EXPECT_EQ(count(silu, Gated("child", true)), 1u);
  EXPECT_EQ(count(silu, Gated("child", true, /*reshaped=*/true)), 1u);
  EXPECT_EQ(count(written, Gated("child", true)), 1u);
  EXPECT_EQ(count(gate, Gated("child", false)), 0u);
}

}  // namespace
}  // namespace strata::verify
