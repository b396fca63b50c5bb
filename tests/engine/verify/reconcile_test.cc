#include "worker/engine/verify/reconcile.h"

#include <gtest/gtest.h>

#include "worker/engine/program/builder.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::Default;
using program::F;
using program::I;
using program::Is;
using program::N;
using program::Program;
using program::T;

// A model of these operators on one input, each on the result of the one before.
struct Step {
  std::string op;
  std::vector<program::NamedArgument> settings;
};

Program Chain(const std::vector<Step>& steps) {
  Builder b;
  program::ValueId x = b.Input("x", {2, 4});
  for (const Step& step : steps) {
    std::vector<program::NamedArgument> args = {T("self", x)};
    args.insert(args.end(), step.settings.begin(), step.settings.end());
    x = b.Op(step.op, args, {2, 4});
  }
  return b.Finish({x});
}

std::vector<std::string> Whats(const std::vector<Violation>& violations) {
  std::vector<std::string> whats;
  for (const Violation& violation : violations) {
    EXPECT_EQ(violation.rule, rules::kOperators);
    whats.push_back(violation.what);
  }
  return whats;
}

std::vector<std::string> Judge(const Program& original, const Program& refactored) {
  return Whats(SurplusViolations(original, refactored, Reconcile(original, refactored)));
}

TEST(Reconcile, TheSameOperatorsInAnyOrderReconcile) {
  const Program a = Chain({{"aten::relu", {}}, {"aten::tanh", {}}}),
                b = Chain({{"aten::tanh", {}}, {"aten::relu_", {}}});
  EXPECT_TRUE(Reconcile(a, b).empty());
}

TEST(Reconcile, DropoutStandsWhereItDoesInTheOriginal) {
  const Program a =
      Chain({{"aten::relu", {}}, {"aten::view", {}}, {"aten::dropout", {}}, {"aten::tanh", {}}});
  EXPECT_TRUE(
      PlaceViolations(a, Chain({{"aten::relu", {}}, {"aten::dropout", {}}, {"aten::tanh", {}}})).empty());
  EXPECT_EQ(
      Whats(PlaceViolations(a, Chain({{"aten::dropout", {}}, {"aten::relu", {}}, {"aten::tanh", {}}}))),
      std::vector<std::string>{"dropout stands behind an input; in the original dropout stands behind relu"});
}

// Of two inputs, those at `read` are read by Python; which one leads to the output does not matter.
Program Reading(const std::vector<int>& read) {
  Builder b;
  const program::ValueId inputs[] = {b.Input("x", {4}), b.Input("n", {4})};
  for (const int index : read) {
    const program::ValueId one = b.View("aten::select", {T("self", inputs[index])}, {});
    b.Op("aten::_local_scalar_dense", {T("self", one)}, {});
    b.last_call().results.clear();
    b.last_call().marks |= program::kDataDependent;
  }
  return b.Finish({b.Op("aten::relu", {T("self", inputs[0])}, {4})});
}

TEST(Reconcile, ANumberOfAnInputThatPythonNoLongerReads) {
  EXPECT_TRUE(ReadViolations(Reading({0, 1, 1}), Reading({1, 0})).empty());
  EXPECT_EQ(Whats(ReadViolations(Reading({0, 1}), Reading({0}))),
            std::vector<std::string>{
                "Python reads no number of input 1, where the original reads one at model.py:13"});
  EXPECT_EQ(Whats(ReadViolations(Reading({1}), Reading({}))),
            std::vector<std::string>{
                "Python reads no number of the data, where the original reads one at model.py:11"});
}

TEST(Reconcile, ANumberThatPythonReadsWhereTheOriginalReadsNone) {
  const auto program = [](bool reads) {
    Builder b;
    const program::ValueId x = b.Input("x", {2, 4}), y = b.Op("aten::relu", {T("self", x)}, {2, 4});
    if (reads) {
      b.Op("aten::_local_scalar_dense", {T("self", y)}, {});
      b.last_call().results.clear();
      b.last_call().marks |= program::kDataDependent;
    }
    return b.Finish({y});
  };
  EXPECT_TRUE(ReadViolations(program(true), program(true)).empty());
  EXPECT_EQ(ReadViolations(program(false), program(true)).size(), 1u);
  EXPECT_EQ(ReadViolations(program(true), program(false)).size(), 1u);
}

TEST(Reconcile, DefaultsAndEqualDimensionsAreNoOtherSettings) {
  const Program a = Chain({{"aten::softmax.int", {I("dim", 1)}}});
  const Program b = Chain({{"aten::softmax.int", {I("dim", -1)}}});
  EXPECT_TRUE(Reconcile(a, b).empty()) << "the last of two dimensions";
  const Program said = Chain({{"aten::elu", {Default(N("alpha", 1))}}}), unsaid = Chain({{"aten::elu", {}}});
  EXPECT_TRUE(Reconcile(said, unsaid).empty());
}

TEST(Reconcile, APoolThatStridesByItsKernelNeedNotSaySo) {
  const Program said = Chain({{"aten::max_pool2d", {Is("kernel_size", {2, 2}), Is("stride", {2, 2})}}});
  const Program unsaid =
      Chain({{"aten::max_pool2d", {Is("kernel_size", {2, 2}), Default(Is("stride", {}))}}});
  const Program other = Chain({{"aten::max_pool2d", {Is("kernel_size", {2, 2}), Is("stride", {1, 1})}}});
  EXPECT_TRUE(Reconcile(said, unsaid).empty());
  EXPECT_EQ(Judge(said, other).size(), 1u);
}

TEST(Reconcile, AnotherEpsIsAViolationWhereItStands) {
  const Program a = Chain({{"aten::layer_norm", {F("eps", 1e-5)}}}),
                b = Chain({{"aten::layer_norm", {F("eps", 1e-6)}}});
  const auto whats = Judge(a, b);
  ASSERT_EQ(whats.size(), 1u);
  EXPECT_NE(whats[0].find("eps=1e-06"), std::string::npos) << whats[0];
  EXPECT_NE(whats[0].find("eps=1e-05"), std::string::npos) << whats[0];
}

TEST(Reconcile, MissingAndInventedOperatorsAreViolations) {
  const Program one = Chain({{"aten::relu", {}}}), two = Chain({{"aten::relu", {}}, {"aten::relu", {}}});
  ASSERT_EQ(Judge(two, one).size(), 1u);
  EXPECT_NE(Judge(two, one)[0].find("executed nowhere"), std::string::npos);
  ASSERT_EQ(Judge(one, two).size(), 1u);
  EXPECT_NE(Judge(one, two)[0].find("not in the original"), std::string::npos);
}

TEST(Reconcile, AnotherConstantInArithmeticIsAViolation) {
  const Program a = Chain({{"aten::mul.Scalar", {N("other", 0.5)}}});
  const Program b = Chain({{"aten::mul.Scalar", {N("other", 0.500001)}}});
  EXPECT_EQ(Judge(a, b).size(), 1u);
}

TEST(Reconcile, AnotherSpellingIsLeftToTheNumbers) {
  const Program a = Chain({{"aten::silu", {}}}),
                b = Chain({{"aten::sigmoid", {}}, {"aten::mul.Scalar", {N("other", 1)}}});
  const Surplus surplus = Reconcile(a, b);
  EXPECT_TRUE(SurplusViolations(a, b, surplus).empty());
  EXPECT_EQ(
      SpellingNote(surplus),
      "another spelling: silu of the original is mul, sigmoid here; the numbers agree on the judge's inputs "
      "too");
}

TEST(Reconcile, AnotherDTypeIsAnotherSetting) {
  Builder a, b;
  const auto x = a.Input("x", {2}), y = b.Input("x", {2}, program::DType::kBFloat16);
  const auto p = a.Op("aten::gelu", {T("self", x)}, {2});
  const auto q = b.Op("aten::gelu", {T("self", y)}, {2}, program::DType::kBFloat16);
  EXPECT_EQ(Judge(a.Finish({p}), b.Finish({q})).size(), 1u);
}

}  // namespace
}  // namespace strata::verify
