#include "worker/engine/program/plumbing.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "gtest/gtest.h"
#include "worker/engine/program/builder.h"

namespace strata::program {
namespace {

// The operators in backticks in the second column of the tables under a heading of docs/plumbing.md.
std::set<std::string> PageRows(const std::string& heading) {
  std::ifstream page(std::string(std::getenv("STRATA_SOURCE_DIR")) + "/docs/plumbing.md");
  EXPECT_TRUE(page.good()) << "docs/plumbing.md";
  std::set<std::string> names;
  std::string line;
  bool inside = false;
  while (std::getline(page, line)) {
    if (line.starts_with("## ")) inside = line.starts_with("## " + heading);
    if (!inside || !line.starts_with("| ")) continue;
    std::stringstream cells(line);
    std::string cell;
    for (int column = 0; column < 3; ++column) std::getline(cells, cell, '|');
    for (size_t begin = cell.find('`'); begin != std::string::npos; begin = cell.find('`', begin)) {
      const size_t end = cell.find('`', begin + 1);
      names.insert(cell.substr(begin + 1, end - begin - 1));
      begin = end + 1;
    }
  }
  return names;
}

std::set<std::string> TableRows(OpClass op_class) {
  const auto names = NamesOf(op_class);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  return {names.begin(), names.end()};
}

TEST(Plumbing, TableAndPageNameTheSameOperators) {
  EXPECT_EQ(TableRows(OpClass::kPlumbing), PageRows("Plumbing"));
  EXPECT_EQ(TableRows(OpClass::kArithmetic), PageRows("Arithmetic"));
  EXPECT_GT(PageRows("Plumbing").size(), 60u);
}

TEST(Plumbing, NamesClassifyAsTheirRowSays) {
  for (const std::string& name : PageRows("Plumbing"))
    EXPECT_EQ(ClassifyName(name), OpClass::kPlumbing) << name;
  for (const std::string& name : PageRows("Arithmetic"))
    EXPECT_EQ(ClassifyName(name), OpClass::kArithmetic) << name;
}

TEST(Plumbing, WhatPassesBesidesIsThatOfThePage) {
  std::set<std::string> names;
  for (const Besides besides : {Besides::kMaskLogic, Besides::kMaskedFill, Besides::kPower,
                                Besides::kIndexing, Besides::kComparison}) {
    EXPECT_TRUE(std::is_sorted(NamesOf(besides).begin(), NamesOf(besides).end()));
    names.insert(NamesOf(besides).begin(), NamesOf(besides).end());
  }
  EXPECT_EQ(names, PageRows("What passes besides"));
  for (const std::string& name : names) EXPECT_EQ(ClassifyName(name), OpClass::kCompute) << name;
}

TEST(Plumbing, APowerPassesWithAWholeExponentOnly) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto by = [&](NamedArgument exponent) {
    b.Op("aten::pow.Tensor_Scalar", {T("self", x), std::move(exponent)}, {2});
    return b.last_call();
  };
  const Call square = by(N("exponent", 2)), root = by(N("exponent", 0.5));
  const Program p = b.Finish({x});
  EXPECT_EQ(ClassifyBesides(p, square), Besides::kPower);
  EXPECT_EQ(ClassifyBesides(p, root), Besides::kNothing);
}

TEST(Plumbing, MaskLogicPassesOnBoolsOnly) {
  Builder b;
  const auto mask = b.Input("mask", {2}, DType::kBool), bits = b.Input("bits", {2}, DType::kInt64);
  b.Op("aten::bitwise_not", {T("self", mask)}, {2}, DType::kBool);
  const Call logic = b.last_call();
  b.Op("aten::bitwise_not", {T("self", bits)}, {2}, DType::kInt64);
  const Call arithmetic = b.last_call();
  const Program p = b.Finish({mask});
  EXPECT_EQ(ClassifyBesides(p, logic), Besides::kMaskLogic);
  EXPECT_EQ(ClassifyBesides(p, arithmetic), Besides::kNothing);
}

TEST(Plumbing, AWriteByAnIndexThatAddsUpIsASum) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto put = [&](bool accumulate) {
    b.Op("aten::index_put_", {T("self", x), T("values", x), B("accumulate", accumulate)}, {2});
    return b.last_call();
  };
  const Call write = put(false), sum = put(true);
  const Program p = b.Finish({x});
  EXPECT_EQ(ClassifyBesides(p, write), Besides::kIndexing);
  EXPECT_EQ(ClassifyBesides(p, sum), Besides::kNothing);
}

TEST(Plumbing, EverythingElseIsCompute) {
  for (const char* name : {"matmul",
                           "linear",
                           "conv2d",
                           "max_pool2d",
                           "layer_norm",
                           "relu",
                           "softmax",
                           "sum",
                           "mean",
                           "where",
                           "eq",
                           "gt",
                           "exp",
                           "log",
                           "sqrt",
                           "clamp",
                           "gather",
                           "scatter",
                           "index",
                           "index_put",
                           "masked_fill",
                           "embedding",
                           "pad",
                           "upsample_nearest2d",
                           "rand",
                           "dropout",
                           "pow",
                           "abs",
                           "tril",
                           "cumsum",
                           "topk",
                           "reciprocal",
                           "repeat_interleave",
                           "floor_divide",
                           "remainder",
                           "addcmul",
                           "bmm",
                           "mylib::add",
                           "linspace",
                           ""}) {
    EXPECT_EQ(ClassifyName(name), OpClass::kCompute) << name;
  }
}

TEST(Plumbing, InPlaceFormsAreTheOperatorItself) {
  Builder b;
  auto x = b.Input("x", {2});
  x = b.Op("aten::add_.Tensor", {T("self", x), T("other", x)}, {2});
  x = b.Op("aten::relu_", {T("self", x)}, {2});
  const Program p = b.Finish({x});
  EXPECT_EQ(Classify(p, p.calls[0]), OpClass::kArithmetic);
  EXPECT_EQ(Classify(p, p.calls[1]), OpClass::kCompute);
}

TEST(Plumbing, RepeatInterleaveIsPlumbingByANumberOnly) {
  Builder b;
  const auto x = b.Input("x", {2});
  b.Op("aten::repeat_interleave.self_int", {T("self", x), I("repeats", 3)}, {6});
  b.Op("aten::repeat_interleave.self_Tensor", {T("self", x), T("repeats", x)}, {6});
  const Program p = b.Finish({x});
  EXPECT_EQ(Classify(p, p.calls[0]), OpClass::kPlumbing);
  EXPECT_EQ(Classify(p, p.calls[1]), OpClass::kCompute);
}

TEST(Plumbing, ResolvingOfRealNumbersGivesBackWhatItIsGiven) {
  Builder b;
  const auto x = b.Input("x", {2}), z = b.Input("z", {2}, DType::kComplex64);
  b.Op("aten::resolve_neg", {T("self", x)}, {2});
  b.Op("aten::resolve_conj", {T("self", z)}, {2}, DType::kComplex64);
  const Program p = b.Finish({x});
  EXPECT_EQ(Classify(p, p.calls[0]), OpClass::kPlumbing);
  EXPECT_EQ(Classify(p, p.calls[1]), OpClass::kCompute);
}

TEST(Plumbing, ReciprocalIsArithmeticOnlyWhereItIsPythonsDivision) {
  Builder b;
  const auto x = b.Input("x", {2});
  const auto number = b.Constant({}, DType::kFloat64, std::vector<uint8_t>(8));
  b.value(number).is_wrapped_number = true;
  auto r = b.Op("aten::reciprocal", {T("self", x)}, {2});
  b.Op("aten::mul.Tensor", {T("self", r), T("other", number)}, {2});
  r = b.Op("aten::reciprocal", {T("self", x)}, {2});
  b.Op("aten::mul.Tensor", {T("self", r), T("other", x)}, {2});
  r = b.Op("aten::reciprocal", {T("self", x)}, {2});
  const Program p = b.Finish({r});
  EXPECT_EQ(Classify(p, p.calls[0]), OpClass::kArithmetic);
  EXPECT_EQ(Classify(p, p.calls[2]), OpClass::kCompute);
  EXPECT_EQ(Classify(p, p.calls[4]), OpClass::kCompute);
}

}  // namespace
}  // namespace strata::program
