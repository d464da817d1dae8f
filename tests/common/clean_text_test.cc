#include "common/clean_text.h"

#include <gtest/gtest.h>

#include "common/text.h"

namespace postern {
namespace {

#define REPLACEMENT "\xef\xbf\xbd"

constexpr size_t kAll = 1000;

TEST(CleanText, LeavesGoodTextAlone) {
  for (const char* text :
       {"", "v=TLSRPTv1; rua=mailto:a@example.com", " ~ ", "gr\xc3\xbc\xc3\x9f",
        "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x93\xa7", "\xc2\xa0",
        "\xef\xbf\xbd", "\xf4\x8f\xbf\xbd"})
    EXPECT_EQ(CleanText(text, kAll), text);
}

TEST(CleanText, PutsABlankForAControlCharacter) {
  EXPECT_EQ(CleanText("a\r\nb\tc\x1b[2J\x7f", kAll), "a  b c [2J ");
  EXPECT_EQ(CleanText(std::string_view("a\0b", 3), kAll), "a b");
  EXPECT_EQ(CleanText("a\xc2\x80-\xc2\x85-\xc2\x9f", kAll), "a - - ") << "C1";
}

TEST(CleanText, RepairsWhatIsNotUtf8) {
  const struct {
    std::string_view in, want, why;
  } rows[] = {
      {"a\xff", "a" REPLACEMENT, "no such byte"},
      {"a\xe9z", "a" REPLACEMENT "z", "Latin-1"},
      {"\x80", REPLACEMENT, "a continuation"},
      {"\xc3", REPLACEMENT, "cut"},
      {"\xe6\x97", REPLACEMENT REPLACEMENT, "cut"},
      {"\xc0\xaf", REPLACEMENT REPLACEMENT, "overlong"},
      {"\xed\xa0\x80", REPLACEMENT REPLACEMENT REPLACEMENT, "a surrogate"},
      {"\xf4\x90\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT,
       "above U+10FFFF"},
      {"\xef\xbf\xbe", REPLACEMENT, "U+FFFE is a noncharacter"},
      {"\xef\xb7\x90", REPLACEMENT, "U+FDD0 is a noncharacter"},
      {"\xf0\x9f\xbf\xbf", REPLACEMENT, "U+1FFFF is a noncharacter"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(CleanText(row.in, kAll), row.want) << row.why;
    EXPECT_TRUE(IsUtf8(CleanText(row.in, kAll))) << row.why;
  }
}

TEST(CleanText, CutsBetweenCharacters) {
  EXPECT_EQ(CleanText("abc", 3), "abc");
  EXPECT_EQ(CleanText("abcd", 3), "abc");
  EXPECT_EQ(CleanText("ab\xc3\xbc", 4), "ab\xc3\xbc");
  EXPECT_EQ(CleanText("ab\xc3\xbc", 3), "ab");
  EXPECT_EQ(CleanText("a\xff\xff", 6), "a" REPLACEMENT)
      << "what stands for a byte is longer than it";
  EXPECT_EQ(CleanText("abc\xff", 3), "abc");
  EXPECT_EQ(CleanText("\xc3\xbc", 0), "");
}

}  // namespace
}  // namespace postern
