// Contents that nothing uses any more: gone from rows and disk, and never from the disk alone.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>

#include "base/files.h"
#include "base/sha256.h"
#include "server/coordinator/coordinator.h"
#include "server/store/job_queries.h"

namespace strata {
namespace {

class Cleaning : public ::testing::Test {
 protected:
  Cleaning() : folder_(*TempDir::Create("strata-cleaning")) {
    Coordinator::Options options;
    options.data_dir = folder_.path();
    options.tick = absl::Milliseconds(5);
    options.cleaning = absl::Milliseconds(20);
    options.clock = [this] { return absl::Now() + absl::Hours(hours_ahead_.load()); };
    coordinator_ = *Coordinator::Start(std::move(options));
  }

  template <typename T>
  static Done<T> Into(absl::Notification* said, absl::StatusOr<T>* result) {
    return [said, result](absl::StatusOr<T> value) {
      *result = std::move(value);
      said->Notify();
    };
  }
  std::shared_ptr<store::PartFile> Part(const std::string& content) {
    std::shared_ptr<store::PartFile> part = *coordinator_->blobs().NewTemporary();
    EXPECT_TRUE(part->Append(content).ok() && part->Flush().ok());
    return part;
  }
  void Store(const std::string& content) {
    absl::Notification said;
    absl::StatusOr<Nothing> stored = absl::UnknownError("");
    coordinator_->StoreBlob(Part(content), Sha256Hex(content), Into(&said, &stored));
    said.WaitForNotification();
    ASSERT_TRUE(stored.ok()) << stored.status();
  }
  v1::Decomposition Submit(const std::string& digest) {
    v1::CreateDecompositionRequest request;
    request.set_request_id("r");
    request.mutable_source()->add_files()->set_path("m.py");
    request.mutable_source()->mutable_files(0)->set_digest(digest);
    absl::Notification said;
    absl::StatusOr<v1::Decomposition> job;
    coordinator_->Create(request, Into(&said, &job));
    said.WaitForNotification();
    EXPECT_TRUE(job.ok()) << job.status();
    return *job;
  }
  bool HasRow(const std::string& digest) {
    return *coordinator_->readers().Do(
        [&](store::Database& db) -> absl::StatusOr<bool> { return store::BlobSize(db, digest).has_value(); });
  }
  bool HasFile(const std::string& digest) { return coordinator_->blobs().OpenBlob(digest).ok(); }
  static bool Soon(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000 && !condition(); ++i) absl::SleepFor(absl::Milliseconds(10));
    return condition();
  }

  TempDir folder_;
  std::atomic<int> hours_ahead_{0};
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_F(Cleaning, UnusedContentsAndUploadsGoWhileTheServerRuns) {
  const std::string unused = Sha256Hex("unused"), used = Sha256Hex("used"), partial = Sha256Hex("partial");
  Store("unused");
  Store("used");
  Submit(used);
  v1::StartUploadRequest announce;
  announce.set_digest(partial);
  announce.set_size_bytes(7);
  absl::Notification said;
  absl::StatusOr<v1::Upload> upload;
  coordinator_->StartUpload(announce, Into(&said, &upload));
  said.WaitForNotification();
  ASSERT_TRUE((*coordinator_->blobs().OpenUpload(partial))->Append("par").ok());
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_TRUE(HasFile(unused)) << "fresh ones may still be submitted";
  hours_ahead_ = 25;
  EXPECT_TRUE(Soon([&] { return !HasFile(unused) && coordinator_->blobs().UploadedBytes(partial) == 0; }));
  EXPECT_FALSE(HasRow(unused));
  EXPECT_TRUE(HasFile(used));
}

TEST_F(Cleaning, ContentStoredRightAfterItsDeletionStays) {
  const std::string digest = Sha256Hex("model");
  Store("model");
  const std::string id = Submit(digest).id();
  absl::Notification deleted, stored, held, go;
  v1::CancelDecompositionRequest cancel;
  cancel.set_decomposition_id(id);
  // While the writer stands here, delete and store come together in the next group.
  coordinator_->Cancel(cancel, [&](absl::StatusOr<v1::Decomposition>) {
    held.Notify();
    go.WaitForNotification();
  });
  held.WaitForNotification();
  absl::StatusOr<v1::DeleteDecompositionResponse> removed;
  absl::StatusOr<Nothing> stored_again;
  v1::DeleteDecompositionRequest request;
  request.set_decomposition_id(id);
  coordinator_->Delete(request, Into(&deleted, &removed));
  coordinator_->StoreBlob(Part("model"), digest, Into(&stored, &stored_again));
  go.Notify();
  stored.WaitForNotification();
  deleted.WaitForNotification();
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(removed->files_removed(), 1u);
  ASSERT_TRUE(stored_again.ok()) << stored_again.status();
  EXPECT_TRUE(HasRow(digest));
  EXPECT_TRUE(HasFile(digest));
}

}  // namespace
}  // namespace strata
