// The worker protocol: leases, results that lie, lost workers, a failing disk.
#include <atomic>
#include <filesystem>

#include "base/sha256.h"
#include "server/store/sqlite.h"
#include "tests/service/server/api/service_fixture.h"

namespace strata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Workers : public ServiceTest {};

TEST_F(Workers, CancelKillsTheTaskAndDeleteRemovesTheJob) {
  FakeWorker worker(server_, "w1", [](const v1::Lease&) { return FakeWorker::Work{.never = true}; });
  const auto job = server_.Submit("r1");
  while (worker.seen().empty()) absl::SleepFor(absl::Milliseconds(20));
  v1::DeleteDecompositionResponse deleted;
  EXPECT_EQ(InfoOf(Call(&v1::Strata::Stub::DeleteDecomposition, Of<v1::DeleteDecompositionRequest>(job.id()),
                        &deleted))
                .reason(),
            "STILL_RUNNING");
  auto cancel = Of<v1::CancelDecompositionRequest>(job.id());
  cancel.set_reason("not needed");
  v1::Decomposition reply;
  ASSERT_TRUE(Call(&v1::Strata::Stub::CancelDecomposition, cancel, &reply).ok());
  EXPECT_EQ(reply.state(), v1::STATE_CANCELING);
  std::vector<v1::Event> events;
  const auto canceled = server_.WaitForEnd(job.id(), &events);
  EXPECT_EQ(canceled.state(), v1::STATE_CANCELED);
  EXPECT_EQ(canceled.cancel_reason(), "not needed");
  EXPECT_EQ(worker.revoked(), worker.seen());
  ASSERT_TRUE(Call(&v1::Strata::Stub::CancelDecomposition, cancel, &reply).ok()) << "again is no error";
  ASSERT_TRUE(
      Call(&v1::Strata::Stub::DeleteDecomposition, Of<v1::DeleteDecompositionRequest>(job.id()), &deleted)
          .ok());
  EXPECT_EQ(deleted.files_removed(), 1u);
  const std::string digest = Sha256Hex(kModelSource);
  EXPECT_FALSE(
      std::filesystem::exists(server_.folder() + "/data/blobs/" + digest.substr(0, 2) + "/" + digest));
  EXPECT_EQ(server_.Submit("r1").state(), v1::STATE_RUNNING) << "its request id is free again";
}

TEST_F(Workers, AWorkersWordAlonePassesNoGate) {
  struct Case {
    const char* task;
    const char* message;
    void (*spoil)(Files&);
  };
  const Case cases[] = {
      {"prepare", "without .strata/jobs.json", [](Files& f) { f.erase(".strata/jobs.json"); }},
      {"prepare", "is no JSON", [](Files& f) { f["decomposition_tree.json"] = "{"; }},
      {"prepare", "nested deeper", [](Files& f) { f[".strata/jobs.json"] = std::string(100000, '['); }},
      {"prepare", "no level of the four",
       [](Files& f) {
         f[".strata/jobs.json"] = R"({"root": "a", "components": [{"id": "a", "level": null}]})";
       }},
      {"prepare", "wrote source/mlp.py", [](Files& f) { f["source/mlp.py"] = "changed"; }},
      {"prepare", "leads out of the bundle", [](Files& f) { f["../../etc/passwd"] = "x"; }},
      {"verify/mlp", "without steps/step_1_mlp_to_fusions/verification_result.json",
       [](Files& f) { f.erase("steps/step_1_mlp_to_fusions/verification_result.json"); }},
      {"verify/mlp", "is FAIL",
       [](Files& f) { f["steps/step_1_mlp_to_fusions/verification_result.json"] = R"({"status": "FAIL"})"; }},
      {"verify/mlp", "not its own",
       [](Files& f) { f["steps/step_9/verification_result.json"] = R"({"status": "PASS"})"; }},
      {"compose", "says FAIL", [](Files& f) { f[".strata/composition.json"] = R"({"status": "FAIL"})"; }},
      {"coverage", "without verification/coverage_summary.json", [](Files& f) { f.clear(); }},
      {"decompose/linear_relu", "with other bytes",
       [](Files& f) { f["level_3_model/mlp.py"] = "# another\n"; }},
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

TEST_F(Workers, JobGoesOnAfterTheServerWasRestarted) {
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

TEST_F(Workers, LeaseOfASilentWorkerIsGivenToAnother) {
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

TEST_F(Workers, OutputIsKeptUpToTheCapAndTheRestCounted) {
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

TEST_F(Workers, ListWorkersSaysWhoDoesWhat) {
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

TEST_F(Workers, WorkersFetchTheirInputsAndAskWhatIsMissing) {
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

TEST_F(Workers, ResultWithMissingContentsIsSentBack) {
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

TEST_F(Workers, StreamThatDoesNotRegisterIsEnded) {
  grpc::ClientContext context;
  auto stream = server_.worker().Session(&context);
  v1::WorkerMessage message;
  message.mutable_heartbeat();
  stream->Write(message);
  EXPECT_EQ(InfoOf(stream->Finish()).reason(), "NOT_REGISTERED");
}

TEST_F(Workers, WhenACommitFailsCallersHearTryAgainAndTheJobGoesOn) {
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
    const grpc::Status status =
        Call(&v1::Strata::Stub::CancelDecomposition, Of<v1::CancelDecompositionRequest>(job.id()), &reply);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_EQ(InfoOf(status).reason(), "NOT_RECORDED");
    EXPECT_TRUE(SaysRetry(status));
    other->Script("ROLLBACK");
  }
  EXPECT_EQ(server_.Get(job.id()).state(), v1::STATE_RUNNING) << "the cancel was not recorded";
  go = true;
  EXPECT_EQ(server_.WaitForEnd(job.id()).state(), v1::STATE_SUCCEEDED);
}

}  // namespace
}  // namespace strata::testing
