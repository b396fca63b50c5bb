// Uploads, submissions, lists, errors.
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/sha256.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/service/server/api/service_fixture.h"

namespace strata::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Submit : public ServiceTest {};

TEST_F(Submit, UploadResumesWhereItStopped) {
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

TEST_F(Submit, AFileWhoseBytesAreAllThereIsCompletedByAMessageWithoutData) {
  const std::string content = "class Model: pass", digest = Sha256Hex(content);
  v1::Upload upload;
  ASSERT_TRUE(StartUpload(digest, content.size(), &upload).ok());
  // The server died between the last byte and the check of the digest.
  std::ofstream(server_.folder() + "/data/uploads/" + digest) << content;
  ASSERT_TRUE(StartUpload(digest, content.size(), &upload).ok());
  EXPECT_EQ(upload.committed_bytes(), content.size());
  EXPECT_FALSE(upload.complete());
  ASSERT_TRUE(SendChunk(digest, content.size(), "", &upload).ok());
  EXPECT_TRUE(upload.complete());
}

TEST_F(Submit, UploadOverTheLimitIsRefusedBeforeAByteIsSent) {
  v1::Upload upload;
  const grpc::Status status = StartUpload(std::string(64, 'a'), 600u << 20, &upload);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(status).reason(), "FILE_TOO_LARGE");
  EXPECT_EQ(ViolatedField(status), "size_bytes");
  EXPECT_THAT(status.error_message(), AllOf(HasSubstr("629145600"), HasSubstr("64 MiB")));
}

TEST_F(Submit, EmptyFileIsRefused) {
  v1::Upload upload;
  EXPECT_EQ(InfoOf(StartUpload(Sha256Hex(""), 0, &upload)).reason(), "EMPTY_FILE");
}

TEST_F(Submit, BytesOfAnotherDigestAreThrownAway) {
  v1::Upload upload;
  const std::string digest = Sha256Hex("right");
  ASSERT_TRUE(StartUpload(digest, 5, &upload).ok());
  EXPECT_EQ(InfoOf(SendChunk(digest, 0, "wrong", &upload)).reason(), "DIGEST_MISMATCH");
  ASSERT_TRUE(StartUpload(digest, 5, &upload).ok());
  EXPECT_EQ(upload.committed_bytes(), 0u);
  EXPECT_TRUE(SendChunk(digest, 0, "right", &upload).ok());
}

TEST_F(Submit, MoreThanAnnouncedIsRefused) {
  v1::Upload upload;
  const std::string digest = Sha256Hex("right");
  ASSERT_TRUE(StartUpload(digest, 5, &upload).ok());
  EXPECT_EQ(InfoOf(SendChunk(digest, 0, "right and more", &upload)).reason(), "LONGER_THAN_ANNOUNCED");
  EXPECT_EQ(InfoOf(SendChunk(Sha256Hex("never"), 0, "never", &upload)).reason(), "NOT_ANNOUNCED");
}

TEST_F(Submit, SameRequestTwiceIsOneDecomposition) {
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

TEST_F(Submit, BadSubmissionsNameTheField) {
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
      {"source.files[0].path", [](auto& r) { r.mutable_source()->mutable_files(0)->set_path("sub/x.py"); }},
      {"source.files[0].path", [](auto& r) { r.mutable_source()->mutable_files(0)->set_path("x\n.py"); }},
      {"source.files[0].path",
       [](auto& r) { r.mutable_source()->mutable_files(0)->set_path(std::string("x\0.py", 5)); }},
      {"model_name", [](auto& r) { r.set_model_name("a/b"); }},
      {"model_name", [](auto& r) { r.set_model_name("a\x1b[2J"); }},
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

TEST_F(Submit, FileWithTheNameOfAModuleHasToBeRenamed) {
  const std::string digest = server_.Upload("x");
  const auto submit = [&](const std::string& name) {
    v1::CreateDecompositionRequest request;
    request.set_request_id("r-" + name);
    request.mutable_source()->add_files()->set_path(name);
    request.mutable_source()->mutable_files(0)->set_digest(digest);
    request.mutable_source()->set_entry(name);
    v1::Decomposition reply;
    return Call(&v1::Strata::Stub::CreateDecomposition, request, &reply);
  };
  for (const char* name : {"torch.py", "Torch.py", "_torch.py", "children.py", "abc.py", "zlib.py"}) {
    const grpc::Status status = submit(name);
    EXPECT_EQ(InfoOf(status).reason(), "NAME_TAKEN") << name;
    EXPECT_EQ(ViolatedField(status), "source.entry");
    EXPECT_THAT(status.error_message(), HasSubstr("rename the file"));
  }
  for (const char* name : {"torch_mlp.py", "test.py", "123.py", "math-model.py"}) {
    EXPECT_TRUE(submit(name).ok()) << name;
  }
}

TEST_F(Submit, SubmissionOfAFileThatWasNotUploadedIsRefused) {
  v1::CreateDecompositionRequest request;
  request.set_request_id("r");
  request.mutable_source()->add_files()->set_path("x.py");
  request.mutable_source()->mutable_files(0)->set_digest(Sha256Hex("never sent"));
  v1::Decomposition reply;
  const grpc::Status status = Call(&v1::Strata::Stub::CreateDecomposition, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(InfoOf(status).reason(), "NOT_UPLOADED");
}

TEST_F(Submit, UnknownIdsAreNotFoundEverywhere) {
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
  expect(Call(&v1::Strata::Stub::CancelDecomposition, Of<v1::CancelDecompositionRequest>("d-x"),
              &decomposition));
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

TEST_F(Submit, ListFiltersOrdersAndPages) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(server_
                      .Submit("r" + std::to_string(i),
                              {{"parity", i % 2 == 0 ? "even" : "odd"}, {"n", std::to_string(i)}})
                      .id());
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
  ASSERT_TRUE(
      Call(&v1::Strata::Stub::CancelDecomposition, Of<v1::CancelDecompositionRequest>(ids[2]), &canceled)
          .ok());
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

  v1::ListDecompositionsRequest unknown;
  unknown.set_order(static_cast<v1::Order>(99));
  EXPECT_EQ(ViolatedField(Call(&v1::Strata::Stub::ListDecompositions, unknown, &page)), "order");
  unknown.clear_order();
  unknown.add_states(static_cast<v1::State>(99));
  EXPECT_EQ(ViolatedField(Call(&v1::Strata::Stub::ListDecompositions, unknown, &page)), "states");
}

TEST_F(Submit, HealthAndReflectionAnswer) {
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

TEST_F(Submit, ContentThatCannotBeStoredIsAskedForAgain) {
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

TEST_F(Submit, ManyClientsSubmitAtOnce) {
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
