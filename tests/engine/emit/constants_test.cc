// Values of buffers and constants as Python expressions: exactly the original's.
#include "worker/engine/emit/constants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "worker/engine/program/builder.h"

namespace strata::emit {
namespace {

using namespace program;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

template <typename T>
std::vector<uint8_t> Bytes(const std::vector<T>& items) {
  std::vector<uint8_t> out(items.size() * sizeof(T));
  if (!items.empty()) std::memcpy(out.data(), items.data(), out.size());
  return out;
}

ConstantText Spelled(Builder::Sizes sizes, DType dtype, std::vector<uint8_t> data) {
  Builder b;
  const auto x = b.Input("x", {2});
  const ValueId id = b.Buffer("table", std::move(sizes), dtype, std::move(data));
  return SpellConstants(b.Finish({x}), {id}, {});
}

std::string Floats(const Builder::Sizes& sizes, const std::vector<float>& items) {
  return Spelled(sizes, DType::kFloat32, Bytes(items)).expressions[0];
}
std::string Integers(const Builder::Sizes& sizes, const std::vector<int64_t>& items) {
  return Spelled(sizes, DType::kInt64, Bytes(items)).expressions[0];
}

TEST(Constants, OneValueEverywhereIsAFactory) {
  EXPECT_EQ(Floats({2, 2}, {0, 0, 0, 0}), "torch.zeros(2, 2)");
  EXPECT_EQ(Floats({2, 2}, {1, 1, 1, 1}), "torch.ones(2, 2)");
  EXPECT_EQ(Floats({3}, {0.5F, 0.5F, 0.5F}), "torch.full((3,), 0.5)");
  EXPECT_EQ(Floats({3}, {-0.0F, -0.0F, -0.0F}), "torch.full((3,), -0.0)");
  EXPECT_EQ(Spelled({2}, DType::kBool, {1, 1}).expressions[0], "torch.ones(2, dtype=torch.bool)");
  EXPECT_EQ(Integers({2}, {7, 7}), "torch.full((2,), 7, dtype=torch.int64)");
}

TEST(Constants, AScalarIsATensorOfItsNumber) {
  EXPECT_EQ(Floats({}, {8}), "torch.tensor(8.0)");
  EXPECT_EQ(Integers({}, {8}), "torch.tensor(8, dtype=torch.int64)");
}

TEST(Constants, CountingIsArange) {
  EXPECT_EQ(Integers({4}, {0, 1, 2, 3}), "torch.arange(4)");
  EXPECT_EQ(Integers({2, 2}, {0, 1, 2, 3}), "torch.arange(4).reshape(2, 2)");
  EXPECT_EQ(Floats({3}, {0, 1, 2}), "torch.arange(3, dtype=torch.float32)");
}

TEST(Constants, ATriangleIsTrilOrTriuAlsoOfOtherNumbersThanOne) {
  EXPECT_EQ(Floats({3, 3}, {1, 0, 0, 1, 1, 0, 1, 1, 1}), "torch.tril(torch.ones(3, 3))");
  EXPECT_EQ(Floats({1, 2, 2}, {0, 1, 0, 0}), "torch.triu(torch.ones(1, 2, 2), diagonal=1)");
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Floats({2, 2}, {0, -inf, 0, 0}), "torch.triu(torch.full((2, 2), float(\"-inf\")), diagonal=1)");
  EXPECT_EQ(Floats({2, 2}, {0, -4, -0.0F, 0}), "torch.tensor([[0.0, -4.0], [-0.0, 0.0]])")
      << "-0.0 is not 0.0";
}

TEST(Constants, FewNumbersAreListedWithTheirDtype) {
  EXPECT_EQ(Floats({2, 2}, {0.5F, 2, -1, 1e-5F}), "torch.tensor([[0.5, 2.0], [-1.0, 1e-5]])");
  EXPECT_EQ(Spelled({2}, DType::kFloat64, Bytes<double>({0.1, 3})).expressions[0],
            "torch.tensor([0.1, 3.0], dtype=torch.float64)");
  EXPECT_EQ(Spelled({2}, DType::kInt32, Bytes<int32_t>({5, -3})).expressions[0],
            "torch.tensor([5, -3], dtype=torch.int32)");
  EXPECT_EQ(Spelled({3}, DType::kBool, {1, 0, 1}).expressions[0], "torch.tensor([True, False, True])");
}

TEST(Constants, LargeIntegersKeepTheirLastDigit) {
  EXPECT_EQ(Integers({2}, {9007199254740993, 1}), "torch.tensor([9007199254740993, 1])");
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Integers({2}, {most, 0}), "torch.tensor([9223372036854775807, 0])");
  EXPECT_EQ(Integers({2, 2}, {most, 0, most - 1, most}),
            "torch.tensor([[9223372036854775807, 0], [9223372036854775806, 9223372036854775807]])")
      << "no triangle of one number";
}

TEST(Constants, AnEmptyOneKeepsItsShapeAndDtype) {
  EXPECT_EQ(Floats({0, 4}, {}), "torch.zeros(0, 4)");
  EXPECT_EQ(Integers({0}, {}), "torch.zeros(0, dtype=torch.int64)");
}

TEST(Constants, ManyNumbersArePackedAndSaidSo) {
  std::vector<float> items(100);
  for (size_t i = 0; i < items.size(); ++i) items[i] = static_cast<float>(i * i % 17) / 3;
  const ConstantText text = Spelled({10, 10}, DType::kFloat32, Bytes(items));
  EXPECT_TRUE(text.packed);
  EXPECT_THAT(text.expressions[0], StartsWith("_unpack(\""));
  EXPECT_THAT(text.expressions[0], EndsWith("\", torch.float32, (10, 10))"));
  EXPECT_THAT(text.packed_notes, ElementsAre("table of shape [10, 10] (400 bytes)"));
}

TEST(Constants, HalfPrecisionIsPackedHoweverSmall) {
  const ConstantText text = Spelled({2}, DType::kBFloat16, {0, 63, 128, 63});
  EXPECT_TRUE(text.packed);
  EXPECT_THAT(text.expressions[0], EndsWith("\", torch.bfloat16, (2,))"));
}

TEST(Constants, WhatWasNotKeptHasNoText) { EXPECT_EQ(Spelled({4}, DType::kFloat32, {}).expressions[0], ""); }

TEST(Constants, TheSourcesOwnFormulaIsPreferred) {
  Builder b;
  const auto x = b.Input("x", {4});
  const auto table = b.Buffer("table", {4}, DType::kFloat32, Bytes<float>({1, 0.5F, 0.25F, 0.125F}));
  const auto steps = b.InitOp("aten::arange", {N("end", 4), Dt("dtype", DType::kFloat32)}, {4});
  const auto made = b.InitOp("aten::pow.Scalar", {N("self", 0.5), T("exponent", steps)}, {4});
  b.MadeBy(table, made);
  const ConstantText text = SpellConstants(b.Finish({x}), {table}, {});
  EXPECT_FALSE(text.packed);
  ASSERT_EQ(text.expressions.size(), 1u);
  EXPECT_THAT(text.expressions[0], HasSubstr("0.5 ** "));
  EXPECT_THAT(text.setup.empty() ? text.expressions[0] : text.setup[0],
              HasSubstr("torch.arange(4.0, dtype=torch.float32)"));
}

TEST(Constants, ARandomFormulaIsSaidByItsValue) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto table = b.Buffer("table", {2}, DType::kFloat32, Bytes<float>({0.25F, 0.75F}));
  const auto made = b.InitOp("aten::relu", {T("self", b.InitOp("aten::rand", {Is("size", {2})}, {2}))}, {2});
  b.MadeBy(table, made);
  Program program = b.Finish({x});
  program.init_calls[0].marks |= kRandom;
  EXPECT_EQ(SpellConstants(program, {table}, {}).expressions[0], "torch.tensor([0.25, 0.75])");
}

// An init call that writes to `self`, as the recorder leaves it: results[0] is what `self` has become.
void InitWrite(Program& program, CallId id, ValueId self) {
  Call& call = program.init_calls[static_cast<size_t>(id)];
  call.marks |= kMutates;
  call.mutated = {self};
  call.mutated_to = {call.results[0]};
  const int32_t storage = program.value(self).storage;
  program.values[static_cast<size_t>(call.results[0])].storage = storage;
}

// table = torch.zeros(4); table[0:4:2] = torch.arange(2), and what is done to table[0] after it.
struct Written {
  Builder b;
  ValueId x = b.Input("x", {4});
  ValueId table = b.Buffer("table", {4}, DType::kFloat32, Bytes<float>({0, 0, 1, 0}));
  ValueId made = b.InitOp("aten::zeros", {Is("size", {4})}, {4});
  ValueId even = b.InitOp("aten::slice.Tensor",
                          {T("self", made), I("dim", 0), I("start", 0), I("end", 4), I("step", 2)}, {2});
  ValueId steps = b.InitOp("aten::arange", {N("end", 2), Dt("dtype", DType::kFloat32)}, {2});
  ValueId copied = b.InitOp("aten::copy_", {T("self", even), T("src", steps)}, {2});

  Program Make() {
    b.MadeBy(table, made);
    Program program = b.Finish({x});
    const int32_t memory = program.value(table).storage;
    for (const ValueId view : {made, even}) program.values[static_cast<size_t>(view)].storage = memory;
    // MadeBy gave the buffer's own id to the result of zeros.
    for (Call& call : program.init_calls) {
      for (NamedArgument& argument : call.args) {
        if (argument.value.kind == Argument::Kind::kValue && argument.value.value == made)
          argument.value.value = table;
      }
    }
    InitWrite(program, program.value(copied).init_producer, even);
    return program;
  }
};

TEST(Constants, AWriteThroughAViewIsPartOfTheFormula) {
  Written written;
  const ConstantText text = SpellConstants(written.Make(), {written.table}, {});
  ASSERT_THAT(text.setup, SizeIs(2));
  EXPECT_THAT(text.setup[0], EndsWith(" = torch.zeros(4)"));
  EXPECT_THAT(text.setup[1], HasSubstr("[::2] = torch.arange(2"));
  EXPECT_EQ(text.setup[0], text.expressions[0] + " = torch.zeros(4)");
}

TEST(Constants, AsALiteralItsElementsAreSaidWhateverItsFormula) {
  Written written;
  const ConstantText text = SpellConstants(written.Make(), {written.table}, {written.table});
  EXPECT_THAT(text.setup, testing::IsEmpty());
  EXPECT_EQ(text.expressions[0], "torch.tensor([0.0, 0.0, 1.0, 0.0])");
}

}  // namespace
}  // namespace strata::emit
