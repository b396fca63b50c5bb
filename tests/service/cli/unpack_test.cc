#include "client/cli/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

struct Entry {
  std::string path;
  std::string content;
  mode_t type = AE_IFREG;
};

std::string TarZst(const std::vector<Entry>& entries) {
  std::string buffer(1 << 20, '\0');
  size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_add_filter_zstd(writer);
  archive_write_set_format_pax_restricted(writer);
  archive_write_open_memory(writer, buffer.data(), buffer.size(), &used);
  for (const Entry& item : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, item.path.c_str());
    archive_entry_set_filetype(entry, item.type);
    archive_entry_set_perm(entry, 0644);
    if (item.type == AE_IFLNK) archive_entry_set_symlink(entry, item.content.c_str());
    if (item.type == AE_IFREG) archive_entry_set_size(entry, static_cast<int64_t>(item.content.size()));
    archive_write_header(writer, entry);
    if (item.type == AE_IFREG) archive_write_data(writer, item.content.data(), item.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  buffer.resize(used);
  return buffer;
}

ByteSource InPieces(std::string bytes, size_t piece = 37, absl::Status end = absl::OkStatus()) {
  return [bytes, piece, end, at = size_t{0}]() mutable -> absl::StatusOr<std::string> {
    if (at >= bytes.size() && !end.ok()) return end;
    const std::string chunk = bytes.substr(std::min(at, bytes.size()), piece);
    at += chunk.size();
    return chunk;
  };
}

std::string Read(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class UnpackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/unpack_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    target_ = (root_ / "out").string();
  }
  void TearDown() override { fs::remove_all(root_); }

  // Nothing but what was there before: no temporary folder either.
  size_t EntriesInRoot() { return std::distance(fs::directory_iterator(root_), {}); }

  fs::path root_;
  std::string target_;
  const std::string good_ =
      TarZst({{"decomposition_tree.json", "{}"}, {"steps/step_1/original.py", "import torch\n"}});
};

TEST_F(UnpackTest, FilesAndFoldersArriveAsTheyWereSent) {
  ASSERT_TRUE(UnpackBundle(InPieces(good_), target_ + "/", false).ok());
  EXPECT_EQ(Read(root_ / "out/steps/step_1/original.py"), "import torch\n");
  EXPECT_EQ(EntriesInRoot(), 1u);
}

TEST_F(UnpackTest, AnEmptyFolderStaysTheFolderItIs) {
  fs::create_directory(target_);
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(target_.c_str(), &before), 0);
  ASSERT_TRUE(UnpackBundle(InPieces(good_), target_, false).ok());
  ASSERT_EQ(stat(target_.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(std::distance(fs::directory_iterator(target_), {}), 2);
  EXPECT_EQ(EntriesInRoot(), 1u);
}

TEST_F(UnpackTest, AnEmptyFolderIsEmptyAgainAfterABrokenStream) {
  fs::create_directory(target_);
  EXPECT_FALSE(UnpackBundle(InPieces(good_.substr(0, good_.size() / 2)), target_, false).ok());
  EXPECT_TRUE(fs::is_empty(target_));
}

TEST_F(UnpackTest, ALinkIsFollowedToItsFolder) {
  fs::create_directory(root_ / "real");
  fs::create_directory_symlink(root_ / "real", target_);
  ASSERT_TRUE(UnpackBundle(InPieces(good_), target_, false).ok());
  ASSERT_TRUE(UnpackBundle(InPieces(good_), target_, true).ok());
  EXPECT_TRUE(fs::is_symlink(target_));
  EXPECT_EQ(Read(root_ / "real/decomposition_tree.json"), "{}");
}

TEST_F(UnpackTest, WhatCannotBeMadeIsRefusedByTheCheckAlready) {
  std::ofstream(root_ / "file") << "";
  fs::create_symlink(root_ / "nothing", root_ / "dangling");
  const auto refusal = [&](const std::string& dir) { return std::string(CheckTarget(dir, true).message()); };
  EXPECT_THAT(refusal("/proc/nowhere/x"),
              HasSubstr("cannot write below /proc/nowhere: No such file or directory"));
  EXPECT_THAT(refusal(root_ / "file/sub"), HasSubstr("Not a directory"));
  EXPECT_THAT(refusal(root_ / "dangling"), HasSubstr("is a link to nothing"));
}

TEST_F(UnpackTest, TheCheckMakesTheParentAndNothingElse) {
  EXPECT_TRUE(CheckTarget(root_ / "a/b/out", false).ok());
  EXPECT_TRUE(fs::is_empty(root_ / "a/b"));
}

TEST_F(UnpackTest, AFolderWithContentIsRefusedWithoutForce) {
  fs::create_directory(target_);
  std::ofstream(target_ + "/mine.txt") << "keep";
  const absl::Status status = UnpackBundle(InPieces(good_), target_, false);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--force"));
  EXPECT_EQ(Read(target_ + "/mine.txt"), "keep");
}

TEST_F(UnpackTest, ForceReplacesAnEarlierBundleWhole) {
  ASSERT_TRUE(
      UnpackBundle(InPieces(TarZst({{"decomposition_tree.json", "old"}, {"gone.py", ""}})), target_, false)
          .ok());
  ASSERT_TRUE(UnpackBundle(InPieces(good_), target_, true).ok());
  EXPECT_EQ(Read(target_ + "/decomposition_tree.json"), "{}");
  EXPECT_FALSE(fs::exists(target_ + "/gone.py"));
  EXPECT_EQ(EntriesInRoot(), 1u);
}

TEST_F(UnpackTest, ForceDoesNotReplaceAFolderThatIsNoBundle) {
  fs::create_directory(target_);
  std::ofstream(target_ + "/thesis.tex") << "keep";
  EXPECT_FALSE(UnpackBundle(InPieces(good_), target_, true).ok());
  EXPECT_EQ(Read(target_ + "/thesis.tex"), "keep");
}

TEST_F(UnpackTest, PathsThatLeaveTheFolderAreRefused) {
  for (const char* path : {"../evil.py", "a/../../evil.py", "/tmp/unpack_evil.py", "a/.."}) {
    const absl::Status status = UnpackBundle(InPieces(TarZst({{path, "x"}})), target_, false);
    EXPECT_FALSE(status.ok()) << path;
    EXPECT_EQ(EntriesInRoot(), 0u) << path;
  }
}

TEST_F(UnpackTest, LinksAreRefused) {
  const absl::Status status =
      UnpackBundle(InPieces(TarZst({{"link", "/etc", AE_IFLNK}, {"link/evil", "x"}})), target_, false);
  EXPECT_THAT(std::string(status.message()), HasSubstr("neither file nor folder"));
  EXPECT_EQ(EntriesInRoot(), 0u);
}

TEST_F(UnpackTest, AFileThatComesTwiceIsRefused) {
  EXPECT_FALSE(UnpackBundle(InPieces(TarZst({{"a.py", "1"}, {"a.py", "2"}})), target_, false).ok());
}

TEST_F(UnpackTest, ATruncatedStreamLeavesNothing) {
  EXPECT_FALSE(UnpackBundle(InPieces(good_.substr(0, good_.size() / 2)), target_, false).ok());
  EXPECT_EQ(EntriesInRoot(), 0u);
}

TEST_F(UnpackTest, TheStreamsOwnErrorComesThroughEvenAfterTheArchivesEnd) {
  const absl::Status status =
      UnpackBundle(InPieces(good_, 37, absl::UnavailableError("server went away")), target_, false);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(EntriesInRoot(), 0u);
}

TEST_F(UnpackTest, NoArchiveAtAllIsAnError) {
  EXPECT_FALSE(UnpackBundle(InPieces(""), target_, false).ok());
  EXPECT_FALSE(UnpackBundle(InPieces("this is no archive"), target_, false).ok());
}

}  // namespace
}  // namespace strata::cli
