// The rules that need no engine: whose fault a failure is, folders, summaries, what is refused at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "worker/engine/pipeline/local_job.h"
#include "worker/engine/pipeline/public_scripts.h"
#include "worker/engine/pipeline/summaries.h"
#include "worker/engine/pipeline/task_run.h"
#include "worker/engine/program/builder.h"

namespace strata::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

host::RunOutcome Ended(host::RunStatus status, const std::string& stage, const std::string& message) {
  return {
      .status = status, .stage = stage, .error_type = "", .message = message, .file = "mlp.py", .line = 7};
}

TEST(Failures, WhatTheSubmissionRaisesIsTheUsersFaultWithItsLine) {
  host::RunOutcome outcome = Ended(host::RunStatus::kRaised, "forward", "mat1 and mat2 do not fit");
  outcome.error_type = "RuntimeError";
  outcome.traceback = "Traceback …";
  const Failure failure = FromRunner(outcome, "mlp.py", /*theirs=*/true);
  EXPECT_EQ(failure.kind, FailureKind::kUser);
  EXPECT_EQ(failure.file, "mlp.py");
  EXPECT_EQ(failure.line, 7);
  EXPECT_EQ(failure.traceback, "Traceback …");
  EXPECT_EQ(failure.message, "mlp.py failed in forward: RuntimeError: mat1 and mat2 do not fit");
}

TEST(Failures, WhatOurOwnTextRaisesIsAGatesFailure) {
  const Failure failure =
      FromRunner(Ended(host::RunStatus::kRaised, "load", "x"), "relu_fp32.py", /*theirs=*/false);
  EXPECT_EQ(failure.kind, FailureKind::kGate);
}

TEST(Failures, LimitsAreLimitsWhoeverRan) {
  for (const auto status :
       {host::RunStatus::kWallLimit, host::RunStatus::kMemoryLimit, host::RunStatus::kOutputLimit,
        host::RunStatus::kFileLimit, host::RunStatus::kProcessLimit}) {
    EXPECT_EQ(FromRunner(Ended(status, "forward", "too much"), "x", true).kind, FailureKind::kLimits);
    EXPECT_EQ(FromRunner(Ended(status, "forward", "too much"), "x", false).kind, FailureKind::kLimits);
  }
}

TEST(Failures, AProcessThatEndsItselfSaysHow) {
  host::RunOutcome outcome = Ended(host::RunStatus::kExited, "forward", "");
  EXPECT_THAT(FromRunner(outcome, "mlp.py", true).message,
              HasSubstr("ended its process with exit code 0 in forward"));
  outcome.signal = 11;
  EXPECT_THAT(FromRunner(outcome, "mlp.py", true).message, HasSubstr("was ended by signal 11"));
}

TEST(Failures, AnInvalidArgumentIsTheUsersAndAnInternalErrorOurs) {
  EXPECT_EQ(FromStatus(absl::InvalidArgumentError("x")).kind, FailureKind::kUser);
  EXPECT_EQ(FromStatus(absl::ResourceExhaustedError("x")).kind, FailureKind::kLimits);
  EXPECT_EQ(FromStatus(absl::InternalError("x")).kind, FailureKind::kOurs);
  EXPECT_EQ(FromStatus(absl::DataLossError("x")).kind, FailureKind::kOurs);
}

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() : dir_(*TempDir::Create("pipeline_test_")) {}

  std::string Put(const std::string& path, const std::string& text = "x") {
    const std::string full = JoinPath(dir_.path(), path);
    EXPECT_TRUE(MakeDirs(DirName(full)).ok());
    EXPECT_TRUE(WriteFile(full, text).ok());
    return full;
  }

  TempDir dir_;
};

TEST_F(FolderTest, AWorkspaceReadsOneFolderAndWritesTheOther) {
  Put("in/source/m.py", "text");
  Workspace files(dir_.path() + "/in", dir_.path() + "/out");
  EXPECT_EQ(*files.Read("source/m.py"), "text");
  EXPECT_THAT(files.List(""), ElementsAre("source/m.py"));
  ASSERT_TRUE(files.Write("a/b.py", "new").ok());
  EXPECT_THAT(files.written(), ElementsAre("a/b.py"));
  EXPECT_EQ(*ReadFile(dir_.path() + "/out/a/b.py"), "new");
  EXPECT_FALSE(files.Has("a/b.py"));
}

TEST_F(FolderTest, AWorkspaceIsNotLeftThroughAPath) {
  Put("secret", "text");
  Workspace files(dir_.path() + "/in", dir_.path() + "/out");
  EXPECT_FALSE(files.Read("../secret").ok());
  EXPECT_FALSE(files.Read(dir_.path() + "/secret").ok());
  EXPECT_FALSE(files.Write("../elsewhere", "x").ok());
}

TEST_F(FolderTest, WhatNoRunnerHasToSeeIsRefusedAtOnce) {
  LocalJob job{.file = Put("m.py"), .out_dir = dir_.path() + "/bundle"};
  EXPECT_EQ(CheckLocalJob(job), "");
  job.file = dir_.path() + "/none.py";
  EXPECT_THAT(CheckLocalJob(job), HasSubstr("does not exist"));
  job.file = dir_.path();
  EXPECT_THAT(CheckLocalJob(job), HasSubstr("is a folder"));
  job.file = Put("empty.py", "");
  EXPECT_THAT(CheckLocalJob(job), HasSubstr("is empty"));
  job.file = Put("model.txt");
  EXPECT_THAT(CheckLocalJob(job), HasSubstr(".py"));
  job.file = Put("large.py");
  ASSERT_EQ(truncate(job.file.c_str(), kMaxSourceBytes + 1), 0);
  EXPECT_THAT(CheckLocalJob(job), HasSubstr("64 MiB"));
}

TEST_F(FolderTest, OnlyABundleIsReplacedAndOnlyByAWord) {
  LocalJob job{.file = Put("m.py"), .out_dir = dir_.path() + "/bundle"};
  Put("bundle/decomposition_tree.json");
  EXPECT_THAT(CheckLocalJob(job), HasSubstr("--replace"));
  job.replace = true;
  EXPECT_EQ(CheckLocalJob(job), "");
  Put("bundle/thesis.tex");
  EXPECT_THAT(CheckLocalJob(job), HasSubstr("thesis.tex"));
  RemoveOldBundle(job.out_dir);
  EXPECT_TRUE(FileExists(job.out_dir + "/thesis.tex"));
  EXPECT_FALSE(FileExists(job.out_dir + "/decomposition_tree.json"));
}

// A job of a model, a kernel and all their verdicts, each PASS.
class SummaryTest : public FolderTest {
 protected:
  SummaryTest() {
    Put("level_3_model/m.py");
    Put("level_0_kernel/relu_fp32.py");
    Put("steps/step_1/verification_result.json",
        R"({"status": "PASS", "anticheat": {"status": "PASS"}, "numerical_comparison": {"max_diff_across_trials": 0.0}})");
    Put("steps/step_1/coverage_report.json",
        R"({"status": "FULL_COVERAGE", "coverage": {"coverage_pct": 100.0}})");
    Put(".strata/tests/m.json", R"({"status": "PASS"})");
    Put(".strata/tests/relu_fp32.json", R"({"status": "PASS"})");
    Put(".strata/composition.json", R"({"status": "PASS", "max_difference": 0.0, "details": {}})");
    Put("verification/coverage_summary.json", R"({"status": "FULL_COVERAGE"})");
  }

  Summaries Summary() {
    const auto jobs = nlohmann::ordered_json::parse(R"({"components": [
      {"id": "m", "path": "level_3_model/m.py", "step": "step_1"},
      {"id": "relu_fp32", "path": "level_0_kernel/relu_fp32.py", "step": ""}]})");
    return Summarize(Workspace(dir_.path(), dir_.path()), jobs, "now");
  }
};

TEST_F(SummaryTest, AllVerdictsPassed) {
  const Summaries summaries = Summary();
  EXPECT_TRUE(summaries.pass);
  EXPECT_EQ(summaries.steps["status"], "PASS");
  EXPECT_EQ(summaries.steps["total_steps"], 1);
  EXPECT_EQ(summaries.steps["steps"][0]["coverage_pct"], 100.0);
  EXPECT_EQ(summaries.tests["passed"], 2);
  EXPECT_EQ(summaries.tests["composition_test"], "PASS");
}

TEST_F(SummaryTest, AMissingVerdictHasNotPassed) {
  for (const char* path : {"steps/step_1/verification_result.json", ".strata/tests/relu_fp32.json",
                           ".strata/composition.json", "verification/coverage_summary.json"}) {
    const std::string full = JoinPath(dir_.path(), path), text = *ReadFile(full);
    ASSERT_TRUE(RemoveTree(full).ok());
    EXPECT_FALSE(Summary().pass) << path;
    Put(path, text);
  }
  EXPECT_TRUE(Summary().pass);
}

TEST_F(SummaryTest, PartialCoverageOfAStepFails) {
  Put("steps/step_1/coverage_report.json",
      R"({"status": "PARTIAL_COVERAGE", "coverage": {"coverage_pct": 90.0}})");
  EXPECT_FALSE(Summary().pass);
  EXPECT_EQ(Summary().steps["steps"][0]["verification_status"], "FAIL");
}

plan::Plan OneNode(program::Program program) {
  plan::Plan plan;
  plan.program = std::move(program);
  plan::Node node{.level = plan::Level::kModel, .form = plan::NodeForm::kModule};
  for (const program::Call& call : plan.program.calls) node.calls.push_back(call.id);
  for (const program::Value& value : plan.program.values) {
    if (value.kind == program::ValueKind::kInput) node.inputs.push_back(value.id);
  }
  node.outputs = {plan.program.calls.back().results[0]};
  plan.nodes = {node};
  plan.components = {{.stem = "m", .level = plan::Level::kModel, .nodes = {0}}};
  return plan;
}

TEST(PublicScripts, APlainModelTheyCanJudge) {
  program::Builder b;
  const auto x = b.Input("x", {2});
  const auto y = b.Op("aten::relu", {program::T("self", x)}, {2});
  EXPECT_EQ(WhyPublicScriptsCannotJudge(OneNode(b.Finish({y}))), "");
}

TEST(PublicScripts, RandomNumbersAndChangedInputsTheyCannot) {
  program::Builder random, writes;
  const auto x = random.Input("x", {2});
  const auto y =
      random.Op("aten::rand_like", {program::T("self", x)}, {2}, program::DType::kFloat32, program::kRandom);
  EXPECT_THAT(WhyPublicScriptsCannotJudge(OneNode(random.Finish({y}))), HasSubstr("random"));
  const auto z = writes.Input("z", {2});
  const auto w = writes.Op("aten::relu_", {program::T("self", z)}, {2});
  EXPECT_THAT(WhyPublicScriptsCannotJudge(OneNode(writes.Finish({w}))), HasSubstr("changes its input"));
}

}  // namespace
}  // namespace strata::pipeline
