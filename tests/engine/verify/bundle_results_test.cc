// Rule `results`: a stale or forged file is found out, field by field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/verify/bundle_fixture.h"
#include "worker/engine/verify/step_alone.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kTree[] = "decomposition_tree.json";
constexpr char kVerification[] = "steps/step_1_mlp_to_fusions/verification_result.json";
constexpr char kCoverage[] = "steps/step_1_mlp_to_fusions/coverage_report.json";
constexpr char kSummary[] = "verification/coverage_summary.json";
constexpr char kSteps[] = "verification/step_verification_summary.json";
constexpr char kTests[] = "verification/test_results.json";

struct Forged {
  const char* file;
  const char* pointer;
  ordered_json value;
  const char* says;
};

TEST(BundleResults, EveryFieldIsHeldAgainstWhatWasRecomputed) {
  const Forged cases[] = {
      {kVerification, "/status", "FAIL", "status is \"FAIL\", recomputed it is \"PASS\""},
      {kVerification, "/anticheat/status", "FAIL", "anticheat.status is"},
      {kVerification, "/anticheat/violations", {"x"}, "anticheat.violations is"},
      {kVerification, "/weight_transfer/status", "FAIL", "weight_transfer.status is"},
      {kVerification, "/weight_transfer/mapped_count", 7, "mapped_count is 7, recomputed it is 6"},
      {kVerification, "/weight_transfer/unmapped_original", {"fc9.weight"}, "unmapped_original is"},
      {kVerification, "/weight_transfer/weight_map/fc1.weight", "fc2_relu.fc2.weight", "weight_map is"},
      {kVerification, "/numerical_comparison/status", "FAIL", "numerical_comparison.status is"},
      {kVerification, "/numerical_comparison/rtol", 0.1, "rtol is 0.1"},
      {kVerification, "/numerical_comparison/atol", 0.1, "atol is 0.1"},
      {kVerification, "/numerical_comparison/input_dtype", "torch.bfloat16", "input_dtype is"},
      {kVerification, "/numerical_comparison/num_trials", 9, "num_trials is 9"},
      {kVerification, "/numerical_comparison/max_diff_across_trials", 1e-7,
       "max_diff_across_trials is 1e-07"},
      {kVerification, "/numerical_comparison/bit_exact", false, "bit_exact is false"},
      {kVerification, "/numerical_comparison/trials/0/seed", 7, "the trial of seed 42 is missing"},
      {kVerification, "/numerical_comparison/trials/1/max_diff", 1e-7, "the trial of seed 43: max_diff is"},
      {kVerification, "/numerical_comparison/trials/1/pass", false, "the trial of seed 43: pass is false"},
      {kVerification,
       "/numerical_comparison/trials/1/output_details/0/shape",
       {64, 11},
       "output 0: shape is [64,11]"},
      {kVerification, "/numerical_comparison/trials/1/output_details/0/dtype", "torch.float16",
       "output 0: dtype is"},
      {kVerification, "/original_file", "mlp.py", "original_file is"},
      {kCoverage, "/status", "PARTIAL_COVERAGE", "status is \"PARTIAL_COVERAGE\""},
      {kCoverage, "/coverage/total_original_ops", 6, "total_original_ops is 6, recomputed it is 5"},
      {kCoverage, "/coverage/coverage_pct", 99.0, "coverage_pct is 99.0"},
      {kCoverage, "/coverage/missing_op_types", {"relu"}, "missing_op_types is [\"relu\"]"},
      {kCoverage, "/coverage/op_details/0/original_count", 4,
       "linear: original_count is 4, recomputed it is 3"},
      {kCoverage, "/coverage/op_details/1/op_type", "gelu", "op_details lacks relu"},
      {kCoverage, "/plumbing", {{"view", 3}}, "plumbing is {\"view\":3}"},
      {kSummary, "/coverage/total_decomposed_ops", 6, "total_decomposed_ops is 6"},
      {kSummary, "/unique_op_types_kernels", 3, "unique_op_types_kernels is 3"},
      {kSummary, "/kernels/3/instance_count", 3, "kernels, level_0_kernel/relu_fp32.py: instance_count is 3"},
      {kSummary, "/kernels/3/op_types", {"gelu"}, "op_types is [\"gelu\"]"},
      {kSummary, "/kernels/3/file", "level_0_kernel/gelu_fp32.py",
       "kernels lacks level_0_kernel/relu_fp32.py"},
      {kSteps, "/status", "FAIL", "status is \"FAIL\""},
      {kSteps, "/total_steps", 4, "total_steps is 4, recomputed it is 3"},
      {kSteps, "/passed", 2, "passed is 2"},
      {kSteps, "/skipped", 1, "skipped is 1"},
      {kSteps, "/steps/0/verification_status", "FAIL", "step_1_mlp_to_fusions: verification_status is"},
      {kSteps, "/steps/0/coverage_pct", 50.0, "coverage_pct is 50.0"},
      {kSteps, "/steps/0/max_diff", 0.5, "max_diff is 0.5"},
      {kSteps, "/steps/0/anticheat_status", "FAIL", "anticheat_status is"},
      {kSteps, "/steps/0/step_name", "step_7_x_to_y", "steps lacks step_1_mlp_to_fusions"},
      {kTests, "/total_components", 8, "total_components is 8, recomputed it is 7"},
      {kTests, "/passed", 6, "passed is 6"},
      {kTests, "/composition_test", "FAIL", "composition_test is"},
      {kTests, "/max_difference", 0.25, "max_difference is 0.25"},
      {kTests, "/component_results/3/status", "FAIL", "relu_fp32.py: status is \"FAIL\""},
      {kTests, "/component_results/3/file", "x.py", "component_results lacks level_0_kernel/relu_fp32.py"},
      {kTree, "/metadata/total_components", 8, "total_components is 8, recomputed it is 7"},
      {kTree, "/metadata/by_level/fusion", 3, "by_level.fusion is 3, recomputed it is 2"},
      {kTree, "/metadata/unique_kernels", 5, "unique_kernels is 5"},
      {kTree, "/metadata/verification_status", "FAIL", "verification_status is"},
      {kTree, "/metadata/model_name", "vgg", "model_name is \"vgg\""},
      {kTree, "/metadata/source_file", "source/x.py", "source_file names source/x.py"},
      {kTree, "/nodes/relu_fp32/id", "x", "nodes.relu_fp32.id is \"x\""},
      {kTree, "/nodes/relu_fp32/path", "level_0_kernel/x.py",
       "path level_0_kernel/x.py is no component file"},
      {kTree, "/nodes/relu_fp32/instance_count", 3,
       "nodes.relu_fp32.instance_count is 3, recomputed it is 2"},
      {kTree, "/nodes/relu_fp32/instances/0/calls", 2, "instance_count is 2, recomputed it is 3"},
      {kTree, "/nodes/relu_fp32/workloads/0/count", 1, "nodes.relu_fp32.workloads is"},
      {kTree, "/nodes/relu_fp32/workloads/0/input_shapes/x", {1, 2}, "nodes.relu_fp32.workloads is"},
      {kTree, "/nodes/relu_fp32/input_shapes/x", {64, 513}, "nodes.relu_fp32.input_shapes and dtypes is"},
      {kTree,
       "/nodes/relu_fp32/output_shapes/output",
       {64, 513},
       "nodes.relu_fp32.output_shapes and dtypes is"},
      {kTree, "/nodes/relu_fp32/input_dtypes/x", "torch.float64",
       "nodes.relu_fp32.input_shapes and dtypes is"},
      {kTree, "/nodes/mlp/calls/linear_512x10_fp32", 2, "nodes.mlp.calls is"},
      {kTree, "/nodes/relu_fp32/instances/0/scope", "relu", "nodes.relu_fp32.instances is"},
      {kTree,
       "/data_flow/1/shape",
       {1},
       "data_flow lacks mlp/linear_relu_784x512#0 -> mlp/linear_relu_512x512#0"},
      {kTree, "/data_flow/1/dtype", "torch.float16", "data_flow lacks mlp/linear_relu_784x512#0"},
      {kTree, "/data_flow/1/from", "mlp/input", "data_flow lacks mlp/linear_relu_784x512#0"},
  };
  for (const Forged& forged : cases) {
    MlpBundle bundle;
    bundle.Set(forged.file, forged.pointer, forged.value);
    const std::vector<std::string> found = bundle.Check(rules::kResults);
    EXPECT_THAT(found, ::testing::Contains(HasSubstr(forged.says))) << forged.file << forged.pointer;
    for (const std::string& text : found) EXPECT_THAT(text, HasSubstr(forged.file));
  }
}

TEST(BundleResults, TimesAndFurtherTrialsAreFree) {
  MlpBundle bundle;
  bundle.Set(kVerification, "/timestamp", "2020-01-01T00:00:00Z");
  bundle.Set(kVerification, "/environment/torch", "1.0");
  bundle.Set(kVerification, "/numerical_comparison/trials/3",
             {{"trial", 3}, {"seed", 9}, {"max_diff", 0.0}, {"pass", true}});
  bundle.Set(kVerification, "/numerical_comparison/num_trials", 4);
  EXPECT_THAT(bundle.Check(rules::kResults), IsEmpty());
}

TEST(BundleResults, AnotherTorchMayRoundAnotherWay) {
  MlpBundle bundle;
  bundle.Set(kSteps, "/steps/0/max_diff", 1e-7);
  bundle.Set(kVerification, "/numerical_comparison/trials/0/max_diff", 1e-7);
  EXPECT_THAT(bundle.Check(rules::kResults), ::testing::SizeIs(2));
  bundle.Set(kVerification, "/environment/torch", "1.0");
  EXPECT_THAT(bundle.Check(rules::kResults), IsEmpty());
}

TEST(BundleResults, AStaleVerdictIsFoundOut) {
  MlpBundle bundle;
  auto& step = bundle.facts.steps["step_1_mlp_to_fusions"];
  step.pass = false;
  step.verification_result["status"] = "FAIL";
  const std::vector<std::string> found = bundle.Check(rules::kResults);
  EXPECT_THAT(found, ::testing::Contains(HasSubstr("verification_result.json: status is \"PASS\"")));
  EXPECT_THAT(found,
              ::testing::Contains(HasSubstr("verification_status is \"PASS\", recomputed it is \"FAIL\"")));
  EXPECT_THAT(found, ::testing::Contains(HasSubstr("metadata.verification_status is \"PASS\"")));
}

TEST(BundleResults, OthersCountOperatorsTheirWay) {
  MlpBundle bundle;
  bundle.MakeForeign();
  bundle.Set(kCoverage, "/extraction_method", "torch.fx.symbolic_trace");
  bundle.Set(kCoverage, "/coverage/total_original_ops", 39);
  EXPECT_THAT(bundle.Check(rules::kResults), IsEmpty());
  bundle.facts.steps["step_1_mlp_to_fusions"].coverage_report["status"] = "PARTIAL_COVERAGE";
  EXPECT_THAT(bundle.Check(rules::kResults), ElementsAre(HasSubstr("status is \"FULL_COVERAGE\"")));
}

TEST(BundleResults, OthersRoundTheirWay) {
  MlpBundle bundle;
  bundle.MakeForeign();
  bundle.Set(kVerification, "/numerical_comparison/max_diff_across_trials", 4e-7);
  bundle.Set(kVerification, "/numerical_comparison/trials/0/max_diff", 4e-7);
  EXPECT_THAT(bundle.Check(rules::kResults), IsEmpty());
  bundle.facts.steps["step_1_mlp_to_fusions"]
      .verification_result["numerical_comparison"]["trials"][0]["max_diff"] = 0.5;
  EXPECT_THAT(bundle.Check(rules::kResults), ElementsAre(HasSubstr("the trial of seed 42: max_diff is 4e-07"),
                                                         HasSubstr("max_diff_across_trials is 4e-07")));
}

TEST(BundleResults, EdgesOfOthersPassWhatTheComponentTakes) {
  MlpBundle bundle;
  bundle.MakeForeign();
  bundle.Set(kTree, "/data_flow",
             {{{"from", "mlp"}, {"to", "relu_fp32"}, {"shape", {64, 512}}, {"dtype", "float32"}},
              {{"from", "mlp"}, {"to", "relu_fp32"}, {"shape", {64, 5}}, {"dtype", "float32"}}});
  EXPECT_THAT(bundle.Check(rules::kResults),
              ElementsAre(HasSubstr("data_flow passes fp32[64,5] to relu_fp32, which takes fp32[64,512]")));
}

// Whatever somebody wrote into a field: a sentence at most.
TEST(StepAloneResults, AbsurdFieldsAreViolationsAndNoCrash) {
  ClaimFacts step;
  step.judged = true;
  step.verification_result = ordered_json::parse(R"({"status": "PASS", "anticheat": {"status": "PASS"},
      "numerical_comparison": {"status": "PASS", "atol": 1e-6, "max_diff_across_trials": 0.0,
      "trials": [{"seed": 42, "workload": 0, "max_diff": 0.0, "pass": true}]}})");
  step.coverage_report = {{"status", "FULL_COVERAGE"}, {"coverage", {{"op_details", ordered_json::array()}}}};
  const auto judged = [&](const char* text, std::vector<std::string>* not_judged) {
    StatedResults stated;
    stated.verification_result = {.path = "verification_result.json", .exists = true};
    stated.verification_result.value = ordered_json::parse(text);
    return ResultsViolations(stated, step, *not_judged).size();
  };
  std::vector<std::string> not_judged;
  EXPECT_EQ(judged(R"({"status": "passed"})", &not_judged), 0);
  EXPECT_THAT(not_judged, ElementsAre("paths in verification_result.json"));
  EXPECT_EQ(judged("{}", &not_judged), 0);
  EXPECT_EQ(not_judged.back(), "verification_result.json");
  for (const char* text :
       {R"({"status": 17})", R"({"status": "PASS", "anticheat": {"status": []}})",
        R"({"status": "PASS", "numerical_comparison": "PASS"})",
        R"({"status": "PASS", "numerical_comparison": {"trials": "x", "num_trials": 18446744073709551615}})",
        R"({"status": "PASS", "numerical_comparison": {"trials": [[], {"seed": 42}, 7]}})"}) {
    EXPECT_GT(judged(text, &not_judged), 0) << text;
  }
}

}  // namespace
}  // namespace strata::verify
