// Single operators as expressions.
#include "worker/engine/emit/spelling.h"

#include <gtest/gtest.h>

#include <limits>

#include "worker/engine/program/builder.h"

namespace strata::emit {
namespace {

using namespace program;

// One call over tensors a, b, c: values 0, 1, 2. `a` may stand for any expression.
class SpellingTest : public testing::Test {
 protected:
  std::string Spelling(const std::string& op, std::vector<NamedArgument> args) {
    return Text(op, std::move(args), Spell);
  }
  std::string Aten(const std::string& op, std::vector<NamedArgument> args) {
    return Text(op, std::move(args), SpellAten);
  }
  void AIs(const std::string& text, int precedence) { a_ = Expr{text, precedence}; }

 private:
  std::string Text(const std::string& op, std::vector<NamedArgument> args,
                   Spelled (*spell)(const Call&, const SpellingContext&)) const {
    Builder b;
    for (const char* name : {"a", "b", "c"}) b.Input(name, {2, 3, 4});
    const Program program = b.Finish({b.Op(op, std::move(args), {2, 3, 4})});
    const auto operand = [&](ValueId id) {
      return Spelled{id == 0 ? a_ : Expr{program.value(id).paths.at(0), kAtom}, nullptr, nullptr};
    };
    return spell(program.calls.back(), {program, operand, nullptr, ""}).expr.text;
  }

  Expr a_{"a", kAtom};
};

const NamedArgument kAlphaOne = Default(KwargOnly(N("alpha", 1)));
const NamedArgument kAlphaTwo = KwargOnly(N("alpha", 2));

TEST_F(SpellingTest, ArithmeticIsInfixInTheOrderOfItsOperands) {
  EXPECT_EQ(Spelling("aten::sub.Tensor", {T("self", 0), T("other", 1), kAlphaOne}), "a - b");
  EXPECT_EQ(Spelling("aten::sub.Tensor", {T("self", 1), T("other", 0), kAlphaOne}), "b - a");
  EXPECT_EQ(Spelling("aten::matmul", {T("self", 0), T("other", 1)}), "a @ b");
  EXPECT_EQ(Spelling("aten::mul.Tensor", {T("self", 0), N("other", 0.5)}), "a * 0.5");
  EXPECT_EQ(Spelling("aten::neg", {T("self", 0)}), "-a");
}

TEST_F(SpellingTest, AReflectedSubtractionTurnsRound) {
  EXPECT_EQ(Spelling("aten::rsub.Scalar", {T("self", 0), N("other", 1), Default(N("alpha", 1))}), "1.0 - a");
  AIs("x - y", kSum);
  EXPECT_EQ(Spelling("aten::rsub.Scalar", {T("self", 0), N("other", 1), Default(N("alpha", 1))}),
            "1.0 - (x - y)");
}

TEST_F(SpellingTest, BracketsStandWherePythonWouldReadItOtherwise) {
  AIs("x + y", kSum);
  EXPECT_EQ(Spelling("aten::mul.Tensor", {T("self", 0), T("other", 1)}), "(x + y) * b");
  EXPECT_EQ(Spelling("aten::add.Tensor", {T("self", 0), T("other", 1), kAlphaOne}), "x + y + b");
  EXPECT_EQ(Spelling("aten::add.Tensor", {T("self", 1), T("other", 0), kAlphaOne}), "b + (x + y)")
      << "floating point addition is not associative";
  EXPECT_EQ(Spelling("aten::exp", {T("self", 0)}), "torch.exp(x + y)");
  EXPECT_EQ(Spelling("aten::abs", {T("self", 0)}), "torch.abs(x + y)");
  EXPECT_EQ(Spelling("aten::square", {T("self", 0)}), "(x + y).square()");
  EXPECT_EQ(Spelling("aten::neg", {T("self", 0)}), "-(x + y)");
  AIs("x < y", kCompare);
  EXPECT_EQ(Spelling("aten::eq.Tensor", {T("self", 0), T("other", 1)}), "(x < y) == b")
      << "comparisons chain";
  EXPECT_EQ(Spelling("aten::bitwise_and.Tensor", {T("self", 0), T("other", 1)}), "(x < y) & b");
}

TEST_F(SpellingTest, AlphaIsKeptWhereItIsNotOne) {
  EXPECT_EQ(Spelling("aten::add.Tensor", {T("self", 0), T("other", 1), kAlphaTwo}),
            "torch.add(a, b, alpha=2.0)");
}

TEST_F(SpellingTest, ANumberToThePowerOfATensor) {
  EXPECT_EQ(Spelling("aten::pow.Scalar", {N("self", 2), T("exponent", 1)}), "2.0 ** b");
  EXPECT_EQ(Spelling("aten::pow.Scalar", {N("self", -2), T("exponent", 1)}), "(-2.0) ** b")
      << "-2.0 ** b is -(2.0 ** b)";
  AIs("-x", kUnary);
  EXPECT_EQ(Spelling("aten::pow.Scalar", {N("self", 2), T("exponent", 0)}), "2.0 ** (-x)");
}

TEST_F(SpellingTest, DefaultsAreLeftOutAndWhatFollowsThemHasItsName) {
  EXPECT_EQ(Spelling("aten::mean.dim", {T("self", 0), Is("dim", {-1}), Default(B("keepdim", false)),
                                        Default(KwargOnly(program::None("dtype", "ScalarType?")))}),
            "a.mean(-1)");
  EXPECT_EQ(Spelling("aten::mean.dim", {T("self", 0), Is("dim", {1, 2}), B("keepdim", true)}),
            "a.mean((1, 2), keepdim=True)");
  EXPECT_EQ(Spelling("aten::max_pool2d",
                     {T("self", 0), Is("kernel_size", {3, 3}), Is("stride", {2, 2}), Is("padding", {1, 1}),
                      Default(Is("dilation", {1, 1})), Default(B("ceil_mode", false))}),
            "F.max_pool2d(a, 3, stride=2, padding=1)");
  EXPECT_EQ(Spelling("aten::max_pool2d",
                     {T("self", 0), Is("kernel_size", {3, 2}), Is("stride", {3, 2}),
                      Default(Is("padding", {0, 0})), Default(Is("dilation", {1, 1})), B("ceil_mode", true)}),
            "F.max_pool2d(a, (3, 2), stride=(3, 2), ceil_mode=True)");
}

TEST_F(SpellingTest, ShapesAndIndicesReadAsInPython) {
  EXPECT_EQ(Spelling("aten::view", {T("self", 0), Is("size", {2, 12})}), "a.view(2, 12)");
  EXPECT_EQ(Spelling("aten::transpose.int", {T("self", 0), I("dim0", 1), I("dim1", -1)}),
            "a.transpose(1, -1)");
  EXPECT_EQ(Spelling("aten::permute", {T("self", 0), Is("dims", {2, 0, 1})}), "a.permute(2, 0, 1)");
  EXPECT_EQ(Spelling("aten::slice.Tensor",
                     {T("self", 0), I("dim", 1), I("start", 1), I("end", 2), Default(I("step", 1))}),
            "a[:, 1:2]");
  EXPECT_EQ(Spelling("aten::slice.Tensor", {T("self", 0), I("dim", 2), I("start", 0),
                                            I("end", std::numeric_limits<int64_t>::max()), I("step", 2)}),
            "a[..., ::2]");
  EXPECT_EQ(Spelling("aten::select.int", {T("self", 0), I("dim", -1), I("index", 0)}), "a[..., 0]");
  EXPECT_EQ(Spelling("aten::cat", {Ts("tensors", {0, 1}), I("dim", -1)}), "torch.cat([a, b], dim=-1)");
  EXPECT_EQ(Spelling("aten::cat", {Ts("tensors", {0, 1}), Default(I("dim", 0))}), "torch.cat([a, b])");
}

TEST_F(SpellingTest, MaskAndClampKeepTheirBounds) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(Spelling("aten::masked_fill.Scalar", {T("self", 0), T("mask", 1), N("value", -inf)}),
            "a.masked_fill(b, float(\"-inf\"))");
  EXPECT_EQ(Spelling("aten::clamp", {T("self", 0), N("min", -1), Default(program::None("max", "Scalar?"))}),
            "a.clamp(min=-1.0)");
  EXPECT_EQ(Spelling("aten::where.self", {T("condition", 2), T("self", 0), T("other", 1)}),
            "torch.where(c, a, b)");
}

TEST_F(SpellingTest, BatchNormHasItsArgumentsInPythonsOrder) {
  EXPECT_EQ(Spelling("aten::batch_norm",
                     {T("input", 0), None("weight"), None("bias"), T("running_mean", 1), T("running_var", 2),
                      B("training", false), F("momentum", 0.1), F("eps", 1e-3), B("cudnn_enabled", true)}),
            "F.batch_norm(a, b, c, weight=None, bias=None, eps=0.001)");
}

TEST_F(SpellingTest, WhatHasNoReadableFormIsSpelledByItsSchema) {
  EXPECT_EQ(Spelling("aten::_no_such_operator.Tensor", {T("self", 0), I("n", 3)}),
            "torch.ops.aten._no_such_operator.Tensor(a, 3)");
  EXPECT_EQ(Spelling("mine::scale", {T("self", 0), F("by", 2)}), "torch.ops.mine.scale.default(a, 2.0)");
}

TEST_F(SpellingTest, TheExactFormDropsOnlyTrailingDefaults) {
  EXPECT_EQ(
      Aten("aten::softmax.int", {T("self", 0), I("dim", -1), Default(program::None("dtype", "ScalarType?"))}),
      "torch.ops.aten.softmax.int(a, -1)");
  EXPECT_EQ(Aten("aten::max_pool2d", {T("self", 0), Is("kernel_size", {2, 2}), Default(Is("stride", {})),
                                      Is("padding", {1, 1}), Default(Is("dilation", {1, 1}))}),
            "torch.ops.aten.max_pool2d.default(a, [2, 2], [], [1, 1])");
  EXPECT_EQ(Aten("aten::add.Tensor", {T("self", 0), T("other", 1), kAlphaTwo}),
            "torch.ops.aten.add.Tensor(a, b, alpha=2.0)");
  EXPECT_EQ(Aten("aten::add.Tensor", {T("self", 0), T("other", 1), kAlphaOne}),
            "torch.ops.aten.add.Tensor(a, b)");
}

TEST(NumberLiteral, IsTheNumberThatTheDispatcherWrapped) {
  Builder b;
  const auto bytes = [](auto number) {
    const auto* at = reinterpret_cast<const uint8_t*>(&number);
    return std::vector<uint8_t>(at, at + sizeof number);
  };
  Value value = b.value(b.Constant({}, DType::kFloat64, bytes(0.125)));
  EXPECT_FALSE(NumberLiteral(value)) << "a tensor of its own";
  value.is_wrapped_number = true;
  EXPECT_EQ(NumberLiteral(value)->text, "0.125");
  value = b.value(b.Constant({}, DType::kInt64, bytes(int64_t{-3})));
  value.is_wrapped_number = true;
  EXPECT_EQ(NumberLiteral(value)->text, "-3");
  EXPECT_EQ(Operand(*NumberLiteral(value), kAtom), "(-3)");
}

}  // namespace
}  // namespace strata::emit
