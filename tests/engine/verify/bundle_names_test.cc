// Rules `names` and `duplicates`.
#include "worker/engine/verify/bundle_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/verify/bundle_fixture.h"

namespace strata::verify {
namespace {

using program::Builder;
using program::Program;
using program::T;
using program::ValueId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Program LinearProgram(int64_t batch, int64_t in, int64_t out,
                      program::DType dtype = program::DType::kFloat32) {
  return ProgramOf(
      {batch, in}, [=](Builder& b, ValueId x) { return Linear(b, "linear", x, in, out); }, dtype);
}

Program UnaryProgram(const std::string& op) {
  return ProgramOf({64, 512}, [=](Builder& b, ValueId x) { return Unary(b, op, x); });
}

std::vector<std::string> Wrong(const std::string& stem, const Program& program) {
  const ExecutedComponent executed(program);
  return Contradictions(ReadName(stem), executed);
}

TEST(BundleNames, ANameOfOursIsTheOneThatPlanSpells) {
  for (const char* stem :
       {"linear_784x513_fp32", "linear_784x512_bf16", "linear_784x512_nobias_fp32", "fc_784x512_fp32"}) {
    MlpBundle bundle;
    bundle.RenameKernel("linear_784x512_fp32", stem);
    EXPECT_THAT(bundle.Check(rules::kNames), ElementsAre(HasSubstr("executes linear_784x512_fp32"))) << stem;
  }
}

TEST(BundleNames, AFormulaHasTheNameThatItsFunctionHad) {
  MlpBundle bundle;
  bundle.RenameKernel("relu_fp32", "rotate_fp32");
  bundle.Set("decomposition_tree.json", "/nodes/rotate_fp32/operation", "rotate");
  bundle.facts.components["level_0_kernel/rotate_fp32.py"].programs = {
      ProgramOf({64, 512}, [](Builder& b, ValueId x) {
        return b.Op("aten::add.Tensor",
                    {T("self", Unary(b, "aten::cos", x)), T("other", Unary(b, "aten::sin", x))}, {64, 512});
      })};
  EXPECT_THAT(bundle.Check(rules::kNames), IsEmpty());
}

TEST(BundleNames, TheSpellingsOfOthersAreRead) {
  EXPECT_THAT(Wrong("linear_784x512_fp32", LinearProgram(64, 784, 512)), IsEmpty());
  EXPECT_THAT(Wrong("linear_512x784_fp32", LinearProgram(64, 784, 512)), IsEmpty());
  EXPECT_THAT(Wrong("linear_q_proj_784x512_fp32", LinearProgram(64, 784, 512)), IsEmpty());
  EXPECT_THAT(Wrong("relu_b3a_fp32", UnaryProgram("aten::relu_")), IsEmpty());
  EXPECT_THAT(Wrong("my_own_thing_fp32", UnaryProgram("aten::erf")), IsEmpty());
}

TEST(BundleNames, ANameThatContradictsWhatRan) {
  EXPECT_THAT(Wrong("linear_512x512_fp32", LinearProgram(64, 784, 512)),
              ElementsAre("says 512x512; its weights are 512x784, 512"));
  // A batch of 512 excuses nothing.
  EXPECT_THAT(Wrong("linear_512x512_fp32", LinearProgram(512, 784, 512)),
              ElementsAre(HasSubstr("says 512x512")));
  EXPECT_THAT(Wrong("linear_784x512_fp32", LinearProgram(64, 784, 512, program::DType::kBFloat16)),
              ElementsAre("says fp32; its tensors are bf16"));
  EXPECT_THAT(Wrong("relu_fp32", UnaryProgram("aten::gelu")), ElementsAre("says relu; it executes gelu"));
}

TEST(BundleNames, ASettingThatIsAnother) {
  const Program strided = ProgramOf({4, 8, 16, 16}, [](Builder& b, ValueId x) {
    return b.Op("aten::max_pool2d",
                {T("self", x), program::Is("kernel_size", {2, 2}), program::Is("stride", {2, 2})},
                {4, 8, 8, 8});
  });
  EXPECT_THAT(Wrong("max_pool2d_s2_fp32", strided), IsEmpty());
  EXPECT_THAT(Wrong("max_pool2d_s3_fp32", strided), ElementsAre("says s3; its stride is 2"));
}

TEST(BundleNames, AFileThatSpellsAFunctionOtherwiseMayHaveTheNameOfTheFunction) {
  const Program program = LinearProgram(64, 784, 512);
  const ExecutedComponent executed(program);
  const StatedName name = ReadName("conv2d_784x512_fp32");
  EXPECT_THAT(Contradictions(name, executed), IsEmpty());  // nobody knows what it stands for
  EXPECT_THAT(Contradictions(name, executed, std::set<std::string>{"conv2d"}), IsEmpty());
  EXPECT_THAT(Contradictions(name, executed, std::set<std::string>{}), ElementsAre(HasSubstr("says conv2d")));
}

TEST(BundleNames, TheNumberOfANorm) {
  const Program norm = ProgramOf({4, 8, 256}, [](Builder& b, ValueId x) {
    return b.Op(
        "aten::rms_norm",
        {T("input", x), program::Is("normalized_shape", {256}), T("weight", b.Parameter("weight", {256}))},
        {4, 8, 256});
  });
  EXPECT_THAT(Wrong("rms_norm_256_fp32", norm), IsEmpty());
  EXPECT_THAT(Wrong("rms_norm_257_fp32", norm), ElementsAre(HasSubstr("says 257")));
}

TEST(BundleNames, AContradictionIsAViolationInTheWorkOfOthers) {
  MlpBundle bundle;
  bundle.MakeForeign();
  bundle.facts.components["level_0_kernel/relu_fp32.py"].programs = {UnaryProgram("aten::gelu")};
  EXPECT_THAT(bundle.Check(rules::kNames), ElementsAre(HasSubstr("says relu; it executes gelu")));
}

TEST(BundleNames, AWorkloadThatTheNameDoesNotState) {
  for (const char* stem : {"linear_classifier", "linear_a_fp32"}) {
    MlpBundle bundle;
    bundle.MakeForeign();
    bundle.RenameKernel("linear_512x10_fp32", stem);
    EXPECT_THAT(bundle.Check(rules::kNames), ElementsAre(HasSubstr("generic name"))) << stem;
  }
}

TEST(BundleNames, TheNumberOfACopy) {
  MlpBundle bundle;
  bundle.MakeForeign();
  bundle.RenameKernel("linear_512x10_fp32", "linear_512x10_fp32_2");
  EXPECT_THAT(bundle.Check(rules::kNames), ElementsAre(HasSubstr("ends in the number of a copy")));
}

TEST(BundleNames, AStemIsAnId) {
  MlpBundle bundle;
  bundle.Write("level_2_layer/relu_fp32.py", "Abstraction Level: layer\n");
  EXPECT_THAT(bundle.Check(rules::kNames),
              ElementsAre(HasSubstr("has the name of level_2_layer/relu_fp32.py")));
}

TEST(BundleDuplicates, TwoKernelsOfOneIdentity) {
  MlpBundle bundle;
  bundle.Write("level_0_kernel/relu_other_fp32.py", "Abstraction Level: kernel\n");
  bundle.facts.components["level_0_kernel/relu_other_fp32.py"].programs = {
      ProgramOf({2, 7, 7}, [](Builder& b, ValueId x) { return Unary(b, "aten::relu", x); })};
  EXPECT_THAT(
      bundle.Check(rules::kDuplicates),
      ElementsAre(HasSubstr("relu_other_fp32.py executes what level_0_kernel/relu_fp32.py executes")));
}

TEST(BundleDuplicates, AnotherDtypeOrWeightIsAnotherIdentity) {
  MlpBundle bundle;
  bundle.Write("level_0_kernel/relu_bf16.py", "Abstraction Level: kernel\n");
  bundle.facts.components["level_0_kernel/relu_bf16.py"].programs = {ProgramOf(
      {64, 512}, [](Builder& b, ValueId x) { return Unary(b, "aten::relu", x); }, program::DType::kBFloat16)};
  EXPECT_THAT(bundle.Check(rules::kDuplicates), IsEmpty());
}

TEST(BundleDuplicates, TwoFusionsOfOneStructure) {
  MlpBundle bundle;
  bundle.facts.components["level_1_fusion/linear_relu_784x512.py"].programs =
      bundle.facts.components["level_1_fusion/linear_relu_512x512.py"].programs;
  EXPECT_THAT(bundle.Check(rules::kDuplicates), ElementsAre(HasSubstr("operator by operator")));
}

}  // namespace
}  // namespace strata::verify
