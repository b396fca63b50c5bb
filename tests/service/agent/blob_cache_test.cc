#include "worker/agent/blob_cache.h"

#include <sys/stat.h>

#include <filesystem>

#include "base/files.h"
#include "base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/task_folder.h"

namespace strata::agent {
namespace {

class BlobCacheTest : public ::testing::Test {
 protected:
  BlobCacheTest() : dir_(*TempDir::Create("blob_cache")) { Open(1000); }

  void Open(int64_t max_bytes) {
    auto cache = BlobCache::Open(JoinPath(dir_.path(), "cache"), max_bytes);
    ASSERT_TRUE(cache.ok()) << cache.status();
    cache_ = *std::move(cache);
  }
  // A new copy of `content`; counts what had to be fetched.
  absl::Status Copy(const std::string& content, const std::string& sent) {
    path_ = JoinPath(dir_.path(), std::to_string(next_++));
    return cache_->CopyTo(Sha256Hex(content), content.size(), path_,
                          [&](const std::string&, const BlobCache::Sink& sink) {
                            ++fetches_;
                            return sink(sent);
                          });
  }
  absl::Status Copy(const std::string& content) { return Copy(content, content); }
  std::string CachedPath(const std::string& content) {
    const std::string digest = Sha256Hex(content);
    return JoinPath(dir_.path(), "cache/sha256/" + digest.substr(0, 2) + "/" + digest);
  }

  TempDir dir_;
  std::unique_ptr<BlobCache> cache_;
  std::string path_;
  int next_ = 0;
  int fetches_ = 0;
};

TEST_F(BlobCacheTest, TheSecondCopyNeedsNoFetch) {
  ASSERT_TRUE(Copy("hello").ok());
  ASSERT_TRUE(Copy("hello").ok());
  EXPECT_EQ(fetches_, 1);
  EXPECT_EQ(*ReadFile(path_), "hello");
}

TEST_F(BlobCacheTest, CopiesAreReadOnlyAndNoLinks) {
  ASSERT_TRUE(Copy("hello").ok());
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0222, 0u);
  EXPECT_EQ(info.st_nlink, 1u);
}

TEST_F(BlobCacheTest, WrongBytesAreRefusedAndNotKept) {
  EXPECT_EQ(Copy("hello", "hellO").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Copy("hello", "hell").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Copy("hello", "hello hello").code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(FileExists(path_));
  EXPECT_EQ(cache_->size_bytes(), 0);
}

TEST_F(BlobCacheTest, ADamagedContentIsFetchedAgain) {
  ASSERT_TRUE(Copy("hello").ok());
  ASSERT_TRUE(RemoveTree(CachedPath("hello")).ok());
  ASSERT_TRUE(WriteFile(CachedPath("hello"), "torn").ok());
  ASSERT_TRUE(Copy("hello").ok());
  EXPECT_EQ(fetches_, 2);
  EXPECT_EQ(*ReadFile(path_), "hello");
}

TEST_F(BlobCacheTest, TheLeastRecentlyUsedGoFirstWhenItIsFull) {
  const std::string a(400, 'a'), b(400, 'b'), c(400, 'c');
  ASSERT_TRUE(Copy(a).ok());
  ASSERT_TRUE(Copy(b).ok());
  ASSERT_TRUE(Copy(a).ok());  // used again: b is the oldest now
  ASSERT_TRUE(Copy(c).ok());
  EXPECT_LE(cache_->size_bytes(), 1000);
  EXPECT_FALSE(FileExists(CachedPath(b)));
  EXPECT_EQ(fetches_, 3);
  ASSERT_TRUE(Copy(a).ok());
  EXPECT_EQ(fetches_, 3);
}

TEST_F(BlobCacheTest, AContentLargerThanTheCacheIsDeliveredAndNotKept) {
  ASSERT_TRUE(Copy("small").ok());
  ASSERT_TRUE(Copy(std::string(2000, 'x')).ok());
  EXPECT_EQ(cache_->size_bytes(), 5);
}

TEST_F(BlobCacheTest, ANewAgentTakesOverWhatIsThere) {
  ASSERT_TRUE(Copy("hello").ok());
  Open(1000);
  ASSERT_TRUE(Copy("hello").ok());
  EXPECT_EQ(fetches_, 1);
}

TEST(TaskFolder, OnlyPlainRelativePathsAreLaidOut) {
  for (const char* path : {"source/mlp.py", "a", ".strata/jobs.json", "a/..b"})
    EXPECT_TRUE(IsPlainRelativePath(path)) << path;
  for (const char* path : {"", "/a", "../a", "a/../b", "a//b", "a/", ".", "a/./b", "a\nb"}) {
    EXPECT_FALSE(IsPlainRelativePath(path)) << path;
  }
}

TEST(TaskFolder, OutputsAreTheRegularFilesInPathOrder) {
  auto dir = TempDir::Create("task_folder");
  auto folder = TaskFolder::Create(dir->path());
  ASSERT_TRUE(folder.ok());
  ASSERT_TRUE(MakeDirs(folder->out() + "/steps").ok());
  ASSERT_TRUE(WriteFile(folder->out() + "/steps/b.py", "b").ok());
  ASSERT_TRUE(WriteFile(folder->out() + "/a.py", "").ok());
  std::filesystem::create_symlink("/etc/passwd", folder->out() + "/c.py");
  const auto outputs = folder->Outputs();
  ASSERT_TRUE(outputs.ok());
  ASSERT_EQ(outputs->size(), 2u);
  EXPECT_EQ((*outputs)[0].path(), "a.py");
  EXPECT_EQ((*outputs)[1].path(), "steps/b.py");
  EXPECT_EQ((*outputs)[1].digest(), Sha256Hex("b"));
}

}  // namespace
}  // namespace strata::agent
