#include "worker/engine/verify/dataflow_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/program/builder.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::Dt;
using program::DType;
using program::Program;
using program::T;
using program::ValueId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Whats(const std::vector<Violation>& violations) {
  std::vector<std::string> whats;
  for (const Violation& violation : violations) whats.push_back(violation.what);
  return whats;
}

// x times the mask, or times ones in its shape.
Program Masked(bool by_shape_only) {
  Builder b;
  const ValueId x = b.Input("x", {2, 4}), mask = b.Input("mask", {2, 4});
  const ValueId factor = by_shape_only ? b.Op("aten::ones_like", {T("self", mask)}, {2, 4}) : mask;
  return b.Finish({b.Op("aten::mul.Tensor", {T("self", x), T("other", factor)}, {2, 4})});
}

TEST(IgnoredInputs, ValuesReachTheOutputAndShapesDoNot) {
  EXPECT_THAT(Whats(IgnoredInputs(Masked(false), Masked(false))), IsEmpty());
  EXPECT_THAT(Whats(IgnoredInputs(Masked(false), Masked(true))),
              ElementsAre(HasSubstr("the values of input 1")));
  EXPECT_THAT(Whats(IgnoredInputs(Masked(true), Masked(true))), IsEmpty()) << "the original ignores it too";
}

TEST(IgnoredInputs, WhatIsWrittenIntoMemoryIsReadFromIt) {
  const auto program = [](bool writes) {
    Builder b;
    const ValueId x = b.Input("x", {4}), y = b.Input("y", {4});
    const ValueId made = b.Op("aten::relu", {T("self", x)}, {4});
    if (writes) b.Op("aten::add_.Tensor", {T("self", made), T("other", y)}, {4});
    return b.Finish({made});
  };
  EXPECT_THAT(Whats(IgnoredInputs(program(true), program(true))), IsEmpty());
  EXPECT_THAT(Whats(IgnoredInputs(program(true), program(false))), ElementsAre(HasSubstr("input 1")));
}

Program WithBias(bool has_bias) {
  Builder b;
  const ValueId x = b.Input("x", {2, 4}), weight = b.Parameter("weight", {4, 4});
  std::vector<program::NamedArgument> args = {T("input", x), T("weight", weight)};
  if (has_bias) args.push_back(T("bias", b.Parameter("bias", {4})));
  return b.Finish({b.Op("aten::linear", args, {2, 4})});
}

TEST(LostWeights, AParameterThatIsReadGoesSomewhere) {
  EXPECT_THAT(Whats(LostWeights(WithBias(true), WithBias(true), {})), IsEmpty());
  EXPECT_THAT(Whats(LostWeights(WithBias(true), WithBias(false), {})), ElementsAre(HasSubstr("'bias'")));
  EXPECT_THAT(Whats(LostWeights(WithBias(true), WithBias(false), {{"bias", {"weight"}}})), IsEmpty());
}

Program Counting(bool counts) {
  Builder b;
  const ValueId x = b.Input("x", {4}), seen = b.Buffer("seen", {4});
  if (counts) b.Op("aten::add_.Tensor", {T("self", seen), T("other", x)}, {4});
  return b.Finish({b.Op("aten::relu", {T("self", x)}, {4})});
}

TEST(WrittenState, IsWhatTheOriginalWrites) {
  const std::map<std::string, std::string> sources = {{"seen", "seen"}};
  EXPECT_THAT(Whats(WrittenState(Counting(true), Counting(true), sources)), IsEmpty());
  EXPECT_THAT(Whats(WrittenState(Counting(true), Counting(false), sources)),
              ElementsAre(HasSubstr("does not write 'seen'")));
  EXPECT_THAT(Whats(WrittenState(Counting(false), Counting(true), sources)),
              ElementsAre(HasSubstr("the original does not")));
}

Program Cast(DType type) {
  Builder b;
  const ValueId x = b.Input("x", {4});
  return b.Finish({b.Op("aten::to.dtype", {T("self", x), Dt("dtype", type)}, {4}, type)});
}

TEST(NarrowingCasts, OnlyThoseOfTheOriginal) {
  EXPECT_THAT(Whats(NarrowingCasts(Cast(DType::kFloat16), Cast(DType::kFloat16))), IsEmpty());
  EXPECT_THAT(Whats(NarrowingCasts(Cast(DType::kFloat32), Cast(DType::kFloat64))), IsEmpty());
  EXPECT_THAT(Whats(NarrowingCasts(Cast(DType::kFloat32), Cast(DType::kBFloat16))),
              ElementsAre(HasSubstr("from fp32 to bf16")));
}

TEST(OutputAliases, AreThoseOfTheOriginal) {
  const auto program = [](bool clones) {
    Builder b;
    const ValueId y = b.Op("aten::relu", {T("self", b.Input("x", {4}))}, {4});
    return b.Finish({y, clones ? b.Op("aten::clone", {T("self", y)}, {4}) : y});
  };
  EXPECT_THAT(Whats(OutputAliases(program(true), program(true))), IsEmpty());
  EXPECT_THAT(Whats(OutputAliases(program(true), program(false))),
              ElementsAre(HasSubstr("output 1 shares the memory of output 0")));
}

}  // namespace
}  // namespace strata::verify
