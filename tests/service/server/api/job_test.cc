// What a job says while it runs and leaves when it ended, driven by a fake worker.
#include <filesystem>
#include <fstream>

#include "base/sha256.h"
#include "tests/service/server/api/service_fixture.h"

namespace strata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Results : public ServiceTest {};

TEST_F(Results, WorkerDrivesAJobToItsBundle) {
  const auto submitted = server_.Submit("r1", {{"team", "vision"}});
  EXPECT_EQ(submitted.state(), v1::STATE_QUEUED);
  EXPECT_EQ(submitted.model_name(), "mlp");
  const grpc::Status early = [&] {
    v1::Tree tree;
    return Call(&v1::Strata::Stub::GetTree, Of<v1::GetTreeRequest>(submitted.id()), &tree);
  }();
  EXPECT_EQ(InfoOf(early).reason(), "NOT_READY");
  EXPECT_TRUE(SaysRetry(early));

  FakeWorker worker(server_, "w1");
  std::vector<v1::Event> events;
  const auto ended = server_.WaitForEnd(submitted.id(), &events);
  EXPECT_EQ(ended.state(), v1::STATE_SUCCEEDED) << ended.ShortDebugString();
  EXPECT_EQ(ended.counts().steps_total(), 2u);
  EXPECT_EQ(ended.counts().steps_done(), 2u);
  EXPECT_EQ(ended.counts().steps_left(), 0u);
  EXPECT_EQ(ended.counts().tasks_done(), 8u);
  EXPECT_EQ(ended.resolved_device(), "cpu");
  EXPECT_EQ(ended.composition().status(), "PASS");
  EXPECT_TRUE(ended.has_bundle());
  EXPECT_EQ(ended.labels().at("team"), "vision");
  EXPECT_EQ(ended.source().files(0).size_bytes(), std::string(kModelSource).size());

  // Events: numbers rise, states begin queued and end succeeded, both steps are said to be finished.
  ASSERT_FALSE(events.empty());
  int steps = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_GT(events[i].number(), i == 0 ? 0 : events[i - 1].number());
    steps += events[i].has_step_finished();
  }
  EXPECT_EQ(events.front().state_changed().state(), v1::STATE_QUEUED);
  EXPECT_EQ(events.back().state_changed().state(), v1::STATE_SUCCEEDED);
  EXPECT_EQ(events.back().number(), ended.last_event());
  EXPECT_EQ(steps, 2);

  // The rest is a question of rows, so it answers the same after a restart.
  server_.Stop();
  server_.Start();
  v1::Tree tree;
  ASSERT_TRUE(Call(&v1::Strata::Stub::GetTree, Of<v1::GetTreeRequest>(ended.id()), &tree).ok());
  EXPECT_EQ(tree.root(), "mlp");
  EXPECT_EQ(tree.verification_status(), "PASS");
  ASSERT_EQ(tree.nodes_size(), 5);
  EXPECT_THAT(tree.nodes(0).children(), ElementsAre("linear_relu", "linear_8x2_fp32"));
  EXPECT_EQ(tree.nodes(1).level(), v1::LEVEL_FUSION);
  EXPECT_EQ(tree.nodes(1).step(), "step_2_linear_relu_to_kernels");
  EXPECT_EQ(tree.nodes(1).verification(), v1::TASK_STATE_PASSED);
  EXPECT_THAT(tree.nodes(1).inputs(0).shape(), ElementsAre(3, 4));
  EXPECT_EQ(tree.nodes(1).calls(0).calls(), 1u);
  EXPECT_EQ(tree.nodes(1).workloads_size(), 1);
  EXPECT_EQ(tree.nodes(4).instances(0).scope(), "net");
  EXPECT_EQ(tree.data_flow(0).to(), "mlp/linear_relu#0");

  v1::ListStepsResponse listed;
  ASSERT_TRUE(Call(&v1::Strata::Stub::ListSteps, Of<v1::ListStepsRequest>(ended.id()), &listed).ok());
  ASSERT_EQ(listed.steps_size(), 2);
  EXPECT_EQ(listed.steps(1).component(), "linear_relu");
  EXPECT_EQ(listed.steps(1).status(), "PASS");
  EXPECT_EQ(listed.steps(1).verify(), v1::TASK_STATE_PASSED);
  EXPECT_TRUE(listed.steps(1).bit_exact());
  EXPECT_EQ(listed.steps(1).coverage_pct(), 100.0);

  auto ask_step = Of<v1::GetStepResultRequest>(ended.id());
  ask_step.set_step("linear_relu");
  v1::StepResult result;
  ASSERT_TRUE(Call(&v1::Strata::Stub::GetStepResult, ask_step, &result).ok());
  ASSERT_EQ(result.trials_size(), 1);
  EXPECT_EQ(result.trials(0).seed(), 42u);
  EXPECT_TRUE(result.trials(0).outputs(0).matches());
  EXPECT_EQ(result.weights_mapped(), 2u);
  EXPECT_THAT(result.environment_json(), HasSubstr("2.13.0"));
  EXPECT_THAT(result.verification_result_json(), HasSubstr("\"bit_exact\": true"));
  ask_step.set_step("nonsense");
  EXPECT_EQ(InfoOf(Call(&v1::Strata::Stub::GetStepResult, ask_step, &result)).reason(), "STEP_NOT_FOUND");

  v1::ListLogEntriesResponse log;
  ASSERT_TRUE(Call(&v1::Strata::Stub::ListLogEntries, Of<v1::ListLogEntriesRequest>(ended.id()), &log).ok());
  ASSERT_EQ(log.entries_size(), 1) << "publish's joined log replaces those of the tasks";
  EXPECT_EQ(log.entries(0).step(), "joined");

  v1::Coverage coverage;
  ASSERT_TRUE(Call(&v1::Strata::Stub::GetCoverage, Of<v1::GetCoverageRequest>(ended.id()), &coverage).ok());
  EXPECT_EQ(coverage.status(), "FULL_COVERAGE");
  EXPECT_EQ(coverage.operators_size(), 2);
  EXPECT_EQ(coverage.plumbing().at("view"), 2u);
  auto ask_coverage = Of<v1::GetCoverageRequest>(ended.id());
  ask_coverage.set_step("step_1_mlp_to_fusions");
  ASSERT_TRUE(Call(&v1::Strata::Stub::GetCoverage, ask_coverage, &coverage).ok());
  EXPECT_EQ(coverage.step(), "step_1_mlp_to_fusions");
}

TEST_F(Results, BundleHasTheSubmissionAndWhatTheTasksWroteButNotTheirNotes) {
  const auto job = server_.Submit("r1");
  grpc::Status status;
  Download(stub(), Of<v1::DownloadBundleRequest>(job.id()), &status);
  EXPECT_EQ(InfoOf(status).reason(), "NOT_READY");
  FakeWorker worker(server_, "w1");
  server_.WaitForEnd(job.id());
  const Files files = Download(stub(), Of<v1::DownloadBundleRequest>(job.id()), &status);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(files.at("source/mlp.py"), kModelSource);
  EXPECT_EQ(files.at("level_3_model/mlp.py"), "# mlp\n");
  EXPECT_EQ(files.at("steps/step_1_mlp_to_fusions/children/__init__.py"), "");
  EXPECT_THAT(files.at("decomposition_tree.json"), HasSubstr("\"PASS\"")) << "publish's tree";
  for (const auto& [path, _] : files) EXPECT_NE(path.substr(0, 8), ".strata/");
  auto some = Of<v1::DownloadBundleRequest>(job.id());
  some.set_path_prefix("steps/");
  some.set_after_path("steps/step_1_mlp_to_fusions/refactored.py");
  EXPECT_EQ(Download(stub(), some, &status).size(), 2u + 5u - 1u) << "the rest of step 1 and all of step 2";
}

TEST_F(Results, TarOfABundleIsTheSameTwice) {
  const auto job = server_.Submit("r1");
  FakeWorker worker(server_, "w1");
  server_.WaitForEnd(job.id());
  auto request = Of<v1::DownloadBundleRequest>(job.id());
  request.set_format(v1::BUNDLE_FORMAT_TAR_ZST);
  grpc::Status status;
  const std::string tar = Download(stub(), request, &status)[""];
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(tar.substr(0, 4), "\x28\xb5\x2f\xfd");
  EXPECT_EQ(tar, Download(stub(), request, &status)[""]);
  const std::string path = server_.folder() + "/b.tar.zst";
  std::ofstream(path, std::ios::binary) << tar;
  const std::string out = server_.folder() + "/out";
  ASSERT_EQ(std::system(("mkdir " + out + " && zstd -dqc " + path + " | tar -x -C " + out).c_str()), 0);
  EXPECT_TRUE(std::filesystem::exists(out + "/steps/step_2_linear_relu_to_kernels/verification_result.json"));
}

TEST_F(Results, TarKeepsNamesOutsideAscii) {
  const std::string name = "ünï" + std::string(120, 'x') + ".py";
  const auto job = server_.Submit("r1", {}, name);
  FakeWorker worker(server_, "w1");
  server_.WaitForEnd(job.id());
  auto request = Of<v1::DownloadBundleRequest>(job.id());
  request.set_format(v1::BUNDLE_FORMAT_TAR_ZST);
  grpc::Status status;
  const std::string tar = Download(stub(), request, &status)[""];
  ASSERT_TRUE(status.ok()) << status.error_message();
  const std::string path = server_.folder() + "/b.tar.zst";
  std::ofstream(path, std::ios::binary) << tar;
  const std::string out = server_.folder() + "/out";
  ASSERT_EQ(std::system(("mkdir " + out + " && zstd -dqc " + path + " | tar -x -C " + out).c_str()), 0);
  EXPECT_TRUE(std::filesystem::exists(out + "/source/" + name));
}

TEST_F(Results, WatchResumesAfterAnEventNumber) {
  const auto job = server_.Submit("r1");
  FakeWorker worker(server_, "w1");
  std::vector<v1::Event> all;
  server_.WaitForEnd(job.id(), &all);
  auto request = Of<v1::WatchDecompositionRequest>(job.id());
  request.set_after_event(all[2].number());
  grpc::ClientContext context;
  auto reader = stub().WatchDecomposition(&context, request);
  v1::Event event;
  std::vector<uint64_t> numbers;
  while (reader->Read(&event)) numbers.push_back(event.number());
  EXPECT_TRUE(reader->Finish().ok());
  ASSERT_EQ(numbers.size(), all.size() - 3);
  EXPECT_EQ(numbers.front(), all[3].number());
}

TEST_F(Results, WatchOfAllJobsGoesOn) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  auto reader = stub().WatchDecomposition(&context, v1::WatchDecompositionRequest());
  const auto a = server_.Submit("a");
  const auto b = server_.Submit("b");
  v1::Event event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.decomposition_id(), a.id());
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.decomposition_id(), b.id());
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(Results, FailureOfTheUserReachesTheClientWithFileAndLine) {
  FakeWorker worker(server_, "w1", [](const v1::Lease&) {
    FakeWorker::Work work{.status = v1::RESULT_STATUS_FAILED, .output = "hello from forward\n"};
    work.failure.set_kind(v1::FAILURE_KIND_USER);
    work.failure.set_message("forward raised ValueError: no");
    work.failure.set_file("mlp.py");
    work.failure.set_line(7);
    work.failure.set_traceback("Traceback …");
    return work;
  });
  const auto job = server_.WaitForEnd(server_.Submit("r1").id());
  EXPECT_EQ(job.state(), v1::STATE_FAILED);
  EXPECT_EQ(job.failure().kind(), v1::FAILURE_KIND_USER);
  EXPECT_EQ(job.failure().line(), 7u);
  EXPECT_EQ(job.failure().task_id(), "prepare");
  EXPECT_FALSE(job.has_bundle());
  grpc::Status status;
  Download(stub(), Of<v1::DownloadBundleRequest>(job.id()), &status);
  EXPECT_EQ(InfoOf(status).reason(), "NO_BUNDLE");
  v1::GetJobLogsResponse logs;
  ASSERT_TRUE(Call(&v1::Strata::Stub::GetJobLogs, Of<v1::GetJobLogsRequest>(job.id()), &logs).ok());
  ASSERT_EQ(logs.attempts_size(), 1);
  EXPECT_EQ(logs.attempts(0).outcome(), "FAILED");
  EXPECT_EQ(logs.attempts(0).stdout(), "hello from forward\n");
  EXPECT_EQ(logs.attempts(0).worker(), "host-w1");
  EXPECT_EQ(logs.attempts(0).failure().traceback(), "Traceback …");
}

TEST_F(Results, GateFailureDeliversWhatIsProved) {
  FakeWorker worker(server_, "w1", [](const v1::Lease& lease) {
    FakeWorker::Work work{.files = OutputsOf(lease)};
    if (lease.task_id() != "verify/linear_relu") return work;
    for (auto& [path, content] : work.files) {
      if (const size_t at = content.find("\"status\": \"PASS\""); at != std::string::npos)
        content.replace(at, 16, "\"status\": \"FAIL\"");
    }
    work.status = v1::RESULT_STATUS_GATE_FAILED;
    work.failure.set_kind(v1::FAILURE_KIND_GATE);
    work.failure.set_message("max_diff 0.5");
    return work;
  });
  const auto job = server_.WaitForEnd(server_.Submit("r1").id());
  EXPECT_EQ(job.state(), v1::STATE_FAILED);
  EXPECT_EQ(job.failure().kind(), v1::FAILURE_KIND_GATE);
  EXPECT_EQ(job.failure().component(), "linear_relu");
  EXPECT_EQ(job.counts().steps_done(), 1u);
  EXPECT_EQ(job.counts().steps_failed(), 1u);
  EXPECT_TRUE(job.has_bundle());
  v1::ListStepsResponse steps;
  ASSERT_TRUE(Call(&v1::Strata::Stub::ListSteps, Of<v1::ListStepsRequest>(job.id()), &steps).ok());
  EXPECT_EQ(steps.steps(1).status(), "FAIL");
  EXPECT_EQ(steps.steps(1).verify(), v1::TASK_STATE_GATE_FAILED);
}

TEST_F(Results, AStepWhoseOperatorsAreNotAllCoveredHasFailedThoughItsNumbersAgree) {
  FakeWorker worker(server_, "w1", [](const v1::Lease& lease) {
    FakeWorker::Work work{.files = OutputsOf(lease)};
    if (lease.task_id() != "verify/linear_relu") return work;
    for (auto& [path, content] : work.files) {
      if (const size_t at = content.find("FULL_COVERAGE"); at != std::string::npos)
        content.replace(at, 13, "PARTIAL_COVERAGE");
    }
    work.status = v1::RESULT_STATUS_GATE_FAILED;
    work.failure.set_kind(v1::FAILURE_KIND_GATE);
    work.failure.set_message("coverage: missing [sum]");
    return work;
  });
  const auto job = server_.WaitForEnd(server_.Submit("r1").id());
  EXPECT_EQ(job.state(), v1::STATE_FAILED);
  v1::ListStepsResponse steps;
  ASSERT_TRUE(Call(&v1::Strata::Stub::ListSteps, Of<v1::ListStepsRequest>(job.id()), &steps).ok());
  EXPECT_EQ(steps.steps(0).status(), "PASS");
  EXPECT_EQ(steps.steps(1).status(), "FAIL");
}

}  // namespace
}  // namespace strata::testing
