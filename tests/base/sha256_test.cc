#include "base/sha256.h"

#include "base/files.h"
#include "gtest/gtest.h"

namespace strata {
namespace {

TEST(Sha256, AgreesWithThePublishedVectors) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, AFileHasTheDigestOfItsBytesHoweverTheyAreRead) {
  auto dir = TempDir::Create("sha256");
  ASSERT_TRUE(dir.ok());
  const std::string path = JoinPath(dir->path(), "large");
  const std::string content(200'000, 'z');
  ASSERT_TRUE(WriteFile(path, content).ok());
  EXPECT_EQ(*Sha256File(path), Sha256Hex(content));
  EXPECT_FALSE(Sha256File(path + ".missing").ok());
}

TEST(Sha256, OnlyLowercaseHexOfFullLengthIsADigest) {
  EXPECT_TRUE(IsSha256Hex(Sha256Hex("x")));
  EXPECT_FALSE(IsSha256Hex(std::string(64, 'A')));
  EXPECT_FALSE(IsSha256Hex(std::string(63, 'a')));
  EXPECT_FALSE(IsSha256Hex("../../../etc/passwd"));
}

}  // namespace
}  // namespace strata
