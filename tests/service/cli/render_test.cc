#include "client/cli/render.h"

#include <google/protobuf/text_format.h>

#include <cstdio>

#include "client/cli/json.h"
#include "client/cli/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <typename T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

class RenderTest : public ::testing::Test {
 protected:
  ~RenderTest() override { std::fclose(file_); }
  FILE* file_ = std::tmpfile();
  const Terminal terminal_{file_};  // plain
};

constexpr char kTree[] = R"pb(
  root: "gpt"
  total_components: 4
  nodes {
    id: "gpt"
    level: LEVEL_MODEL
    children: "block"
    children: "linear"
    instance_count: 1
    step: "step_1_gpt_to_layers"
    verification: TASK_STATE_PASSED
    calls { child: "block" calls: 4 }
    calls { child: "linear" calls: 1 }
  }
  nodes {
    id: "block"
    level: LEVEL_LAYER
    children: "mlp"
    instance_count: 4
    step: "step_2"
    verification: TASK_STATE_GATE_FAILED
    calls { child: "mlp" calls: 1 }
  }
  nodes {
    id: "mlp"
    level: LEVEL_FUSION
    children: "linear"
    instance_count: 4
    step: "step_3"
    verification: TASK_STATE_WAITING
    calls { child: "linear" calls: 2 }
  }
  nodes { id: "linear" level: LEVEL_KERNEL instance_count: 9 }
)pb";

TEST_F(RenderTest, TheTreeShowsLevelsVerdictsAndRunsAtEachPlace) {
  EXPECT_EQ(RenderTree(terminal_, Parse<v1::Tree>(kTree)),
            "component        level   runs  step\n"
            "gpt              model     ×1  PASS\n"
            "├─ block         layer     ×4  FAIL\n"
            "│  └─ mlp        fusion    ×4  waiting\n"
            "│     └─ linear  kernel    ×8\n"
            "└─ linear        kernel    ×1\n"
            "4 files: 1 model, 1 layer, 1 fusion, 1 kernel\n");
}

TEST_F(RenderTest, AComponentOfTwoParentsIsUnfoldedOnce) {
  const std::string text = RenderTree(terminal_, Parse<v1::Tree>(R"pb(
                                        root: "m"
                                        nodes { id: "m" level: LEVEL_MODEL children: "a" children: "b" }
                                        nodes { id: "a" level: LEVEL_LAYER children: "f" }
                                        nodes { id: "b" level: LEVEL_LAYER children: "f" }
                                        nodes { id: "f" level: LEVEL_FUSION children: "k" }
                                        nodes { id: "k" level: LEVEL_KERNEL }
                                      )pb"));
  EXPECT_THAT(text, HasSubstr("f (as above)"));
  EXPECT_EQ(text.find("─ k"), text.rfind("─ k"));
}

TEST_F(RenderTest, StepsWithoutVerdictSayWhatTheirTasksDo) {
  EXPECT_EQ(RenderSteps(terminal_, Parse<v1::ListStepsResponse>(R"pb(
                          steps {
                            name: "step_1_gpt_to_layers"
                            status: "PASS"
                            coverage_pct: 100
                            decompose: TASK_STATE_PASSED
                            verify: TASK_STATE_PASSED
                          }
                          steps { name: "step_2" status: "FAIL" max_diff: 0.00125 coverage_pct: 99.99 }
                          steps { name: "step_3" decompose: TASK_STATE_PASSED verify: TASK_STATE_RUNNING }
                          steps { name: "step_4" decompose: TASK_STATE_WAITING verify: TASK_STATE_WAITING }
                        )pb")),
            "step                  status   max_diff  coverage\n"
            "step_1_gpt_to_layers  PASS            0     100 %\n"
            "step_2                FAIL       0.0013    99.9 %\n"
            "step_3                running\n"
            "step_4                waiting\n");
}

TEST_F(RenderTest, CoverageEndsWithASentence) {
  const std::string text =
      RenderCoverage(terminal_, Parse<v1::Coverage>(R"pb(
                       status: "PARTIAL_COVERAGE"
                       total_original_ops: 3
                       coverage_pct: 66.6
                       missing_op_types: "relu"
                       operators {
                         op_type: "linear"
                         original_count: 2
                         decomposed_count: 2
                         status: "covered"
                         kernel_files: "level_0_kernel/linear.py"
                       }
                       operators { op_type: "relu" original_count: 1 decomposed_count: 0 status: "missing" }
                     )pb"));
  EXPECT_THAT(text, HasSubstr("linear           2        2  covered  linear.py\n"));
  EXPECT_THAT(text, HasSubstr("PARTIAL_COVERAGE  66.6 % of 3 operators, missing relu, extra nothing\n"));
}

TEST_F(RenderTest, AFailureSaysFileAndLineFirst) {
  EXPECT_EQ(RenderFailure(terminal_, Parse<v1::Failure>(R"pb(
                            kind: FAILURE_KIND_USER
                            message: "forward raised ValueError: no"
                            file: "mlp.py"
                            line: 12
                            traceback: "Traceback\n  x\n")pb")),
            "mlp.py, line 12: forward raised ValueError: no\n    Traceback\n      x\n");
}

TEST_F(RenderTest, AFailureNamesItsFileOnce) {
  EXPECT_EQ(RenderFailure(terminal_, Parse<v1::Failure>(R"pb(message: "mlp.py failed in forward: no"
                                                             file: "mlp.py"
                                                             line: 12)pb")),
            "mlp.py, line 12: failed in forward: no\n");
}

TEST_F(RenderTest, NamesDoNotSteerTheTerminal) {
  v1::ListDecompositionsResponse list;
  v1::Decomposition& job = *list.add_decompositions();
  job.set_model_name("\033[31mred\nPASS");
  EXPECT_THAT(RenderList(terminal_, list), HasSubstr("\\x1b[31mred\\x0aPASS"));
  EXPECT_THAT(RenderDecomposition(terminal_, job), HasSubstr("\\x1b[31mred\\x0aPASS"));
  EXPECT_THAT(RenderVerdict(terminal_, job, {}, {}), HasSubstr("\\x1b[31mred\\x0aPASS"));
}

TEST_F(RenderTest, ACanceledJobIsNeitherPassNorFail) {
  v1::Decomposition job;
  job.set_model_name("gpt");
  job.set_state(v1::STATE_CANCELED);
  EXPECT_EQ(RenderVerdict(terminal_, job, {}, {}), "CANCELED  gpt\n");
  job.set_cancel_reason("not needed");
  EXPECT_EQ(RenderVerdict(terminal_, job, {}, {}), "CANCELED  gpt: not needed\n");
  EXPECT_EQ(RenderVerdict(terminal_, job, Parse<v1::ListStepsResponse>("steps {}"), {}),
            "CANCELED  gpt: not needed, 0 of 1 step verified\n");
}

TEST_F(RenderTest, AVerdictOnAFolderListsWhatSpeaksAgainstIt) {
  auto job = Parse<v1::Decomposition>(
      R"pb(
        id: "d-1" model_name: "step" kind: JOB_KIND_JUDGE state: STATE_SUCCEEDED verdict: "rejected"
      )pb");
  const auto verdict = Parse<v1::FolderVerdict>(R"pb(
    verdict: "rejected"
    violations {
      rule: "numbers"
      file: "refactored.py"
      line: 7
      what: "output 0 differs by 0.5"
      advice: "look"
    }
    violations { rule: "layout" what: "there is no \033file" }
    notes: "a note"
    not_judged: "chain"
  )pb");
  EXPECT_EQ(RenderJudgement(terminal_, job, verdict),
            "numbers: refactored.py:7\n"
            "    output 0 differs by 0.5\n"
            "    -> look\n"
            "layout: \n"
            "    there is no \\x1bfile\n"
            "notes:\n"
            "  a note\n"
            "not judged:\n"
            "  chain\n"
            "rejected  step\n");
  v1::ListDecompositionsResponse list;
  *list.add_decompositions() = job;
  EXPECT_THAT(RenderList(terminal_, list), HasSubstr("d-1  judge  step   rejected"));
  EXPECT_THAT(RenderDecomposition(terminal_, job), HasSubstr("verdict    rejected\n"));
  EXPECT_EQ(ExitCodeOf(job), 1);
  job.set_verdict("cannot be judged");
  EXPECT_EQ(ExitCodeOf(job), 2);
  job.set_verdict("accepted");
  EXPECT_EQ(ExitCodeOf(job), 0);
  job.clear_verdict();
  job.set_state(v1::STATE_FAILED);
  EXPECT_EQ(RenderJudgement(terminal_, job, {}), "FAIL  step\n");
}

TEST(WhyQueued, NamesTheDeviceThatNoConnectedWorkerHas) {
  const auto workers = Parse<v1::ListWorkersResponse>(R"pb(
    workers { connected: true devices: "cpu" }
    workers { connected: false devices: "cuda" }
    workers { connected: true draining: true devices: "cuda" }
  )pb");
  EXPECT_EQ(WhyQueued(Parse<v1::Decomposition>("device: DEVICE_CUDA"), workers),
            "no connected worker has cuda");
  EXPECT_EQ(WhyQueued(Parse<v1::Decomposition>("device: DEVICE_AUTO resolved_device: 'cuda'"), workers),
            "no connected worker has cuda");
  EXPECT_EQ(WhyQueued(Parse<v1::Decomposition>("device: DEVICE_AUTO"), workers), "");
  EXPECT_EQ(WhyQueued(Parse<v1::Decomposition>("device: DEVICE_CPU"), workers), "");
  EXPECT_EQ(WhyQueued(Parse<v1::Decomposition>("device: DEVICE_AUTO"), {}), "no worker is connected");
}

TEST_F(RenderTest, TheVerdictIsTheWorstOfAll) {
  const auto steps = Parse<v1::ListStepsResponse>(R"pb(steps { status: "PASS" }
                                                       steps { status: "PASS" max_diff: 1e-7 }
                                                       steps {})pb");
  v1::Decomposition job;
  job.set_model_name("gpt");
  job.set_state(v1::STATE_FAILED);
  EXPECT_EQ(RenderVerdict(terminal_, job, steps, {}), "FAIL  gpt: 2 of 3 steps verified, max_diff 1e-07\n");
  job.set_state(v1::STATE_SUCCEEDED);
  EXPECT_THAT(RenderVerdict(terminal_, job, steps, {}), HasSubstr("PASS  gpt"));
}

TEST(Format, ABundlesFolderIsOneName) {
  EXPECT_EQ(BundleName("mlp"), "mlp_bundle");
  EXPECT_EQ(BundleName("../../evil"), "evil_bundle");
  EXPECT_EQ(BundleName(".."), ".._bundle");
  EXPECT_EQ(BundleName("a/"), "_bundle");
  EXPECT_EQ(BundleName("\033[2J"), "\\x1b[2J_bundle");
}

TEST(Format, AlmostEverythingIsNotEverything) {
  EXPECT_EQ(FormatPercent(100), "100 %");
  EXPECT_EQ(FormatPercent(99.999), "99.9 %");
  EXPECT_EQ(FormatDiff(0), "0");
  EXPECT_EQ(FormatDiff(1e-300), "1e-300");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(600 << 20), "600.0 MiB");
  EXPECT_EQ(FormatSeconds(3723), "1:02:03");
}

TEST(Json, WholeNumbersAreNumbersEnumsAreShortAndMapsAreSorted) {
  const auto json = ToJson(Parse<v1::Decomposition>(R"pb(
    id: "x"
    state: STATE_FAILED
    failure { kind: FAILURE_KIND_GATE }
    counts { steps_total: 3 }
    last_event: 9007199254740993
    labels { key: "b" value: "2" }
    labels { key: "a" value: "1" }
    create_time { seconds: 0 }
  )pb"));
  EXPECT_EQ(json["state"], "FAILED");
  EXPECT_EQ(json["failure"]["kind"], "GATE");
  EXPECT_EQ(json["last_event"], 9007199254740993);
  EXPECT_EQ(json["labels"].dump(), R"({"a":"1","b":"2"})");
  EXPECT_EQ(json["create_time"], "1970-01-01T00:00:00Z");
  EXPECT_FALSE(json.contains("end_time"));
}

TEST(Json, BytesThatAreNoTextDoNotBreakTheDocument) {
  v1::AttemptLog log;
  log.set_stdout("a\xff\n");
  EXPECT_NO_THROW(Dump(ToJson(log)));
}

TEST(ExitCode, SaysWhoseFaultItIs) {
  v1::Decomposition job;
  job.set_state(v1::STATE_SUCCEEDED);
  EXPECT_EQ(ExitCodeOf(job), 0);
  job.set_state(v1::STATE_FAILED);
  job.mutable_failure()->set_kind(v1::FAILURE_KIND_GATE);
  EXPECT_EQ(ExitCodeOf(job), 1);
  job.mutable_failure()->set_kind(v1::FAILURE_KIND_USER);
  EXPECT_EQ(ExitCodeOf(job), 2);
  job.mutable_failure()->set_kind(v1::FAILURE_KIND_LIMITS);
  EXPECT_EQ(ExitCodeOf(job), 2);
  job.mutable_failure()->set_kind(v1::FAILURE_KIND_OURS);
  EXPECT_EQ(ExitCodeOf(job), 3);
  job.set_state(v1::STATE_CANCELED);
  EXPECT_EQ(ExitCodeOf(job), 2);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("")), 3);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("")), 2);
}

}  // namespace
}  // namespace strata::cli
