// Folders submitted for a verdict.
#include <atomic>

#include "base/sha256.h"
#include "tests/service/server/api/service_fixture.h"

namespace strata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kRejected[] = R"({"verdict": "rejected", "kind": "step", "folder": "step", "violations": [
  {"rule": "numbers", "file": "refactored.py", "line": 7, "what": "output 0 differs by 0.5", "advice": "look"}],
  "notes": ["seeds 42 to 44"], "not_judged": ["chain"], "environment": {"torch": "2"}})";

class JudgeTest : public ServiceTest {
 protected:
  v1::CreateDecompositionRequest Request(const std::string& request_id = "r1") {
    v1::CreateDecompositionRequest request;
    request.set_request_id(request_id);
    request.set_kind(v1::JOB_KIND_JUDGE);
    request.mutable_source()->set_entry("step");
    const auto add = [&](const std::string& path, const std::string& digest) {
      v1::File* file = request.mutable_source()->add_files();
      file->set_path(path);
      file->set_digest(digest);
    };
    add("step/original.py", server_.Upload("# original\n"));
    add("step/refactored.py", server_.Upload("# refactored\n"));
    add("step/children/__init__.py", Sha256Hex(""));  // never uploaded
    return request;
  }
  grpc::Status Create(const v1::CreateDecompositionRequest& request, v1::Decomposition* job) {
    return Call(&v1::Strata::Stub::CreateDecomposition, request, job);
  }
  grpc::Status GetVerdict(const std::string& id, v1::FolderVerdict* verdict) {
    return Call(&v1::Strata::Stub::GetFolderVerdict, Of<v1::GetFolderVerdictRequest>(id), verdict);
  }
};

TEST_F(JudgeTest, ARejectedFolderIsAJobThatSucceeded) {
  v1::Decomposition job;
  ASSERT_TRUE(Create(Request(), &job).ok());
  EXPECT_EQ(job.model_name(), "step");
  v1::FolderVerdict verdict;
  EXPECT_EQ(InfoOf(GetVerdict(job.id(), &verdict)).reason(), "NOT_READY");
  v1::Lease lease;
  FakeWorker worker(server_, "w1", [&lease](const v1::Lease& given) {
    lease = given;
    return FakeWorker::Work{.files = {{"verdict.json", kRejected}}, .output = "from the model"};
  });
  std::vector<v1::Event> events;
  job = server_.WaitForEnd(job.id(), &events);
  EXPECT_EQ(job.state(), v1::STATE_SUCCEEDED) << job.failure().message();
  EXPECT_EQ(job.kind(), v1::JOB_KIND_JUDGE);
  EXPECT_EQ(job.verdict(), "rejected");
  EXPECT_FALSE(job.has_bundle());
  EXPECT_FALSE(job.has_failure());
  EXPECT_EQ(job.counts().tasks_done(), 1u);

  EXPECT_EQ(lease.kind(), v1::TASK_KIND_JUDGE);
  EXPECT_EQ(lease.task_id(), "judge");
  EXPECT_EQ(lease.source(), "source/step");
  std::vector<std::string> inputs;
  for (const v1::File& file : lease.inputs()) inputs.push_back(file.path());
  EXPECT_THAT(inputs, ElementsAre("source/step/children/__init__.py", "source/step/original.py",
                                  "source/step/refactored.py"));

  server_.Stop();
  server_.Start();
  ASSERT_TRUE(GetVerdict(job.id(), &verdict).ok());
  EXPECT_EQ(verdict.verdict(), "rejected");
  EXPECT_EQ(verdict.kind(), "step");
  ASSERT_EQ(verdict.violations_size(), 1);
  EXPECT_EQ(verdict.violations(0).rule(), "numbers");
  EXPECT_EQ(verdict.violations(0).line(), 7u);
  EXPECT_THAT(verdict.notes(), ElementsAre("seeds 42 to 44"));
  EXPECT_EQ(verdict.verdict_json(), kRejected);
  v1::ListDecompositionsResponse list;
  ASSERT_TRUE(Call(&v1::Strata::Stub::ListDecompositions, v1::ListDecompositionsRequest(), &list).ok());
  EXPECT_EQ(list.decompositions(0).verdict(), "rejected");
  v1::GetJobLogsResponse logs;
  ASSERT_TRUE(Call(&v1::Strata::Stub::GetJobLogs, Of<v1::GetJobLogsRequest>(job.id()), &logs).ok());
  EXPECT_EQ(logs.attempts(0).stdout(), "from the model");
  v1::DeleteDecompositionResponse deleted;
  ASSERT_TRUE(
      Call(&v1::Strata::Stub::DeleteDecomposition, Of<v1::DeleteDecompositionRequest>(job.id()), &deleted)
          .ok());
  EXPECT_EQ(InfoOf(GetVerdict(job.id(), &verdict)).reason(), "DECOMPOSITION_NOT_FOUND");
}

TEST_F(JudgeTest, AWorkersWordAloneIsNoVerdict) {
  struct Case {
    v1::JobKind kind;
    Files files;
    const char* message;
  };
  const Case cases[] = {
      {v1::JOB_KIND_JUDGE, {}, "without verdict.json"},
      {v1::JOB_KIND_JUDGE, {{"verdict.json", R"({"verdict": "fine"})"}}, "unknown verdict 'fine'"},
      {v1::JOB_KIND_JUDGE,
       {{"source/step/original.py", "changed"}, {"verdict.json", kRejected}},
       "wrote source/"},
      {v1::JOB_KIND_DECOMPOSE, {{"verdict.json", kRejected}}, "only judge may"},
  };
  int n = 0;
  for (const Case& c : cases) {
    FakeWorker worker(server_, "w" + std::to_string(n),
                      [&c](const v1::Lease&) { return FakeWorker::Work{.files = c.files}; });
    v1::Decomposition job;
    const std::string request_id = "r" + std::to_string(n++);
    if (c.kind == v1::JOB_KIND_DECOMPOSE) {
      job = server_.Submit(request_id);
    } else {
      ASSERT_TRUE(Create(Request(request_id), &job).ok());
    }
    job = server_.WaitForEnd(job.id());
    EXPECT_EQ(job.state(), v1::STATE_FAILED) << c.message;
    EXPECT_THAT(job.failure().message(), HasSubstr(c.message));
    v1::FolderVerdict verdict;
    EXPECT_EQ(InfoOf(GetVerdict(job.id(), &verdict)).reason(), "NEVER_WRITTEN");
  }
}

TEST_F(JudgeTest, ALostWorkerCostsAnAttemptAndCancelEndsTheJob) {
  server_.Stop();
  server_.config.lease = absl::Seconds(1);
  server_.config.retry_pause = absl::Milliseconds(10);
  server_.Start();
  std::atomic<int> attempts = 0;
  FakeWorker worker(server_, "w1", [&attempts](const v1::Lease&) {
    FakeWorker::Work work{.files = {{"verdict.json", kRejected}}};
    work.never = work.mute = ++attempts == 1;
    return work;
  });
  v1::Decomposition job;
  ASSERT_TRUE(Create(Request(), &job).ok());
  EXPECT_EQ(server_.WaitForEnd(job.id()).verdict(), "rejected");
  EXPECT_EQ(attempts, 2);

  attempts = 0;
  ASSERT_TRUE(Create(Request("r2"), &job).ok());
  while (attempts == 0) absl::SleepFor(absl::Milliseconds(20));
  v1::Decomposition reply;
  ASSERT_TRUE(
      Call(&v1::Strata::Stub::CancelDecomposition, Of<v1::CancelDecompositionRequest>(job.id()), &reply)
          .ok());
  EXPECT_EQ(server_.WaitForEnd(job.id()).state(), v1::STATE_CANCELED);
}

TEST_F(JudgeTest, BadFoldersNameTheField) {
  struct Case {
    const char* field;
    void (*spoil)(v1::CreateDecompositionRequest&);
  };
  const Case cases[] = {
      {"kind", [](auto& r) { r.set_kind(static_cast<v1::JobKind>(7)); }},
      {"source.entry", [](auto& r) { r.mutable_source()->clear_entry(); }},
      {"source.entry", [](auto& r) { r.mutable_source()->set_entry(".."); }},
      {"source.entry", [](auto& r) { r.mutable_source()->set_entry("step/children"); }},
      {"source.files[0].path", [](auto& r) { r.mutable_source()->mutable_files(0)->set_path("other/a.py"); }},
      {"source.files[0].path",
       [](auto& r) { r.mutable_source()->mutable_files(0)->set_path("step/../a.py"); }},
      {"source.files", [](auto& r) {
         for (int i = 0; i < 20000; ++i) *r.mutable_source()->add_files() = r.source().files(0);
       }}};
  for (const Case& c : cases) {
    v1::CreateDecompositionRequest request = Request();
    c.spoil(request);
    v1::Decomposition job;
    const grpc::Status status = Create(request, &job);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(ViolatedField(status), c.field);
  }
  v1::CreateDecompositionRequest missing = Request();
  missing.mutable_source()->mutable_files(0)->set_digest(Sha256Hex("never sent"));
  v1::Decomposition job;
  EXPECT_EQ(InfoOf(Create(missing, &job)).reason(), "NOT_UPLOADED");
}

TEST_F(JudgeTest, AFolderOverTheLimitIsRefused) {
  v1::CreateDecompositionRequest request = Request();
  const std::string digest = server_.Upload(std::string(1 << 20, 'x'));
  for (int i = 0; i < 256; ++i) {
    v1::File* file = request.mutable_source()->add_files();
    file->set_path("step/" + std::to_string(i) + ".bin");
    file->set_digest(digest);
  }
  v1::Decomposition job;
  const grpc::Status status = Create(request, &job);
  EXPECT_EQ(InfoOf(status).reason(), "FOLDER_TOO_LARGE");
  EXPECT_THAT(status.error_message(), HasSubstr("256 MiB"));
}

}  // namespace
}  // namespace strata::testing
