// SQLite, files and the writer thread, real ones in a temporary folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/synchronization/notification.h"
#include "base/sha256.h"
#include "server/store/blob_store.h"
#include "server/store/job_rows.h"
#include "server/store/migrations.h"
#include "server/store/readers.h"
#include "server/store/result_rows.h"
#include "server/store/writer.h"

namespace strata::embedded {
extern const char migration_0001[];
}

namespace strata::store {
namespace {

using ::testing::HasSubstr;

class Store : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/strata-store-XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string DbPath() const { return folder_ + "/strata.db"; }
  std::unique_ptr<Database> Open() {
    auto db = Database::OpenWriter(DbPath());
    EXPECT_TRUE(db.ok()) << db.status();
    EXPECT_TRUE(Migrate(**db).ok());
    return *std::move(db);
  }

  std::string folder_;
};

TEST_F(Store, MigratesOnceAndKeepsWhatIsThere) {
  auto db = Open();
  db->Run("INSERT INTO blobs(digest, size, stored_us) VALUES ('d', 1, 2)");
  ASSERT_TRUE(db->TakeStatus().ok());
  db.reset();
  db = Open();
  EXPECT_EQ(db->QueryInt("SELECT COUNT(*) FROM blobs"), 1);
  EXPECT_EQ(db->QueryInt("PRAGMA user_version"), SchemaVersion());
}

TEST_F(Store, DatabaseOfTheFirstSchemaIsBroughtUpToDate) {
  auto db = *Database::OpenWriter(DbPath());
  db->Script(embedded::migration_0001);
  db->Script("PRAGMA user_version=1");
  db->Run("INSERT INTO models(id, entry, created_us) VALUES ('m', 'm.py', 1)");
  db->Run(
      "INSERT INTO jobs(id, request_id, request_digest, model, model_name, device, threads, wall_seconds,"
      " memory_bytes, output_bytes, file_bytes, state, created_us, updated_us)"
      " VALUES ('d-1', 'r', 'x', 'm', 'm', 1, 1, 0, 0, 0, 0, 1, 1, 1)");
  ASSERT_TRUE(db->TakeStatus().ok());
  ASSERT_TRUE(Migrate(*db).ok());
  const auto jobs = LoadLiveJobs(*db);
  ASSERT_TRUE(db->TakeStatus().ok());
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].cancel_reason, "");
  EXPECT_EQ(db->QueryInt("SELECT kind FROM jobs"), v1::JOB_KIND_DECOMPOSE);
}

TEST_F(Store, FileOfANewerProgramIsRefused) {
  auto db = Open();
  db->Script("PRAGMA user_version=999");
  ASSERT_TRUE(db->TakeStatus().ok());
  const absl::Status status = Migrate(*db);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("start a newer strata-server"));
}

TEST_F(Store, FirstErrorSticksAndLaterCallsDoNothing) {
  auto db = Open();
  db->Run("INSERT INTO no_such_table VALUES (1)");
  db->Run("INSERT INTO blobs(digest, size, stored_us) VALUES ('d', 1, 2)");
  EXPECT_THAT(std::string(db->TakeStatus().message()), HasSubstr("no_such_table"));
  EXPECT_EQ(db->QueryInt("SELECT COUNT(*) FROM blobs"), 0);
}

TEST_F(Store, ReaderSeesCommitsAndCannotWrite) {
  auto db = Open();
  Readers readers(DbPath());
  db->Run("INSERT INTO blobs(digest, size, stored_us) VALUES ('d', 1, 2)");
  const auto count = [](Database& r) -> absl::StatusOr<int64_t> {
    return r.QueryInt("SELECT COUNT(*) FROM blobs");
  };
  EXPECT_EQ(*readers.Do(count), 1);
  const absl::Status status = readers.Do([](Database& r) {
    r.Run("DELETE FROM blobs");
    return absl::OkStatus();
  });
  EXPECT_THAT(std::string(status.message()), HasSubstr("readonly"));
  EXPECT_EQ(*readers.Do(count), 1);
}

TEST_F(Store, WorkThatWaitsIsCommittedTogetherAndFailsTogether) {
  int commits = 0, rollbacks = 0;
  absl::Status disk;
  Writer writer(Open(), {[&] { return ++commits, disk; }, [&](Database&) { ++rollbacks; }});
  absl::Notification go, done;
  std::vector<absl::StatusCode> codes;
  const auto insert = [](Database& db) {
    db.Run("INSERT INTO blobs(digest, size, stored_us) VALUES (hex(randomblob(8)), 1, 2)");
  };
  const auto note = [&](const absl::Status& s) { codes.push_back(s.code()); };
  writer.Post([&](Database&) { go.WaitForNotification(); }, note);
  for (int i = 0; i < 10; ++i) writer.Post(insert, note);
  go.Notify();
  writer.Post([](Database&) {}, [&](const absl::Status&) { done.Notify(); });
  done.WaitForNotification();
  EXPECT_LE(commits, 3);
  EXPECT_THAT(codes, ::testing::Each(absl::StatusCode::kOk));

  codes.clear();
  disk = absl::UnavailableError("disk full");
  absl::Notification failed;
  writer.Post(insert, [&](const absl::Status& s) {
    note(s);
    failed.Notify();
  });
  failed.WaitForNotification();
  EXPECT_THAT(codes, ::testing::ElementsAre(absl::StatusCode::kUnavailable));
  EXPECT_EQ(rollbacks, 1);
  disk = absl::OkStatus();
  absl::Notification counted;
  int64_t rows = 0;
  writer.Post([&](Database& db) { rows = db.QueryInt("SELECT COUNT(*) FROM blobs"); },
              [&](const absl::Status&) { counted.Notify(); });
  counted.WaitForNotification();
  EXPECT_EQ(rows, 10);
}

TEST_F(Store, WorkAfterStopIsRefused) {
  Writer writer(Open(), {});
  writer.Stop();
  absl::StatusCode code = absl::StatusCode::kOk;
  writer.Post([](Database&) { ADD_FAILURE() << "ran"; }, [&](const absl::Status& s) { code = s.code(); });
  EXPECT_EQ(code, absl::StatusCode::kUnavailable);
}

TEST_F(Store, ContentSurvivesUnderItsDigest) {
  auto blobs = *BlobStore::Open(folder_);
  const std::string content(3 << 20, 'x');
  auto part = *blobs->NewTemporary();
  ASSERT_TRUE(part->Append(content).ok());
  ASSERT_TRUE(part->Flush().ok());
  const std::string digest = part->Digest();
  EXPECT_EQ(digest, Sha256Hex(content));
  ASSERT_TRUE(blobs->Adopt(*part, digest).ok());
  ASSERT_TRUE(blobs->Sync().ok());
  part.reset();
  EXPECT_EQ(*blobs->ReadBlob(digest, 4 << 20), content);
  EXPECT_TRUE(absl::IsResourceExhausted(blobs->ReadBlob(digest, 1 << 20).status()));
  blobs->Remove(digest);
  EXPECT_TRUE(absl::IsNotFound(blobs->OpenBlob(digest).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(blobs->OpenBlob("../../etc/passwd").status()));
}

TEST_F(Store, UploadGoesOnAfterARestartAndTemporariesDoNot) {
  {
    auto blobs = *BlobStore::Open(folder_);
    auto upload = *blobs->OpenUpload("u");
    ASSERT_TRUE(upload->Append("hello ").ok());
    auto temporary = *blobs->NewTemporary();
    temporary->Keep(true);  // as a crash would
  }
  auto blobs = *BlobStore::Open(folder_);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/tmp"));
  EXPECT_EQ(blobs->UploadedBytes("u"), 6u);
  auto upload = *blobs->OpenUpload("u");
  ASSERT_TRUE(upload->Append("world").ok());
  EXPECT_EQ(upload->Digest(), Sha256Hex("hello world"));
}

TEST_F(Store, LiveJobComesBackAsItWasSaved) {
  auto db = Open();
  v1::CreateDecompositionRequest request;
  request.set_request_id("r");
  request.mutable_source()->set_entry("m.py");
  request.set_device(v1::DEVICE_CUDA);
  const absl::Time now = absl::FromUnixSeconds(1000);
  InsertJob(*db, "d-1", request, "digest", now);
  jobs::Job job{.id = "d-1",
                .device = jobs::Device::kCuda,
                .resolved_device = "cuda",
                .state = jobs::JobState::kRunning};
  job.failure = jobs::Failure{jobs::FailureKind::kGate, "no", "c", "f.py", 7, "tb", "verify/c"};
  job.started_at = now;
  job.cancel_reason = "not needed";
  jobs::Task task{.id = "verify/c", .kind = jobs::TaskKind::kVerify, .component = "c", .step = "step_1"};
  task.after = {"decompose/c"};
  task.state = jobs::TaskState::kRunning;
  task.attempt = 3;
  task.tries = 2;
  task.last_worker = "w";
  task.lease = jobs::Lease{
      "d-1/verify/c#3", "w", 3, now, now + absl::Seconds(30), now + absl::Hours(2), jobs::Revoked::kDeadline};
  Save(*db, jobs::SaveJob{job}, now);
  Save(*db, jobs::SaveTask{"d-1", task, 0});
  const auto loaded = LoadLiveJobs(*db);
  ASSERT_TRUE(db->TakeStatus().ok());
  ASSERT_EQ(loaded.size(), 1u);
  EXPECT_EQ(loaded[0].device, jobs::Device::kCuda);
  EXPECT_EQ(loaded[0].resolved_device, "cuda");
  EXPECT_EQ(loaded[0].failure->line, 7u);
  EXPECT_EQ(loaded[0].started_at, now);
  EXPECT_EQ(loaded[0].cancel_reason, "not needed");
  const jobs::Task& back = loaded[0].tasks.at(0);
  EXPECT_EQ(back.after, task.after);
  EXPECT_EQ(back.tries, 2u);
  ASSERT_TRUE(back.lease.has_value());
  EXPECT_EQ(back.lease->id, task.lease->id);
  EXPECT_EQ(back.lease->deadline, task.lease->deadline);
  EXPECT_EQ(back.lease->revoked, jobs::Revoked::kDeadline);
}

TEST_F(Store, ResultThatCannotBeStoredLeavesNoTraceAndFailsNobodyElse) {
  auto db = Open();
  v1::CreateDecompositionRequest request;
  request.set_request_id("r");
  InsertJob(*db, "d-1", request, "digest", absl::Now());
  Findings good, bad;
  bad.tree.emplace();
  for (int i = 0; i < 2; ++i) bad.tree->add_nodes()->set_id("twice");
  good.tree.emplace();
  good.tree->add_nodes()->set_id("once");
  db->Script("BEGIN");
  EXPECT_TRUE(absl::IsInternal(TryRecordResult(*db, "d-1", "prepare", false, {}, bad)));
  EXPECT_TRUE(TryRecordResult(*db, "d-1", "prepare", false, {}, good).ok());
  EXPECT_EQ(db->QueryInt("SELECT COUNT(*) FROM nodes"), 0);
  RecordResult(*db, "d-1", "prepare", false, {}, good);
  db->Script("COMMIT");
  EXPECT_TRUE(db->TakeStatus().ok());
  EXPECT_EQ(db->QueryInt("SELECT COUNT(*) FROM nodes"), 1);
}

}  // namespace
}  // namespace strata::store
