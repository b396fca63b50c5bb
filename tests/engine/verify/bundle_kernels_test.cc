// Rules `kernel`, `fusion` and `layer`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/verify/bundle_fixture.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::Is;
using program::N;
using program::Program;
using program::T;
using program::Ts;
using program::ValueId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRelu[] = "level_0_kernel/relu_fp32.py";
constexpr char kFusion[] = "level_1_fusion/linear_relu_512x512.py";

ValueId Add(Builder& b, ValueId x, ValueId y) {
  return b.Op("aten::add.Tensor", {T("self", x), T("other", y)}, b.value(x).type.sizes);
}

ValueId Conv(Builder& b, const std::string& path, ValueId x) {
  b.Module(path, "Conv2d", {{"kernel_size", "3"}});
  const ValueId weight = b.Parameter(path + ".weight", {8, 8, 3, 3});
  b.Enter(path, {x});
  const ValueId y = b.Op("aten::conv2d",
                         {T("input", x), T("weight", weight), program::None("bias"), Is("stride", {1, 1}),
                          Is("padding", {1, 1}), Is("dilation", {1, 1}), program::I("groups", 1)},
                         b.value(x).type.sizes);
  b.Leave({y});
  return y;
}

// What the rule says where this file executes that; own bundle and that of others.
std::vector<std::string> Found(const char* rule, const char* file, Program program, bool own = true) {
  MlpBundle bundle;
  if (!own) bundle.MakeForeign();
  bundle.facts.components[file].programs = {std::move(program)};
  return bundle.Check(rule);
}

TEST(BundleKernels, TwoOperatorsAreTwoKernels) {
  const Program program = ProgramOf(
      {64, 512}, [](Builder& b, ValueId x) { return Unary(b, "aten::relu", Linear(b, "fc", x, 512, 512)); });
  for (const bool own : {true, false}) {
    EXPECT_THAT(Found(rules::kKernel, kRelu, program, own),
                ElementsAre(HasSubstr("is more than one kernel: it executes linear and relu")));
  }
}

TEST(BundleKernels, AnAttentionIsNoKernel) {
  const Program program = ProgramOf({2, 64, 64}, [](Builder& b, ValueId x) {
    const ValueId scores = b.Op("aten::matmul", {T("self", x), T("other", x)}, {2, 64, 64});
    const ValueId weights =
        b.Op("aten::softmax.int", {T("self", scores), program::I("dim", -1)}, {2, 64, 64});
    return b.Op("aten::matmul", {T("self", weights), T("other", x)}, {2, 64, 64});
  });
  EXPECT_THAT(Found(rules::kKernel, kRelu, program, false),
              ElementsAre(HasSubstr("it executes matmul, softmax and matmul")));
}

TEST(BundleKernels, AnEntryOfTheCatalogueIsOne) {
  const Program swish = ProgramOf({64, 512}, [](Builder& b, ValueId x) {
    const ValueId gate = Unary(b, "aten::sigmoid", x);
    return b.Op("aten::mul.Tensor", {T("self", x), T("other", gate)}, {64, 512});
  });
  EXPECT_THAT(Found(rules::kKernel, kRelu, swish), IsEmpty());
  EXPECT_THAT(Found(rules::kKernel, kRelu, swish, false), IsEmpty());
}

TEST(BundleKernels, AFormulaOfAHelperFunctionIsOne) {
  const Program formula = ProgramOf({64, 512}, [](Builder& b, ValueId x) {
    const ValueId cos = Unary(b, "aten::cos", x), sin = Unary(b, "aten::sin", x);
    return Add(b, cos, sin);
  });
  EXPECT_THAT(Found(rules::kKernel, kRelu, formula), IsEmpty());
}

TEST(BundleKernels, NothingExecutedIsNoKernel) {
  const Program nothing = ProgramOf({64, 512}, [](Builder&, ValueId x) { return x; });
  for (const bool own : {true, false})
    EXPECT_THAT(Found(rules::kKernel, kRelu, nothing, own), ElementsAre(HasSubstr("executes nothing")));
}

TEST(BundleKernels, AReturnedParameterIsOne) {
  Builder b;
  const ValueId token = b.Parameter("token", {1, 1, 768});
  EXPECT_THAT(Found(rules::kKernel, kRelu, b.Finish({token})), IsEmpty());
}

TEST(BundleFusions, ALineOfTwoIsOne) { EXPECT_THAT(MlpBundle().Check(rules::kFusion), IsEmpty()); }

TEST(BundleFusions, OneOperatorIsNone) {
  const Program single =
      ProgramOf({64, 512}, [](Builder& b, ValueId x) { return Linear(b, "fc", x, 512, 512); });
  for (const bool own : {true, false}) {
    EXPECT_THAT(Found(rules::kFusion, kFusion, single, own),
                ElementsAre(HasSubstr("is no fusion: it executes one kernel, linear")));
  }
}

TEST(BundleFusions, AResidualIsALayers) {
  const Program residual = ProgramOf({64, 512}, [](Builder& b, ValueId x) {
    const ValueId y = Unary(b, "aten::relu", Linear(b, "fc", x, 512, 512));
    return Add(b, y, x);
  });
  for (const bool own : {true, false}) {
    EXPECT_THAT(Found(rules::kFusion, kFusion, residual, own), ElementsAre(HasSubstr("carries a residual")));
  }
}

TEST(BundleFusions, TwoContractionsInALineAreTwoFusions) {
  const Program line = ProgramOf({2, 8, 16, 16}, [](Builder& b, ValueId x) {
    return Conv(b, "conv2", Unary(b, "aten::relu", Conv(b, "conv1", x)));
  });
  for (const bool own : {true, false})
    EXPECT_THAT(Found(rules::kFusion, kFusion, line, own), ElementsAre(HasSubstr("holds 2 contractions")));
}

TEST(BundleFusions, AnMlpIsOne) {
  const Program mlp = ProgramOf({64, 512}, [](Builder& b, ValueId x) {
    return Linear(b, "down", Unary(b, "aten::gelu", Linear(b, "up", x, 512, 2048)), 2048, 512);
  });
  for (const bool own : {true, false}) EXPECT_THAT(Found(rules::kFusion, kFusion, mlp, own), IsEmpty());
}

TEST(BundleFusions, ProjectionsSideBySideAreOneInTheWorkOfOthers) {
  const Program qkv = ProgramOf({64, 512}, [](Builder& b, ValueId x) {
    const ValueId q = Linear(b, "q", x, 512, 64), k = Linear(b, "k", x, 512, 64);
    return b.Op("aten::cat", {Ts("tensors", {q, k}), program::I("dim", 1)}, {64, 128});
  });
  EXPECT_THAT(Found(rules::kFusion, kFusion, qkv, false), IsEmpty());
}

TEST(BundleLayers, OneOperatorIsNone) {
  MlpBundle bundle;
  bundle.Write("level_2_layer/block.py", "Abstraction Level: layer\n");
  bundle.facts.components["level_2_layer/block.py"].programs = {
      ProgramOf({64, 512}, [](Builder& b, ValueId x) { return Unary(b, "aten::relu", x); })};
  EXPECT_THAT(bundle.Check(rules::kLayer),
              ElementsAre(HasSubstr("is no layer: it executes one kernel, relu")));
  bundle.facts.components["level_2_layer/block.py"].programs = {
      ProgramOf({64, 512}, [](Builder& b, ValueId x) { return Add(b, Linear(b, "fc", x, 512, 512), x); })};
  EXPECT_THAT(bundle.Check(rules::kLayer), IsEmpty());
}

}  // namespace
}  // namespace strata::verify
