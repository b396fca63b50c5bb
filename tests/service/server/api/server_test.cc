// Every RPC against a real server: real gRPC, real SQLite, a fake worker that speaks the real protocol.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/sha256.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/store/sqlite.h"
#include "tests/service/server/api/live_server.h"

namespace strata::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class Service : public ::testing::Test {
 protected:
  void SetUp() override { server_.Start(); }
  v1::Strata::Stub& stub() { return server_.strata(); }

  // One unary call with its own context.
  template <typename Request, typename Reply>
  grpc::Status Call(grpc::Status (v1::Strata::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply) {
    grpc::ClientContext context;
    return (stub().*method)(&context, request, reply);
  }
  grpc::Status StartUpload(const std::string& digest, uint64_t size, v1::Upload* upload) {
    v1::StartUploadRequest request;
    request.set_digest(digest);
    request.set_size_bytes(size);
    return Call(&v1::Strata::Stub::StartUpload, request, upload);
  }
  grpc::Status SendChunk(const std::string& digest, uint64_t offset, const std::string& data, v1::Upload* upload) {
    grpc::ClientContext context;
    auto writer = stub().UploadChunks(&context, upload);
    v1::UploadChunk chunk;
    chunk.set_digest(digest);
    chunk.set_offset(offset);
    chunk.set_data(data);
    writer->Write(chunk);
    writer->WritesDone();
    return writer->Finish();
  }
  template <typename Request>
  Request Of(const std::string& id) {
    Request request;
    request.set_decomposition_id(id);
    return request;
  }

  LiveServer server_;
};

TEST_F(Service, UploadResumesWhereItStopped) {
  const std::string content(100000, 'x');
  const std::string digest = Sha256Hex(content);
  v1::Upload upload;
  ASSERT_TRUE(StartUpload(digest, content.size(), &upload).ok());
  EXPECT_EQ(upload.committed_bytes(), 0u);
  ASSERT_TRUE(SendChunk(digest, 0, content.substr(0, 60000), &upload).ok());
  EXPECT_EQ(upload.committed_bytes(), 60000u);
  EXPECT_FALSE(upload.complete());
  server_.Stop();
  server_.Start();
  ASSERT_TRUE(StartUpload(digest, content.size(), &upload).ok());
  EXPECT_EQ(upload.committed_bytes(), 60000u);
  const grpc::Status wrong = SendChunk(digest, 0, content, &upload);
  EXPECT_EQ(wrong.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(InfoOf(wrong).metadata().at("committed_bytes"), "60000");
  ASSERT_TRUE(SendChunk(digest, 60000, content.substr(60000), &upload).ok());
  EXPECT_TRUE(upload.complete());
  ASSERT_TRUE(StartUpload(digest, content.size(), &upload).ok());
  EXPECT_TRUE(upload.complete());
}

TEST_F(Service, UploadOverTheLimitIsRefusedBeforeAByteIsSent) {
  v1::Upload upload;
  const grpc::Status status = StartUpload(std::string(64, 'a'), 600u << 20, &upload);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(status).reason(), "FILE_TOO_LARGE");
  EXPECT_EQ(ViolatedField(status), "size_bytes");
  EXPECT_THAT(status.error_message(), AllOf(HasSubstr("629145600"), HasSubstr("64 MiB")));
}

TEST_F(Service, EmptyFileIsRefused) {
  v1::Upload upload;
  EXPECT_EQ(InfoOf(StartUpload(Sha256Hex(""), 0, &upload)).reason(), "EMPTY_FILE");
}

TEST_F(Service, BytesOfAnotherDigestAreThrownAway) {
  v1::Upload upload;
  const std::string digest = Sha256Hex("right");
  ASSERT_TRUE(StartUpload(digest, 5, &upload).ok());
  EXPECT_EQ(InfoOf(SendChunk(digest, 0, "wrong", &upload)).reason(), "DIGEST_MISMATCH");
  ASSERT_TRUE(StartUpload(digest, 5, &upload).ok());
  EXPECT_EQ(upload.committed_bytes(), 0u);
  EXPECT_TRUE(SendChunk(digest, 0, "right", &upload).ok());
}

TEST_F(Service, MoreThanAnnouncedIsRefused) {
  v1::Upload upload;
  const std::string digest = Sha256Hex("right");
  ASSERT_TRUE(StartUpload(digest, 5, &upload).ok());
  EXPECT_EQ(InfoOf(SendChunk(digest, 0, "right and more", &upload)).reason(), "LONGER_THAN_ANNOUNCED");
  EXPECT_EQ(InfoOf(SendChunk(Sha256Hex("never"), 0, "never", &upload)).reason(), "NOT_ANNOUNCED");
}

TEST_F(Service, SameRequestTwiceIsOneDecomposition) {
  const auto first = server_.Submit("r1");
  const auto again = server_.Submit("r1");
  EXPECT_EQ(first.id(), again.id());
  v1::CreateDecompositionRequest other;
  other.set_request_id("r1");
  other.mutable_source()->add_files()->set_path("other.py");
  other.mutable_source()->mutable_files(0)->set_digest(server_.Upload("print(1)\n"));
  v1::Decomposition reply;
  const grpc::Status status = Call(&v1::Strata::Stub::CreateDecomposition, other, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(InfoOf(status).metadata().at("decomposition_id"), first.id());
}

TEST_F(Service, BadSubmissionsNameTheField) {
  struct Case {
    const char* field;
    void (*spoil)(v1::CreateDecompositionRequest&);
  };
  const std::string digest = server_.Upload("x");
  const Case cases[] = {
      {"request_id", [](auto& r) { r.set_request_id(""); }},
      {"request_id", [](auto& r) { r.set_request_id("a b"); }},
      {"source.files", [](auto& r) { r.mutable_source()->clear_files(); }},
      {"source.files[0].path", [](auto& r) { r.mutable_source()->mutable_files(0)->set_path("../x.py"); }},
      {"source.files[0].path", [](auto& r) { r.mutable_source()->mutable_files(0)->set_path("/etc/x.py"); }},
      {"source.files[0].digest", [](auto& r) { r.mutable_source()->mutable_files(0)->set_digest("ABC"); }},
      {"source.files[1].path", [](auto& r) { *r.mutable_source()->add_files() = r.source().files(0); }},
      {"source.entry", [](auto& r) { r.mutable_source()->set_entry("y.py"); }},
      {"labels[a b]", [](auto& r) { (*r.mutable_labels())["a b"] = "x"; }},
      {"threads", [](auto& r) { r.set_threads(5000); }},
  };
  for (const Case& c : cases) {
    v1::CreateDecompositionRequest request;
    request.set_request_id("r");
    request.mutable_source()->add_files()->set_path("x.py");
    request.mutable_source()->mutable_files(0)->set_digest(digest);
    c.spoil(request);
    v1::Decomposition reply;
    const grpc::Status status = Call(&v1::Strata::Stub::CreateDecomposition, request, &reply);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << c.field;
    EXPECT_EQ(ViolatedField(status), c.field);
  }
}

TEST_F(Service, SubmissionOfAFileThatWasNotUploadedIsRefused) {
  v1::CreateDecompositionRequest request;
  request.set_request_id("r");
  request.mutable_source()->add_files()->set_path("x.py");
  request.mutable_source()->mutable_files(0)->set_digest(Sha256Hex("never sent"));
  v1::Decomposition reply;
  const grpc::Status status = Call(&v1::Strata::Stub::CreateDecomposition, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(InfoOf(status).reason(), "NOT_UPLOADED");
}

TEST_F(Service, WorkerDrivesAJobToItsBundle) {
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

Files Download(v1::Strata::Stub& stub, const v1::DownloadBundleRequest& request, grpc::Status* status) {
  grpc::ClientContext context;
  auto reader = stub.DownloadBundle(&context, request);
  v1::BundleChunk chunk;
  Files files;
  std::string path;
  while (reader->Read(&chunk)) {
    if (chunk.has_file()) files[path = chunk.file().path()] = "";
    if (chunk.kind_case() == v1::BundleChunk::kData) files[path] += chunk.data();
  }
  *status = reader->Finish();
  return files;
}

TEST_F(Service, BundleHasTheSubmissionAndWhatTheTasksWroteButNotTheirNotes) {
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
  EXPECT_EQ(Download(stub(), some, &status).size(), 2u + 5u - 1u)
      << "the rest of step 1 and all of step 2";
}

TEST_F(Service, TarOfABundleIsTheSameTwice) {
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

TEST_F(Service, WatchResumesAfterAnEventNumber) {
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

TEST_F(Service, WatchOfAllJobsGoesOn) {
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

TEST_F(Service, UnknownIdsAreNotFoundEverywhere) {
  const auto expect = [](const grpc::Status& status) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(InfoOf(status).reason(), "DECOMPOSITION_NOT_FOUND");
    EXPECT_EQ(InfoOf(status).domain(), "strata");
  };
  v1::Decomposition decomposition;
  v1::Tree tree;
  v1::ListStepsResponse steps;
  v1::StepResult result;
  v1::ListLogEntriesResponse log;
  v1::GetJobLogsResponse logs;
  v1::Coverage coverage;
  v1::DeleteDecompositionResponse deleted;
  expect(Call(&v1::Strata::Stub::GetDecomposition, Of<v1::GetDecompositionRequest>("d-x"), &decomposition));
  expect(Call(&v1::Strata::Stub::CancelDecomposition, Of<v1::CancelDecompositionRequest>("d-x"), &decomposition));
  expect(Call(&v1::Strata::Stub::DeleteDecomposition, Of<v1::DeleteDecompositionRequest>("d-x"), &deleted));
  expect(Call(&v1::Strata::Stub::GetTree, Of<v1::GetTreeRequest>("d-x"), &tree));
  expect(Call(&v1::Strata::Stub::ListSteps, Of<v1::ListStepsRequest>("d-x"), &steps));
  expect(Call(&v1::Strata::Stub::GetStepResult, Of<v1::GetStepResultRequest>("d-x"), &result));
  expect(Call(&v1::Strata::Stub::ListLogEntries, Of<v1::ListLogEntriesRequest>("d-x"), &log));
  expect(Call(&v1::Strata::Stub::GetJobLogs, Of<v1::GetJobLogsRequest>("d-x"), &logs));
  expect(Call(&v1::Strata::Stub::GetCoverage, Of<v1::GetCoverageRequest>("d-x"), &coverage));
  grpc::Status status;
  Download(stub(), Of<v1::DownloadBundleRequest>("d-x"), &status);
  expect(status);
  grpc::ClientContext context;
  expect(stub().WatchDecomposition(&context, Of<v1::WatchDecompositionRequest>("d-x"))->Finish());
}

TEST_F(Service, ListFiltersOrdersAndPages) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(server_.Submit("r" + std::to_string(i), {{"parity", i % 2 == 0 ? "even" : "odd"}, {"n", std::to_string(i)}}).id());
  }
  const auto list = [&](v1::ListDecompositionsRequest request) {
    v1::ListDecompositionsResponse reply;
    std::vector<std::string> found;
    do {
      const grpc::Status status = Call(&v1::Strata::Stub::ListDecompositions, request, &reply);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const auto& d : reply.decompositions()) found.push_back(d.id());
      request.set_page_token(reply.next_page_token());
    } while (!reply.next_page_token().empty());
    return found;
  };
  v1::ListDecompositionsRequest request;
  request.set_page_size(2);
  EXPECT_THAT(list(request), ElementsAre(ids[4], ids[3], ids[2], ids[1], ids[0]));
  request.set_order(v1::ORDER_CREATED_ASC);
  EXPECT_THAT(list(request), ElementsAre(ids[0], ids[1], ids[2], ids[3], ids[4]));
  request.set_order(v1::ORDER_MODEL_NAME_ASC);
  EXPECT_THAT(list(request), ElementsAre(ids[4], ids[3], ids[2], ids[1], ids[0]));
  (*request.mutable_labels())["parity"] = "odd";
  EXPECT_THAT(list(request), ElementsAre(ids[3], ids[1]));
  (*request.mutable_labels())["n"] = "1";
  EXPECT_THAT(list(request), ElementsAre(ids[1]));
  request.clear_labels();
  request.set_model_name("other");
  EXPECT_THAT(list(request), IsEmpty());
  request.clear_model_name();
  v1::Decomposition canceled;
  ASSERT_TRUE(Call(&v1::Strata::Stub::CancelDecomposition, Of<v1::CancelDecompositionRequest>(ids[2]), &canceled).ok());
  request.add_states(v1::STATE_CANCELED);
  EXPECT_THAT(list(request), ElementsAre(ids[2]));
  request.clear_states();
  *request.mutable_created_before() = server_.Get(ids[1]).create_time();
  EXPECT_THAT(list(request), ElementsAre(ids[0]));

  v1::ListDecompositionsResponse page;
  v1::ListDecompositionsRequest first;
  first.set_page_size(1);
  ASSERT_TRUE(Call(&v1::Strata::Stub::ListDecompositions, first, &page).ok());
  first.set_page_token(page.next_page_token());
  first.set_model_name("mlp");
  EXPECT_EQ(ViolatedField(Call(&v1::Strata::Stub::ListDecompositions, first, &page)), "page_token");
}

TEST_F(Service, CancelKillsTheTaskAndDeleteRemovesTheJob) {
  FakeWorker worker(server_, "w1", [](const v1::Lease&) { return FakeWorker::Work{.never = true}; });
  const auto job = server_.Submit("r1");
  while (worker.seen().empty()) absl::SleepFor(absl::Milliseconds(20));
  v1::DeleteDecompositionResponse deleted;
  EXPECT_EQ(InfoOf(Call(&v1::Strata::Stub::DeleteDecomposition, Of<v1::DeleteDecompositionRequest>(job.id()), &deleted)).reason(),
            "STILL_RUNNING");
  auto cancel = Of<v1::CancelDecompositionRequest>(job.id());
  cancel.set_reason("not needed");
  v1::Decomposition reply;
  ASSERT_TRUE(Call(&v1::Strata::Stub::CancelDecomposition, cancel, &reply).ok());
  EXPECT_EQ(reply.state(), v1::STATE_CANCELING);
  std::vector<v1::Event> events;
  EXPECT_EQ(server_.WaitForEnd(job.id(), &events).state(), v1::STATE_CANCELED);
  EXPECT_EQ(worker.revoked(), worker.seen());
  ASSERT_TRUE(Call(&v1::Strata::Stub::CancelDecomposition, cancel, &reply).ok()) << "again is no error";
  ASSERT_TRUE(Call(&v1::Strata::Stub::DeleteDecomposition, Of<v1::DeleteDecompositionRequest>(job.id()), &deleted).ok());
  EXPECT_EQ(deleted.files_removed(), 1u);
  const std::string digest = Sha256Hex(kModelSource);
  EXPECT_FALSE(std::filesystem::exists(server_.folder() + "/data/blobs/" + digest.substr(0, 2) + "/" + digest));
  EXPECT_EQ(server_.Submit("r1").state(), v1::STATE_RUNNING) << "its request id is free again";
}

TEST_F(Service, FailureOfTheUserReachesTheClientWithFileAndLine) {
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

TEST_F(Service, GateFailureDeliversWhatIsProved) {
  FakeWorker worker(server_, "w1", [](const v1::Lease& lease) {
    FakeWorker::Work work{.files = OutputsOf(lease)};
    if (lease.task_id() != "verify/linear_relu") return work;
    for (auto& [path, content] : work.files) {
      if (const size_t at = content.find("\"status\": \"PASS\""); at != std::string::npos) content.replace(at, 16, "\"status\": \"FAIL\"");
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

TEST_F(Service, AWorkersWordAlonePassesNoGate) {
  struct Case {
    const char* task;
    const char* message;
    void (*spoil)(Files&);
  };
  const Case cases[] = {
      {"prepare", "without .strata/jobs.json", [](Files& f) { f.erase(".strata/jobs.json"); }},
      {"prepare", "is no JSON", [](Files& f) { f["decomposition_tree.json"] = "{"; }},
      {"prepare", "nested deeper", [](Files& f) { f[".strata/jobs.json"] = std::string(100000, '['); }},
      {"prepare", "no level of the four", [](Files& f) { f[".strata/jobs.json"] = R"({"root": "a", "components": [{"id": "a", "level": null}]})"; }},
      {"prepare", "wrote source/mlp.py", [](Files& f) { f["source/mlp.py"] = "changed"; }},
      {"prepare", "leads out of the bundle", [](Files& f) { f["../../etc/passwd"] = "x"; }},
      {"verify/mlp", "without steps/step_1_mlp_to_fusions/verification_result.json",
       [](Files& f) { f.erase("steps/step_1_mlp_to_fusions/verification_result.json"); }},
      {"verify/mlp", "is FAIL", [](Files& f) { f["steps/step_1_mlp_to_fusions/verification_result.json"] = R"({"status": "FAIL"})"; }},
      {"verify/mlp", "not its own", [](Files& f) { f["steps/step_9/verification_result.json"] = R"({"status": "PASS"})"; }},
      {"compose", "says FAIL", [](Files& f) { f[".strata/composition.json"] = R"({"status": "FAIL"})"; }},
      {"coverage", "without verification/coverage_summary.json", [](Files& f) { f.clear(); }},
      {"decompose/linear_relu", "with other bytes", [](Files& f) { f["level_3_model/mlp.py"] = "# another\n"; }},
  };
  int n = 0;
  for (const Case& c : cases) {
    FakeWorker worker(server_, "w" + std::to_string(n), [&c](const v1::Lease& lease) {
      FakeWorker::Work work{.files = OutputsOf(lease)};
      if (lease.task_id() == c.task) c.spoil(work.files);
      return work;
    });
    const auto job = server_.WaitForEnd(server_.Submit("r" + std::to_string(n++)).id());
    EXPECT_EQ(job.state(), v1::STATE_FAILED) << c.message;
    EXPECT_EQ(job.failure().kind(), v1::FAILURE_KIND_OURS) << c.message;
    EXPECT_THAT(job.failure().message(), HasSubstr(c.message));
  }
}

TEST_F(Service, JobGoesOnAfterTheServerWasRestarted) {
  std::atomic<bool> go{false};
  FakeWorker worker(server_, "w1", [&go](const v1::Lease& lease) {
    while (lease.task_id() == "verify/mlp" && !go) absl::SleepFor(absl::Milliseconds(10));
    return FakeWorker::Work{.files = OutputsOf(lease)};
  });
  const auto job = server_.Submit("r1");
  while (worker.seen().size() < 3) absl::SleepFor(absl::Milliseconds(20));
  server_.Stop();
  server_.Start();
  go = true;
  const auto ended = server_.WaitForEnd(job.id());
  EXPECT_EQ(ended.state(), v1::STATE_SUCCEEDED) << ended.ShortDebugString();
}

TEST_F(Service, LeaseOfASilentWorkerIsGivenToAnother) {
  FakeWorker silent(server_, "silent", [](const v1::Lease&) { return FakeWorker::Work{.mute = true}; });
  const auto job = server_.Submit("r1");
  while (silent.seen().empty()) absl::SleepFor(absl::Milliseconds(20));
  FakeWorker good(server_, "good");
  const auto ended = server_.WaitForEnd(job.id());
  EXPECT_EQ(ended.state(), v1::STATE_SUCCEEDED);
  v1::GetJobLogsRequest request = Of<v1::GetJobLogsRequest>(job.id());
  request.set_failed_only(true);
  v1::GetJobLogsResponse logs;
  ASSERT_TRUE(Call(&v1::Strata::Stub::GetJobLogs, request, &logs).ok());
  ASSERT_GE(logs.attempts_size(), 1);
  EXPECT_EQ(logs.attempts(0).outcome(), "LOST");
}

TEST_F(Service, OutputIsKeptUpToTheCapAndTheRestCounted) {
  FakeWorker worker(server_, "w1", [](const v1::Lease&) {
    FakeWorker::Work work{.status = v1::RESULT_STATUS_FAILED, .output = std::string(1 << 20, 'x')};
    work.failure.set_kind(v1::FAILURE_KIND_LIMITS);
    return work;
  });
  const auto job = server_.WaitForEnd(server_.Submit("r1").id());
  v1::GetJobLogsResponse logs;
  ASSERT_TRUE(Call(&v1::Strata::Stub::GetJobLogs, Of<v1::GetJobLogsRequest>(job.id()), &logs).ok());
  EXPECT_EQ(logs.attempts(0).stdout().size(), 256u << 10);
  EXPECT_EQ(logs.attempts(0).stdout_dropped_bytes(), 768u << 10);
}

TEST_F(Service, ListWorkersSaysWhoDoesWhat) {
  FakeWorker worker(server_, "w1", [](const v1::Lease&) { return FakeWorker::Work{.never = true}; });
  const auto job = server_.Submit("r1");
  while (worker.seen().empty()) absl::SleepFor(absl::Milliseconds(20));
  v1::ListWorkersResponse reply;
  ASSERT_TRUE(Call(&v1::Strata::Stub::ListWorkers, v1::ListWorkersRequest(), &reply).ok());
  ASSERT_EQ(reply.workers_size(), 1);
  EXPECT_TRUE(reply.workers(0).connected());
  EXPECT_EQ(reply.workers(0).slots(), 2u);
  EXPECT_EQ(reply.workers(0).busy(), 1u);
  EXPECT_THAT(reply.workers(0).task_ids(), ElementsAre(job.id() + "/prepare"));
  const auto running = server_.Get(job.id()).running_tasks();
  ASSERT_EQ(running.size(), 1);
  EXPECT_EQ(running[0].worker(), "host-w1");
}

TEST_F(Service, WorkersFetchTheirInputsAndAskWhatIsMissing) {
  const std::string digest = server_.Upload("content");
  v1::FindMissingBlobsRequest ask;
  ask.add_digests(digest);
  ask.add_digests(Sha256Hex("unknown"));
  v1::FindMissingBlobsResponse missing;
  grpc::ClientContext context;
  ASSERT_TRUE(server_.worker().FindMissingBlobs(&context, ask, &missing).ok());
  EXPECT_THAT(missing.digests(), ElementsAre(Sha256Hex("unknown")));
  v1::GetBlobRequest get;
  get.set_digest(digest);
  grpc::ClientContext get_context;
  auto reader = server_.worker().GetBlob(&get_context, get);
  v1::GetBlobChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(chunk.data(), "content");
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_TRUE(reader->Finish().ok());
  get.set_digest(Sha256Hex("unknown"));
  grpc::ClientContext unknown;
  EXPECT_EQ(server_.worker().GetBlob(&unknown, get)->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(Service, ResultWithMissingContentsIsSentBack) {
  const auto job = server_.Submit("r1");
  grpc::ClientContext context;
  auto stream = server_.worker().Session(&context);
  v1::WorkerMessage message;
  message.mutable_register_()->set_worker_id("w");
  message.mutable_register_()->set_slots(1);
  message.mutable_register_()->add_devices("cpu");
  stream->Write(message);
  v1::ServerMessage reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.registered().lease_seconds(), 3u);
  ASSERT_TRUE(stream->Read(&reply));
  const v1::Lease lease = reply.lease();
  EXPECT_EQ(lease.source(), "source/mlp.py");
  ASSERT_EQ(lease.inputs_size(), 1);
  EXPECT_EQ(lease.inputs(0).path(), "source/mlp.py");
  message.Clear();
  message.mutable_result()->set_lease_id(lease.lease_id());
  message.mutable_result()->set_status(v1::RESULT_STATUS_PASSED);
  message.mutable_result()->add_outputs()->set_path("a.py");
  message.mutable_result()->mutable_outputs(0)->set_digest(Sha256Hex("not stored"));
  stream->Write(message);
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.ack().outcome(), v1::ACK_OUTCOME_MISSING_BLOBS);
  EXPECT_THAT(reply.ack().missing_digests(), ElementsAre(Sha256Hex("not stored")));
  message.Clear();
  message.mutable_result()->set_lease_id(lease.lease_id() + "7");
  message.mutable_result()->set_status(v1::RESULT_STATUS_PASSED);
  stream->Write(message);
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.ack().outcome(), v1::ACK_OUTCOME_STALE);
  context.TryCancel();
  stream->Finish();
}

TEST_F(Service, StreamThatDoesNotRegisterIsEnded) {
  grpc::ClientContext context;
  auto stream = server_.worker().Session(&context);
  v1::WorkerMessage message;
  message.mutable_heartbeat();
  stream->Write(message);
  EXPECT_EQ(InfoOf(stream->Finish()).reason(), "NOT_REGISTERED");
}

TEST_F(Service, HealthAndReflectionAnswer) {
  auto health = grpc::health::v1::Health::NewStub(server_.channel());
  for (const char* name : {"", "strata.v1.Strata", "strata.v1.Worker"}) {
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(name);
    grpc::health::v1::HealthCheckResponse reply;
    grpc::ClientContext context;
    ASSERT_TRUE(health->Check(&context, request, &reply).ok()) << name;
    EXPECT_EQ(reply.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  }
}

TEST_F(Service, ContentThatCannotBeStoredIsAskedForAgain) {
  const std::string blobs = server_.folder() + "/data/blobs";
  std::filesystem::rename(blobs, blobs + ".away");
  std::ofstream(blobs) << "no folder";
  v1::Upload upload;
  const std::string content = "class Model: pass";
  ASSERT_TRUE(StartUpload(Sha256Hex(content), content.size(), &upload).ok());
  const grpc::Status status = SendChunk(Sha256Hex(content), 0, content, &upload);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_TRUE(SaysRetry(status));
  std::filesystem::remove(blobs);
  std::filesystem::rename(blobs + ".away", blobs);
  EXPECT_EQ(server_.Upload(content), Sha256Hex(content));
}

TEST_F(Service, WhenACommitFailsCallersHearTryAgainAndTheJobGoesOn) {
  std::atomic<bool> go{false};
  FakeWorker worker(server_, "w1", [&go](const v1::Lease& lease) {
    while (!go) absl::SleepFor(absl::Milliseconds(10));
    return FakeWorker::Work{.files = OutputsOf(lease)};
  });
  const auto job = server_.Submit("r1");
  while (worker.seen().empty()) absl::SleepFor(absl::Milliseconds(10));
  {
    // Somebody else holds the database for longer than the server waits.
    auto other = *store::Database::OpenWriter(server_.folder() + "/data/strata.db");
    other->Script("BEGIN IMMEDIATE");
    v1::Decomposition reply;
    const grpc::Status status = Call(&v1::Strata::Stub::CancelDecomposition, Of<v1::CancelDecompositionRequest>(job.id()), &reply);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_EQ(InfoOf(status).reason(), "NOT_RECORDED");
    EXPECT_TRUE(SaysRetry(status));
    other->Script("ROLLBACK");
  }
  EXPECT_EQ(server_.Get(job.id()).state(), v1::STATE_RUNNING) << "the cancel was not recorded";
  go = true;
  EXPECT_EQ(server_.WaitForEnd(job.id()).state(), v1::STATE_SUCCEEDED);
}

TEST_F(Service, ManyClientsSubmitAtOnce) {
  server_.Upload(kModelSource);
  std::vector<std::thread> clients;
  std::set<std::string> ids;
  absl::Mutex mutex;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      for (int k = 0; k < 5; ++k) {
        // Half of the requests are sent by two clients.
        const auto job = server_.Submit("r" + std::to_string(i / 2 * 100 + k));
        absl::MutexLock lock(&mutex);
        ids.insert(job.id());
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(ids.size(), 20u);
}

}  // namespace
}  // namespace strata::testing
