// strata-worker as a process, against a server of the worker API in this process and the fake engine.
#include <signal.h>

#include <filesystem>
#include <thread>

#include "base/files.h"
#include "base/subprocess.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/agent/coordinator.h"

namespace strata::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() : dir_(*TempDir::Create("worker_test")), server_(JoinPath(dir_.path(), "s.sock")) {}

  void StartWorker(int slots = 1) {
    SubprocessOptions options;
    options.argv = {STRATA_WORKER,
                    "--server",
                    server_.address(),
                    "--slots",
                    std::to_string(slots),
                    "--engine",
                    FAKE_ENGINE,
                    "--cache-dir",
                    JoinPath(dir_.path(), "cache"),
                    "--name",
                    "under test"};
    auto worker = Subprocess::Start(options);
    ASSERT_TRUE(worker.ok()) << worker.status();
    worker_ = *std::move(worker);
    ASSERT_TRUE(server_.Await([this] { return !server_.registers.empty(); }));
  }

  // `order` is what the fake engine does.
  v1::Lease Lease(const std::string& id, const std::string& order) {
    v1::Lease lease;
    lease.set_lease_id(id);
    lease.set_task_id("verify/" + order);
    lease.set_attempt(1);
    lease.set_kind(v1::TASK_KIND_VERIFY);
    lease.set_component(order);
    lease.set_source("source/model.py");
    lease.set_device("cpu");
    lease.set_deadline_seconds(60);
    *lease.add_inputs() = server_.PutContent("source/model.py", "import torch\n");
    return lease;
  }

  v1::TaskResult AwaitResult(const std::string& lease_id) {
    const bool came = server_.Await([&] { return server_.ResultOf(lease_id) != nullptr; });
    absl::MutexLock lock(&server_.mutex);
    return came ? *server_.ResultOf(lease_id) : v1::TaskResult();
  }
  bool AwaitProgress(size_t count) {
    return server_.Await([&] { return server_.progress.size() >= count; });
  }

  void Set(bool Coordinator::*flag, bool value) {
    absl::MutexLock lock(&server_.mutex);
    server_.*flag = value;
  }

  TempDir dir_;
  Coordinator server_;
  std::unique_ptr<Subprocess> worker_;
};

TEST_F(WorkerTest, RegistersWithWhatItsEngineIsAndHas) {
  StartWorker(2);
  absl::MutexLock lock(&server_.mutex);
  const v1::Register& hello = server_.registers[0];
  EXPECT_EQ(hello.name(), "under test");
  EXPECT_EQ(hello.slots(), 2u);
  EXPECT_THAT(hello.devices(), ElementsAre("cpu"));
  EXPECT_EQ(hello.engine_version(), "fake");
  EXPECT_THAT(hello.lease_ids(), IsEmpty());
}

TEST_F(WorkerTest, ATaskRunsAndItsOutputsAreStoredBeforeItsResultIsSent) {
  StartWorker();
  server_.Give(Lease("l1", "pass"));
  const v1::TaskResult result = AwaitResult("l1");
  EXPECT_EQ(result.status(), v1::RESULT_STATUS_PASSED);
  ASSERT_EQ(result.outputs_size(), 1);
  EXPECT_EQ(result.outputs(0).path(), "result.txt");
  EXPECT_EQ(result.outputs(0).digest(), Sha256Hex("pass"));
  absl::MutexLock lock(&server_.mutex);
  EXPECT_EQ(server_.blobs[result.outputs(0).digest()], "pass");
  EXPECT_THAT(server_.output, HasSubstr("said by user code"));
  ASSERT_EQ(server_.progress.size(), 1u);
  EXPECT_EQ(server_.progress[0].text(), "working on pass");
}

TEST_F(WorkerTest, AContentIsFetchedOnceAndOwnOutputsNever) {
  StartWorker();
  server_.Give(Lease("l1", "pass"));
  const v1::TaskResult first = AwaitResult("l1");
  v1::Lease second = Lease("l2", "pass");
  *second.add_inputs() = first.outputs(0);
  server_.Give(second);
  EXPECT_EQ(AwaitResult("l2").status(), v1::RESULT_STATUS_PASSED);
  absl::MutexLock lock(&server_.mutex);
  EXPECT_EQ(server_.fetched[Sha256Hex("import torch\n")], 1);
  EXPECT_EQ(server_.fetched[first.outputs(0).digest()], 0);
}

TEST_F(WorkerTest, BytesThatAreNotTheirDigestFailTheTaskAsOurs) {
  server_.corrupt_blobs = true;
  StartWorker();
  server_.Give(Lease("l1", "pass"));
  const v1::TaskResult result = AwaitResult("l1");
  EXPECT_EQ(result.status(), v1::RESULT_STATUS_FAILED);
  EXPECT_TRUE(result.retryable());
  EXPECT_EQ(result.failure().kind(), v1::FAILURE_KIND_OURS);
  EXPECT_THAT(result.failure().message(), HasSubstr("other bytes"));
}

TEST_F(WorkerTest, AnInputPathThatLeavesItsFolderIsRefused) {
  StartWorker();
  v1::Lease lease = Lease("l1", "pass");
  lease.mutable_inputs(0)->set_path("../../escaped.py");
  server_.Give(lease);
  EXPECT_THAT(AwaitResult("l1").failure().message(), HasSubstr("../../escaped.py"));
}

TEST_F(WorkerTest, TheSubmissionsFailureComesThroughWithFileAndLine) {
  StartWorker();
  server_.Give(Lease("l1", "fail"));
  const v1::TaskResult result = AwaitResult("l1");
  EXPECT_EQ(result.status(), v1::RESULT_STATUS_FAILED);
  EXPECT_FALSE(result.retryable());
  EXPECT_EQ(result.failure().kind(), v1::FAILURE_KIND_USER);
  EXPECT_EQ(result.failure().file(), "model.py");
  EXPECT_EQ(result.failure().line(), 7u);
}

TEST_F(WorkerTest, AnEngineThatDiesTakesItsTaskOnlyAndTheNextOneRuns) {
  StartWorker();
  server_.Give(Lease("l1", "exit:7"));
  server_.Give(Lease("l2", "pass"));
  const v1::TaskResult died = AwaitResult("l1");
  EXPECT_EQ(died.status(), v1::RESULT_STATUS_ENGINE_DIED);
  EXPECT_THAT(died.failure().message(), HasSubstr("exit status 7"));
  EXPECT_THAT(died.failure().message(), HasSubstr("last words of the engine"));
  EXPECT_EQ(AwaitResult("l2").status(), v1::RESULT_STATUS_PASSED);
}

TEST_F(WorkerTest, ATaskBeyondItsDeadlineIsKilledAndCountsAsALimit) {
  StartWorker();
  v1::Lease lease = Lease("l1", "hang");
  lease.set_deadline_seconds(1);
  server_.Give(lease);
  const v1::TaskResult result = AwaitResult("l1");
  EXPECT_EQ(result.status(), v1::RESULT_STATUS_FAILED);
  EXPECT_EQ(result.failure().kind(), v1::FAILURE_KIND_LIMITS);
}

TEST_F(WorkerTest, ARevokedTaskIsKilledAndTheSlotIsFree) {
  StartWorker();
  server_.Give(Lease("l1", "hang"));
  ASSERT_TRUE(AwaitProgress(1));
  server_.Revoke("l1");
  server_.Give(Lease("l2", "pass"));
  EXPECT_EQ(AwaitResult("l1").status(), v1::RESULT_STATUS_CANCELED);
  EXPECT_EQ(AwaitResult("l2").status(), v1::RESULT_STATUS_PASSED);
}

TEST_F(WorkerTest, ARevokedLeaseIsNoLongerNamedInHeartbeats) {
  StartWorker();
  server_.Give(Lease("l1", "hang"));
  ASSERT_TRUE(server_.Await(
      [&] { return !server_.heartbeats.empty() && server_.heartbeats.back().lease_ids_size() == 1; }));
  server_.Revoke("l1");
  EXPECT_TRUE(server_.Await([&] { return server_.heartbeats.back().lease_ids_size() == 0; }));
}

TEST_F(WorkerTest, AfterTheServersDeathItRegistersWithWhatItHoldsAndDeliversTheResult) {
  StartWorker();
  v1::Lease lease = Lease("l1", "sleep:2");
  server_.Give(lease);
  ASSERT_TRUE(AwaitProgress(1));
  server_.Kill();
  server_.Start();
  ASSERT_TRUE(server_.Await([&] { return server_.registers.size() >= 2; }));
  {
    absl::MutexLock lock(&server_.mutex);
    EXPECT_EQ(server_.registers[0].worker_id(), server_.registers[1].worker_id());
    EXPECT_THAT(server_.registers[1].lease_ids(), ElementsAre("l1"));
  }
  EXPECT_EQ(AwaitResult("l1").status(), v1::RESULT_STATUS_PASSED);
}

TEST_F(WorkerTest, AResultWithoutAckIsRepeatedUntilItsAckAndNotAfter) {
  server_.acknowledge = false;
  StartWorker();
  server_.Give(Lease("l1", "pass"));
  ASSERT_TRUE(server_.Await([&] { return server_.results.size() >= 2; }));
  {
    absl::MutexLock lock(&server_.mutex);
    server_.acknowledge = true;
  }
  ASSERT_TRUE(server_.Await(
      [&] { return !server_.heartbeats.empty() && server_.heartbeats.back().lease_ids_size() == 0; }));
  server_.Give(Lease("l2", "pass"));
  EXPECT_EQ(AwaitResult("l2").status(), v1::RESULT_STATUS_PASSED);
}

TEST_F(WorkerTest, ALateResultThatIsRefusedIsDropped) {
  server_.answers["l1"] = v1::ACK_OUTCOME_STALE;
  StartWorker();
  server_.Give(Lease("l1", "pass"));
  server_.Give(Lease("l2", "pass"));
  EXPECT_EQ(AwaitResult("l2").status(), v1::RESULT_STATUS_PASSED);
  EXPECT_TRUE(server_.Await([&] { return server_.heartbeats.back().lease_ids_size() == 0; }));
}

TEST_F(WorkerTest, ContentsTheServerLostAreSentAgain) {
  StartWorker();
  server_.Give(Lease("l1", "sleep:1"));
  ASSERT_TRUE(AwaitProgress(1));
  // It says at first that it has the content, and finds out at the result that it has not.
  server_.answers["l1"] = v1::ACK_OUTCOME_RECORDED;
  server_.PutContent("", "sleep:1");
  server_.forget_after_question = true;
  ASSERT_TRUE(server_.Await([&] { return server_.results.size() >= 2; }));
  absl::MutexLock lock(&server_.mutex);
  EXPECT_EQ(server_.blobs[Sha256Hex("sleep:1")], "sleep:1");
}

TEST_F(WorkerTest, OnSigtermItHandsBackWhatRunsAndLeavesNothingBehind) {
  StartWorker();
  server_.Give(Lease("l1", "hang-with-child"));
  ASSERT_TRUE(AwaitProgress(1));
  server_.Give(Lease("l2", "pass"));
  worker_->Signal(SIGTERM);
  EXPECT_EQ(AwaitResult("l1").status(), v1::RESULT_STATUS_RETURNED);
  const auto ended = worker_->Wait(std::chrono::seconds(10));
  ASSERT_TRUE(ended.has_value());
  EXPECT_TRUE(ended->ok()) << ended->ToString();
  EXPECT_TRUE(std::filesystem::is_empty(JoinPath(dir_.path(), "cache/work")));
}

TEST_F(WorkerTest, AllOutputArrivesBeforeTheResult) {
  StartWorker();
  Set(&Coordinator::deaf, true);  // so that the stream is blocked while the task prints and ends
  server_.Give(Lease("l1", "chatter:3000"));
  ASSERT_TRUE(server_.Await([&] { return server_.blobs.contains(Sha256Hex("chatter:3000")); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  Set(&Coordinator::deaf, false);
  AwaitResult("l1");
  absl::MutexLock lock(&server_.mutex);
  size_t bytes = 0;
  for (const auto& message : server_.said) {
    if (message.has_result()) break;
    if (message.has_output() && message.output().stream() == v1::STREAM_STDOUT)
      bytes += message.output().data().size();
  }
  EXPECT_EQ(bytes, 3000000u);
}

TEST_F(WorkerTest, SaysThatItDrainsBeforeItHandsTasksBack) {
  StartWorker();
  server_.Give(Lease("l1", "hang"));
  server_.Give(Lease("l2", "pass"));
  ASSERT_TRUE(AwaitProgress(1));
  worker_->Signal(SIGTERM);
  for (const char* id : {"l1", "l2"}) EXPECT_EQ(AwaitResult(id).status(), v1::RESULT_STATUS_RETURNED);
  absl::MutexLock lock(&server_.mutex);
  for (const auto& message : server_.said) {
    if (message.heartbeat().draining()) break;
    EXPECT_FALSE(message.has_result());
  }
}

TEST_F(WorkerTest, ALeaseThatCrossesTheSigtermIsHandedBack) {
  StartWorker();
  server_.Give(Lease("l1", "hang"));
  ASSERT_TRUE(AwaitProgress(1));
  Set(&Coordinator::acknowledge, false);  // so that the agent stays
  worker_->Signal(SIGTERM);
  ASSERT_EQ(AwaitResult("l1").status(), v1::RESULT_STATUS_RETURNED);
  server_.Give(Lease("l2", "pass"));
  EXPECT_EQ(AwaitResult("l2").status(), v1::RESULT_STATUS_RETURNED);
}

TEST_F(WorkerTest, ASecondAgentOnTheSameCacheFolderIsRefused) {
  StartWorker();
  SubprocessOptions options;
  options.argv = {STRATA_WORKER,
                  "--server",
                  server_.address(),
                  "--engine",
                  FAKE_ENGINE,
                  "--cache-dir",
                  JoinPath(dir_.path(), "cache")};
  auto second = Subprocess::Start(options);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ((*second)->Wait().code, 2);
}

TEST_F(WorkerTest, WithoutAWorkingEngineItSaysSoAndEnds) {
  SubprocessOptions options;
  options.argv = {STRATA_WORKER,
                  "--server",
                  server_.address(),
                  "--engine",
                  "/bin/false",
                  "--cache-dir",
                  JoinPath(dir_.path(), "cache")};
  options.standard_error = SubprocessOptions::Stdio::kNull;
  auto worker = Subprocess::Start(options);
  ASSERT_TRUE(worker.ok());
  EXPECT_EQ((*worker)->Wait().code, 3);
}

}  // namespace
}  // namespace strata::agent
