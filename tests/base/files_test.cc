#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace strata {
namespace {

TempDir MakeDir() {
  auto dir = TempDir::Create("files_test_");
  EXPECT_TRUE(dir.ok()) << dir.status();
  return std::move(*dir);
}

TEST(Files, AtomicWriteReplacesAndLeavesNothingBeside) {
  const TempDir dir = MakeDir();
  const std::string path = JoinPath(dir.path(), "a.txt");
  ASSERT_TRUE(WriteFileAtomic(path, "old").ok());
  ASSERT_TRUE(WriteFileAtomic(path, std::string("n\0w", 3)).ok());
  EXPECT_EQ(*ReadFile(path), std::string("n\0w", 3));
  EXPECT_EQ(*ListFiles(dir.path()), std::vector<std::string>{"a.txt"});
}

TEST(Files, AtomicWriteIntoAMissingFolderNamesThePath) {
  const absl::Status status = WriteFileAtomic("/nonexistent/a.txt", "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("/nonexistent/a.txt"), std::string::npos);
}

TEST(Files, ReadRefusesWhatIsTooLargeAndWhatIsNoFile) {
  const TempDir dir = MakeDir();
  const std::string path = JoinPath(dir.path(), "a"), pipe = JoinPath(dir.path(), "pipe");
  ASSERT_TRUE(WriteFile(path, "12345").ok());
  EXPECT_EQ(*ReadFile(path, 5), "12345");
  EXPECT_EQ(ReadFile(path, 4).status().code(), absl::StatusCode::kResourceExhausted);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(pipe).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadFile(dir.path()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadFile(JoinPath(dir.path(), "none")).status().code(), absl::StatusCode::kNotFound);
}

TEST(Files, ListIsSortedRecursiveAndLeavesLinksOut) {
  const TempDir dir = MakeDir();
  ASSERT_TRUE(MakeDirs(JoinPath(dir.path(), "b/c")).ok());
  ASSERT_TRUE(WriteFile(JoinPath(dir.path(), "b/c/2"), "").ok());
  ASSERT_TRUE(WriteFile(JoinPath(dir.path(), "a"), "").ok());
  ASSERT_EQ(symlink("/etc", JoinPath(dir.path(), "link").c_str()), 0);
  EXPECT_EQ(*ListFiles(dir.path()), (std::vector<std::string>{"a", "b/c/2"}));
}

TEST(Files, RemoveTreeDoesNotFollowLinks) {
  const TempDir kept = MakeDir(), dir = MakeDir();
  ASSERT_TRUE(WriteFile(JoinPath(kept.path(), "precious"), "x").ok());
  ASSERT_EQ(symlink(kept.path().c_str(), JoinPath(dir.path(), "link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(dir.path()).ok());
  EXPECT_FALSE(FileExists(dir.path()));
  EXPECT_TRUE(FileExists(JoinPath(kept.path(), "precious")));
}

TEST(Files, PathPartsAreTakenAsWritten) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("a", "/b"), "/b");
  EXPECT_EQ(BaseName("/a/b/c.py"), "c.py");
  EXPECT_EQ(DirName("/a/b/c.py"), "/a/b");
  EXPECT_EQ(DirName("c.py"), ".");
  EXPECT_EQ(Stem("/a/b/c.py"), "c");
}

TEST(TempDir, IsRemovedWithItsContentAndOnlyOnceAfterAMove) {
  std::string path;
  {
    TempDir first = MakeDir();
    path = first.path();
    ASSERT_TRUE(WriteFile(JoinPath(path, "x"), "x").ok());
    const TempDir second = std::move(first);
    EXPECT_EQ(second.path(), path);
    EXPECT_TRUE(FileExists(path));
  }
  EXPECT_FALSE(FileExists(path));
}

}  // namespace
}  // namespace strata
