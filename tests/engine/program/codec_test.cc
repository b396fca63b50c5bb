#include "worker/engine/program/codec.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/engine/program/builder.h"
#include "worker/engine/program/printer.h"

namespace strata::program {
namespace {

using ::testing::HasSubstr;

// Every kind of row and of argument.
Program Rich() {
  Builder b("rich.py");
  b.Module("fc", "Linear", {{"in_features", "8"}, {"bias", "False"}});
  const auto w = b.Parameter("fc.weight", {8, 8}, DType::kBFloat16);
  b.Tie("head.weight", w);
  const auto mask = b.Buffer("mask", {4}, DType::kBool, {1, 0, 1, 1}, /*persistent=*/false);
  const auto half = b.Constant({}, DType::kFloat64, {0, 0, 0, 0, 0, 0, 0xe0, 0x3f});
  b.value(half).is_wrapped_number = true;
  const auto x = b.Input("x", {2, 8});
  b.value(x).domain = {.known = true, .min = -1.5, .max = 1e300, .has_neg_inf = true, .is_integral = true};
  b.MadeBy(mask, b.InitOp("aten::ones", {Is("size", {4}), Dt("dtype", DType::kBool)}, {4}, DType::kBool));
  b.Enter("fc", {x});
  b.EnterFunction("helper");
  auto h = b.Op("aten::linear", {T("input", x), T("weight", w), Default(None("bias"))}, {2, 8});
  b.Leave({h});
  const auto parts = b.OpMany("aten::split.Tensor", {T("self", h), I("split_size", -4)}, {{2, 4}, {2, 4}});
  Argument complex;
  complex.kind = Argument::Kind::kComplex;
  complex.real = 1, complex.imag = -2;
  b.Op("aten::add.Tensor", {T("self", parts[0]), T("other", half), {"alpha", "Scalar", complex}}, {2, 4});
  h = b.Op("aten::relu_", {T("self", h)}, {2, 8}, DType::kFloat32, kRandom | kDataDependent);
  Program p = b.Finish({h, parts[1]});
  p.notes = {"a note"};
  p.invocations[0].kwargs.emplace_back("flag", Tree{.kind = Tree::Kind::kLiteral, .text = "True"});
  p.invocations[0].output.keys = {};
  return p;
}

TEST(Codec, RoundTripKeepsEveryByte) {
  const std::string bytes = Encode(Rich());
  const auto decoded = Decode(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(Encode(*decoded), bytes);
  EXPECT_EQ(Print(*decoded), Print(Rich()));
  EXPECT_EQ(decoded->value(4).domain, Rich().value(4).domain);
}

TEST(Codec, OtherFormatsAreRefused) {
  EXPECT_EQ(Decode("").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(Decode("STRATAP9 and more").status().message()),
              HasSubstr("another engine version"));
}

TEST(Codec, EveryTruncationIsAnErrorWithAnOffset) {
  const std::string bytes = Encode(Rich());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto decoded = Decode(std::string_view(bytes).substr(0, size));
    ASSERT_EQ(decoded.status().code(), absl::StatusCode::kDataLoss) << size;
    ASSERT_THAT(std::string(decoded.status().message()), HasSubstr("byte ")) << size;
  }
}

TEST(Codec, TrailingBytesAreAnError) {
  EXPECT_THAT(std::string(Decode(Encode(Rich()) + "x").status().message()), HasSubstr("1 bytes too many"));
}

TEST(Codec, ChangedBytesNeverCrashAndWhatPassesPrints) {
  const std::string bytes = Encode(Rich());
  std::mt19937 random(42);
  for (int round = 0; round < 20000; ++round) {
    std::string changed = bytes;
    for (int n = 0; n < 3; ++n) changed[random() % changed.size()] = static_cast<char>(random());
    const auto decoded = Decode(changed);
    if (decoded.ok()) Print(*decoded);
  }
}

TEST(Codec, AHugeLengthAllocatesNothing) {
  std::string bytes = "STRATAP2";
  bytes += "\xfe\xff\xff\xff\xff\xff\xff\xff\x7f";  // source_file of 2^61 bytes
  EXPECT_THAT(std::string(Decode(bytes).status().message()), HasSubstr("bytes left"));
}

TEST(Codec, DeepNestingIsRefused) {
  Program p = Rich();
  Tree* tree = &p.invocations[0].output;
  for (int depth = 0; depth < 100; ++depth) {
    tree->items.push_back(Tree{.kind = Tree::Kind::kTuple});
    tree = &tree->items.back();
  }
  EXPECT_THAT(std::string(Decode(Encode(p)).status().message()), HasSubstr("nested too deep"));
}

TEST(CheckIds, IdsOutsideTheirTablesAreNamed) {
  const auto broken = [](auto change) {
    Program p = Rich();
    change(p);
    EXPECT_EQ(Decode(Encode(p)).status(), CheckIds(p));
    return std::string(CheckIds(p).message());
  };
  EXPECT_THAT(broken([](Program& p) { p.calls[0].args[0].value.value = 999; }),
              HasSubstr("call 0: argument is 999"));
  EXPECT_THAT(broken([](Program& p) { p.calls[1].results[0] = -7; }), HasSubstr("call 1: result is -7"));
  EXPECT_THAT(broken([](Program& p) { p.invocations[1].parent = 1; }),
              HasSubstr("invocation 1: parent is 1"));
  EXPECT_THAT(broken([](Program& p) { p.invocations[1].end = 77; }), HasSubstr("invocation 1: end is 77"));
  EXPECT_THAT(broken([](Program& p) { p.calls[0].scope = 0, p.invocations[0].begin = 1; }),
              HasSubstr("call 0: scope"));
  EXPECT_THAT(broken([](Program& p) {
                for (int depth = 0; depth < 2000; ++depth) {
                  program::Invocation deep = p.invocations.back();
                  deep.id = static_cast<InvocationId>(p.invocations.size());
                  deep.parent = deep.id - 1;
                  p.invocations.push_back(deep);
                }
              }),
              HasSubstr("depth is 1001"));
  EXPECT_THAT(broken([](Program& p) { p.values[0].producer = 99; }), HasSubstr("value 0: producer is 99"));
  EXPECT_THAT(broken([](Program& p) { p.modules[1].parameters[0].second = -1; }),
              HasSubstr("module 1: parameter"));
  EXPECT_THAT(broken([](Program& p) { p.values[1].type.strides.clear(); }), HasSubstr("value 1: strides"));
}

}  // namespace
}  // namespace strata::program
