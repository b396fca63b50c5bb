#include "base/capped_text.h"

#include <gtest/gtest.h>

namespace strata {
namespace {

TEST(CappedText, ShortTextIsKeptWhole) {
  CappedText text(8);
  text.Append("hello ");
  text.Append("world");
  EXPECT_EQ(text.Text(), "hello world");
  EXPECT_EQ(text.total_bytes(), 11);
}

TEST(CappedText, LongTextKeepsHeadAndTailAndSaysWhatIsMissing) {
  CappedText text(4);
  for (int i = 0; i < 1000; ++i) text.Append("0123456789");
  EXPECT_EQ(text.total_bytes(), 10000);
  EXPECT_EQ(text.Text(), "0123\n[... 9992 bytes left out ...]\n6789");
}

TEST(CappedText, OneLargeAppendIsCutLikeManySmall) {
  CappedText one(4), many(4);
  std::string data;
  for (char c = 'a'; c <= 'z'; ++c) data += c, many.Append(std::string(1, c));
  one.Append(data);
  EXPECT_EQ(one.Text(), many.Text());
}

TEST(ValidUtf8, KeepsValidTextAndReplacesEveryOtherByte) {
  EXPECT_EQ(ValidUtf8("grün €"), "grün €");
  EXPECT_EQ(ValidUtf8("a\xff"), "a\xEF\xBF\xBD");
  EXPECT_EQ(ValidUtf8("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");          // cut in the middle
  EXPECT_EQ(ValidUtf8("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");          // overlong
  EXPECT_EQ(ValidUtf8("\xED\xA0\x80").find("\xED"), std::string::npos);  // surrogate
}

}  // namespace
}  // namespace strata
