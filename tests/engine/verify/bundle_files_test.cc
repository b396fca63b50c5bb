#include "worker/engine/verify/bundle_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/engine/verify/bundle_fixture.h"
#include "worker/engine/verify/bundle_imports.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(BundleFiles, TheGoldenBundleIsReadWhole) {
  const MlpBundle bundle;
  const absl::StatusOr<BundleFiles> files = ReadBundle(bundle.Path(""));
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(files->violations, IsEmpty());
  EXPECT_TRUE(files->is_own());
  EXPECT_EQ(files->components.size(), 7);
  EXPECT_EQ(files->components[0].path, "level_3_model/mlp.py");
  ASSERT_EQ(files->steps.size(), 3);
  EXPECT_EQ(files->steps[1].name, "step_2_linear_relu_784x512_to_kernels");
  EXPECT_EQ(files->steps[1].number, 2);
  EXPECT_EQ(files->steps[1].parent, "linear_relu_784x512");
  EXPECT_EQ(files->steps[1].children.size(), 2);
  EXPECT_TRUE(files->source.contains("mlp.py"));
}

TEST(BundleFiles, AFolderThatIsNotThereIsNotFound) {
  EXPECT_EQ(ReadBundle("/nowhere/at/all").status().code(), absl::StatusCode::kNotFound);
}

TEST(BundleFiles, ALinkIsRefusedAndTheRestIsRead) {
  MlpBundle bundle;
  bundle.Remove("level_0_kernel/relu_fp32.py");
  std::filesystem::create_symlink("/etc/passwd", bundle.Path("level_0_kernel/relu_fp32.py"));
  const absl::StatusOr<BundleFiles> files = ReadBundle(bundle.Path(""));
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->components.size(), 6);
  ASSERT_EQ(files->violations.size(), 1);
  EXPECT_THAT(files->violations[0].what, HasSubstr("level_0_kernel/relu_fp32.py is a symbolic link"));
}

TEST(BundleFiles, AFileBeyondTheLimitIsAViolation) {
  const MlpBundle bundle;
  const absl::StatusOr<BundleFiles> files = ReadBundle(bundle.Path(""), {.file_bytes = 2000});
  ASSERT_TRUE(files.ok());
  EXPECT_FALSE(files->violations.empty());
  EXPECT_EQ(files->violations[0].rule, rules::kLayout);
  EXPECT_THAT(ReadBundle(bundle.Path(""), {.files = 3})->violations, Not(IsEmpty()));
}

TEST(BundleFiles, BrokenJsonIsAViolationAndNoCrash) {
  const std::string deep(100'000, '[');
  for (const std::string& text : {std::string("{"), std::string("[NaN]"), std::string("\xff\xfe"), deep,
                                  std::string(R"({"status": "FAIL", "status": "PASS"})")}) {
    MlpBundle bundle;
    bundle.Write("verification/test_results.json", text);
    EXPECT_THAT(bundle.Check(rules::kLayout),
                Contains(HasSubstr("verification/test_results.json is not read")));
  }
}

TEST(BundleFiles, JsonOfTheWrongKindIsNoCrash) {
  for (const char* text : {"[]", "3", "null", R"({"nodes": [1], "metadata": "x", "data_flow": {"a": 1}})",
                           R"({"nodes": {"a": 1, "b": {"children": [1, {}], "path": []}}})"}) {
    for (const char* file : {"decomposition_tree.json", "verification/coverage_summary.json",
                             "verification/step_verification_summary.json", "verification/test_results.json",
                             "steps/step_1_mlp_to_fusions/verification_result.json",
                             "steps/step_1_mlp_to_fusions/coverage_report.json"}) {
      MlpBundle bundle;
      bundle.Write(file, text);
      EXPECT_THAT(bundle.Check(), Not(IsEmpty())) << file << " " << text;
    }
  }
}

TEST(BundleJson, EqualKeysOfDifferentObjectsAreFine) {
  EXPECT_EQ(ParseHostileJson(R"({"a": {"k": 1}, "b": {"k": 2}})").error, "");
  EXPECT_THAT(ParseHostileJson(R"({"a": {"k": 1, "k": 1}})").error, HasSubstr("\"k\""));
}

TEST(BundleImports, CommentsAndDocstringsImportNothing) {
  const std::string text =
      "\"\"\"\nimport a\n\"\"\"\n# import b\nimport c, d as e\nfrom f.g import h  # import i\nx = 'import "
      "j'; import k\n";
  std::vector<std::string> modules;
  for (const Import& import : ImportsOf(text)) modules.push_back(import.module);
  EXPECT_THAT(modules, ElementsAre("c", "d", "f.g", "k"));
  EXPECT_EQ(ImportsOf(text)[0].line, 5);
}

}  // namespace
}  // namespace strata::verify
