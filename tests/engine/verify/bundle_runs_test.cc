// Rules `dimensions`, `alone`, `composition`, `coverage` and `ties`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/verify/bundle_fixture.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::Program;
using program::ValueId;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRelu[] = "level_0_kernel/relu_fp32.py";
constexpr char kScript[] = "verification/composition_test.py";

Program Relu(const std::vector<int64_t>& sizes) {
  return ProgramOf(sizes, [](Builder& b, ValueId x) { return Unary(b, "aten::relu", x); });
}

TEST(BundleDimensions, AModelSmallerThanTheSource) {
  MlpBundle bundle;
  bundle.facts.source =
      ProgramOf({128, 784}, [](Builder& b, ValueId x) { return Linear(b, "fc1", x, 784, 10); });
  EXPECT_THAT(bundle.Check(rules::kDimensions),
              ElementsAre(HasSubstr("has inputs fp32[64,784]; those of source/ are fp32[128,784]"),
                          HasSubstr("has outputs fp32[64,10]; those of source/ are fp32[128,10]"),
                          HasSubstr("has other weights than source/: fp32[10x512]")));
}

TEST(BundleDimensions, AChildDrawnAtASizeThatNeverRuns) {
  MlpBundle bundle;
  bundle.facts.components[kRelu].programs = {Relu({2, 512})};
  EXPECT_THAT(bundle.Check(rules::kDimensions),
              ElementsAre(HasSubstr("draws fp32[2,512]; its parents call it with fp32[64,512]")));
}

TEST(BundleDimensions, AParentThatWasNotJudgedMayCallItAtAnySize) {
  MlpBundle bundle;
  bundle.facts.components[kRelu].programs = {Relu({2, 512})};
  bundle.facts.steps["step_3_linear_relu_512x512_to_kernels"].judged = false;
  EXPECT_THAT(bundle.Check(rules::kDimensions), IsEmpty());
}

TEST(BundleDimensions, AChildDrawnAtASmallerSizeThanItsLargest) {
  MlpBundle bundle;
  bundle.MakeForeign();
  bundle.facts.steps["step_3_linear_relu_512x512_to_kernels"].calls[0][1].shapes = "fp32[640,512]";
  EXPECT_THAT(bundle.Check(rules::kDimensions), ElementsAre(HasSubstr("which is larger")));
}

TEST(BundleDimensions, AShapeOfOursThatIsNeverDrawn) {
  MlpBundle bundle;
  bundle.facts.steps["step_3_linear_relu_512x512_to_kernels"].calls[0][1].shapes = "fp32[6,512]";
  EXPECT_THAT(bundle.Check(rules::kDimensions),
              ElementsAre(HasSubstr("runs at fp32[6,512], which it never draws")));
  bundle.facts.components[kRelu].programs.push_back(Relu({6, 512}));
  EXPECT_THAT(bundle.Check(rules::kDimensions), IsEmpty());
}

TEST(BundleAlone, AFileThatDoesNotPass) {
  MlpBundle bundle;
  bundle.facts.components[kRelu].passed = false;
  bundle.facts.components[kRelu].message = "FAIL: Output contains NaN";
  EXPECT_THAT(bundle.Check(rules::kAlone),
              ElementsAre(HasSubstr("does not pass: FAIL: Output contains NaN")));
}

TEST(BundleComposition, AVerdictThatFails) {
  MlpBundle bundle;
  bundle.facts.composition.pass = false;
  EXPECT_THAT(bundle.Check(rules::kComposition), ElementsAre(HasSubstr("is not the submitted model")));
  bundle.facts.composition.violations = {{rules::kNumbers, kScript, 0, "output 0 differs", "look"}};
  EXPECT_THAT(bundle.Check(rules::kComposition), IsEmpty());
  EXPECT_THAT(bundle.Check(rules::kNumbers), ElementsAre(HasSubstr("output 0 differs")));
}

TEST(BundleComposition, ImportsKernelsAndTheModelOnly) {
  MlpBundle bundle;
  bundle.Replace(kScript, "from relu_fp32 import Model as ReLU",
                 "from linear_relu_512x512 import Model as ReLU\nimport transformers");
  EXPECT_THAT(bundle.Check(rules::kComposition),
              ElementsAre(HasSubstr("imports linear_relu_512x512, which is no kernel"),
                          HasSubstr("imports transformers, which is neither kernel nor model")));
}

TEST(BundleComposition, AFolderOfFusionsOnThePath) {
  MlpBundle bundle;
  bundle.Write(kScript, bundle.Read(kScript) + "\nFOLDER = ROOT / 'level_1_fusion'\n");
  EXPECT_THAT(bundle.Check(rules::kComposition), ElementsAre(HasSubstr("takes files of level_1_fusion")));
}

TEST(BundleComposition, AKernelThatNeverRuns) {
  MlpBundle bundle;
  std::erase_if(bundle.facts.composition.calls[0], [](const ChildCall& c) { return c.stem == "relu_fp32"; });
  EXPECT_THAT(bundle.Check(rules::kComposition),
              ElementsAre(HasSubstr("never runs level_0_kernel/relu_fp32.py")));
}

TEST(BundleComposition, AKernelThatRunsMoreOftenThanByTheSteps) {
  MlpBundle bundle;
  bundle.facts.composition.calls[0].push_back({"relu_fp32", "fc2_relu.relu", "fp32[64,512]"});
  EXPECT_THAT(bundle.Check(rules::kComposition),
              ElementsAre(HasSubstr("runs level_0_kernel/relu_fp32.py 3 times; by the steps it runs 2")));
  EXPECT_THAT(bundle.Check(rules::kCoverage),
              ElementsAre(HasSubstr("the kernels execute relu 3 times, the model 2")));
}

TEST(BundleCoverage, AnOperatorThatNoKernelExecutes) {
  MlpBundle bundle;
  bundle.facts.components[kRelu].programs = {
      ProgramOf({64, 512}, [](Builder& b, ValueId x) { return Unary(b, "aten::gelu", x); })};
  EXPECT_THAT(bundle.Check(rules::kCoverage), ElementsAre(HasSubstr("execute gelu 2 times, the model 0"),
                                                          HasSubstr("execute relu 0 times, the model 2")));
}

// head.weight is embed.weight in the original.
Program Tied(bool tied) {
  Builder b("model.py");
  const ValueId x = b.Input("x", {2, 8});
  const ValueId y = Linear(b, "head", Linear(b, "embed", x, 8, 8), 8, 8);
  Program program = b.Finish({y});
  ValueId first = program::kNoId;
  for (program::Module& module : program.modules) {
    for (auto& [name, value] : module.parameters) {
      if (name != "weight") continue;
      if (first == program::kNoId) first = value;
      if (tied) value = first;
    }
  }
  return program;
}

std::vector<std::string> Ties(bool original, bool composed) {
  MlpBundle bundle;
  bundle.facts.source = Tied(original);
  bundle.facts.composition.refactored = Tied(composed);
  bundle.facts.composition.weight_map.clear();
  return bundle.Check(rules::kTies);
}

TEST(BundleTies, WeightsThatAreOneStayOne) {
  EXPECT_THAT(Ties(true, true), IsEmpty());
  EXPECT_THAT(Ties(false, false), IsEmpty());
  EXPECT_THAT(Ties(true, false), ElementsAre(HasSubstr("are one tensor in the original and two in")));
  EXPECT_THAT(Ties(false, true), ElementsAre(HasSubstr("are two tensors in the original and one in")));
}

TEST(BundleTies, StepsAreHeldToThemToo) {
  MlpBundle bundle;
  bundle.facts.components["level_3_model/mlp.py"].programs = {Tied(true)};
  auto& step = bundle.facts.steps["step_1_mlp_to_fusions"];
  step.refactored = Tied(false);
  step.weight_map.clear();
  EXPECT_THAT(bundle.Check(rules::kTies), Contains(AllOf(HasSubstr("step_1_mlp_to_fusions/refactored.py"),
                                                         HasSubstr("embed.weight and head.weight"))));
}

}  // namespace
}  // namespace strata::verify
