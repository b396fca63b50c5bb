// Rules `layout`, `chain` and `levels`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/verify/bundle_fixture.h"

namespace strata::verify {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kStep2[] = "steps/step_2_linear_relu_784x512_to_kernels";

TEST(BundleRules, TheGoldenBundlePassesEveryRule) { EXPECT_THAT(MlpBundle().Check(""), IsEmpty()); }

TEST(BundleRules, WithoutFactsOnlyTheFilesAreJudged) {
  MlpBundle bundle;
  bundle.facts = {};
  EXPECT_THAT(bundle.Check(""), IsEmpty());
}

TEST(BundleRules, AnEmptyFolderIsJudgedToo) {
  MlpBundle bundle;
  const std::string empty = bundle.Path("empty");
  ASSERT_TRUE(MakeDirs(empty).ok());
  EXPECT_FALSE(CheckBundle(*ReadBundle(empty), {}).empty());
}

TEST(BundleRules, ManyViolationsOfOneFileAreCutAndCounted) {
  MlpBundle bundle;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (int i = 0; i < 100; ++i) results.push_back({{"file", std::to_string(i)}, {"status", "PASS"}});
  bundle.Set("verification/test_results.json", "/component_results", results);
  const std::vector<std::string> found = bundle.Check(rules::kResults);
  EXPECT_EQ(found.size(), kMaxViolationsPerFile);
  EXPECT_THAT(found.back(), HasSubstr("(and 87 more of this rule here)"));
}

TEST(BundleLayout, MissingPartsAreNamed) {
  for (const char* file : {"decomposition_tree.json", "decomposition_log.json", "source/mlp.py",
                           "verification/composition_test.py", "verification/coverage_summary.json",
                           "steps/step_1_mlp_to_fusions/verification_result.json",
                           "steps/step_1_mlp_to_fusions/weight_map.json"}) {
    MlpBundle bundle;
    bundle.Remove(file);
    const std::string folder = std::string(file).substr(0, std::string(file).rfind('/'));
    EXPECT_THAT(bundle.Check(rules::kLayout), Contains(AllOf(HasSubstr(folder), HasSubstr("missing"))))
        << file;
  }
}

TEST(BundleLayout, MissingFieldsAreOneViolationAFile) {
  MlpBundle bundle;
  bundle.Write("verification/test_results.json", "{\"passed\": 7}");
  EXPECT_THAT(bundle.Check(rules::kLayout),
              ElementsAre(HasSubstr("test_results.json has no field timestamp, total_components, failed")));
}

TEST(BundleLayout, OthersNeedNoWeightMap) {
  MlpBundle bundle;
  bundle.MakeForeign();
  bundle.Remove("steps/step_1_mlp_to_fusions/weight_map.json");
  EXPECT_THAT(bundle.Check(rules::kLayout), IsEmpty());
}

TEST(BundleChain, AnOriginalThatIsNotItsParent) {
  MlpBundle bundle;
  bundle.Replace(std::string(kStep2) + "/original.py", "in_features=784", "in_features=785");
  EXPECT_THAT(bundle.Check(rules::kChain),
              ElementsAre(AllOf(HasSubstr("original.py:"),
                                HasSubstr("is not level_1_fusion/linear_relu_784x512.py: line "))));
}

TEST(BundleChain, AChildThatIsNotItsFile) {
  MlpBundle bundle;
  bundle.Replace(std::string(kStep2) + "/children/relu_fp32.py", "F.relu", "F.gelu");
  EXPECT_THAT(bundle.Check(rules::kChain), ElementsAre(HasSubstr("is not level_0_kernel/relu_fp32.py")));
}

TEST(BundleChain, AModelThatIsNotTheSource) {
  MlpBundle bundle;
  bundle.Write("source/mlp.py", "# another\n" + bundle.Read("source/mlp.py"));
  EXPECT_THAT(bundle.Check(rules::kChain),
              ElementsAre(HasSubstr("mlp.py:1 level_3_model/mlp.py does not begin")));
}

TEST(BundleChain, AComponentWithoutStep) {
  MlpBundle bundle;
  bundle.Remove(kStep2);
  EXPECT_THAT(bundle.Check(rules::kChain),
              ElementsAre(HasSubstr("level_1_fusion/linear_relu_784x512.py has no step")));
}

TEST(BundleChain, AComponentWithTwoSteps) {
  MlpBundle bundle;
  for (const char* file :
       {"original.py", "refactored.py", "children/relu_fp32.py", "children/linear_784x512_fp32.py"})
    bundle.Write(std::string("steps/step_9_linear_relu_784x512_to_kernels/") + file,
                 bundle.Read(std::string(kStep2) + "/" + file));
  EXPECT_THAT(bundle.Check(rules::kChain), ElementsAre(HasSubstr("has 2 steps")));
}

TEST(BundleChain, ChildrenThatTheTreeDoesNotName) {
  MlpBundle bundle;
  bundle.Set("decomposition_tree.json", "/nodes/linear_relu_784x512/children", {"linear_784x512_fp32"});
  EXPECT_THAT(bundle.Check(rules::kChain),
              ElementsAre(HasSubstr("children holds linear_784x512_fp32, relu_fp32")));
}

TEST(BundleChain, AFileThatNothingLeadsTo) {
  MlpBundle bundle;
  bundle.Write("level_0_kernel/gelu_fp32.py", bundle.Read("level_0_kernel/relu_fp32.py") + "# other\n");
  EXPECT_THAT(bundle.Check(rules::kChain),
              ElementsAre(HasSubstr("level_0_kernel/gelu_fp32.py is part of nothing")));
}

TEST(BundleLevels, ADocstringThatSaysAnotherLevel) {
  MlpBundle bundle;
  for (const char* file :
       {"level_0_kernel/linear_512x10_fp32.py", "steps/step_1_mlp_to_fusions/children/linear_512x10_fp32.py"})
    bundle.Replace(file, "Abstraction Level: kernel", "Abstraction Level: fusion");
  EXPECT_THAT(bundle.Check(""),
              ElementsAre(HasSubstr("linear_512x10_fp32.py:3 level_0_kernel/linear_512x10_fp32.py "
                                    "says level \"fusion\"")));
}

TEST(BundleLevels, ATreeThatSaysAnotherLevel) {
  MlpBundle bundle;
  bundle.Set("decomposition_tree.json", "/nodes/relu_fp32/level", "layer");
  EXPECT_THAT(bundle.Check(rules::kLevels), ElementsAre(HasSubstr("says that relu_fp32 is a layer")));
}

TEST(BundleLevels, AChildOfItsParentsLevel) {
  MlpBundle bundle;
  const std::string text = bundle.Read("level_0_kernel/relu_fp32.py");
  bundle.Remove("level_0_kernel/relu_fp32.py");
  bundle.Write("level_1_fusion/relu_fp32.py", text);
  EXPECT_THAT(
      bundle.Check(rules::kLevels),
      Contains(HasSubstr("level_1_fusion/relu_fp32.py is a child of level_1_fusion/linear_relu_512x512.py")));
}

TEST(BundleLevels, ALeafThatIsNoKernel) {
  MlpBundle bundle;
  bundle.Remove(kStep2);
  bundle.Set("decomposition_tree.json", "/nodes/linear_relu_784x512/children",
             nlohmann::ordered_json::array());
  EXPECT_THAT(bundle.Check(rules::kLevels), ElementsAre(HasSubstr("every leaf is a kernel")));
}

}  // namespace
}  // namespace strata::verify
