#include "common/text.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using Views = std::vector<std::string_view>;

TEST(Text, FoldsOnlyAsciiLetters) {
  EXPECT_EQ(ToLowerAscii("MX-1.Example.COM"), "mx-1.example.com");
  EXPECT_EQ(ToLowerAscii("\xc3\x84[@`{"), "\xc3\x84[@`{");
  EXPECT_EQ(ToLowerAscii(""), "");
}

TEST(Text, TrimsBlanksAndTabsOnly) {
  EXPECT_EQ(TrimBlanks(" \t a b\t "), "a b");
  EXPECT_EQ(TrimBlanks(" \t "), "");
  EXPECT_EQ(TrimBlanks(""), "");
  EXPECT_EQ(TrimBlanks("\na\r"), "\na\r");
}

TEST(Printable, LeavesPrintableAsciiAlone) {
  EXPECT_EQ(Printable("a ~!\"\\{}=,;"), "a ~!\"\\{}=,;");
  EXPECT_EQ(Printable(""), "");
}

TEST(Printable, EscapesEveryOtherByte) {
  EXPECT_EQ(Printable("a\nb\r\t"), "a\\x0ab\\x0d\\x09");
  EXPECT_EQ(Printable("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(Printable("\x7f"), "\\x7f");
  EXPECT_EQ(Printable("\xc3\xa9"), "\\xc3\\xa9");
  EXPECT_EQ(Printable(std::string_view("a\0b", 3)), "a\\x00b");
  for (int byte = 0; byte < 256; ++byte) {
    for (char c : Printable(std::string(1, static_cast<char>(byte))))
      EXPECT_TRUE(c >= 0x20 && c <= 0x7e) << byte;
  }
}

TEST(Printable, CutsLongText) {
  EXPECT_EQ(Printable("12345", 5), "12345");
  EXPECT_EQ(Printable("123456", 5), "12345...");
  EXPECT_EQ(Printable(std::string(300, 'a')), std::string(200, 'a') + "...");
  EXPECT_LE(Printable(std::string(300, '\n'), 10).size(), 13u);
}

TEST(Printable, CutsAlsoWhereTheLastByteIsEscaped) {
  EXPECT_EQ(Printable("1234\n", 5), "1234\\...");
}

TEST(ParseUint, TakesDecimalDigitsUpToTheBound) {
  EXPECT_EQ(ParseUint("0", 0), 0u);
  EXPECT_EQ(ParseUint("65535", 65535), 65535u);
  EXPECT_EQ(ParseUint("007", 10), 7u);
  EXPECT_EQ(ParseUint("18446744073709551615", UINT64_MAX), UINT64_MAX);
}

TEST(ParseUint, RefusesTheRest) {
  const auto bad = [](std::string_view text, uint64_t max, const char* why) {
    EXPECT_EQ(ParseUint(text, max), std::nullopt) << text << ": " << why;
  };
  bad("", 10, "empty");
  bad("65536", 65535, "above the bound");
  bad("1", 0, "above the bound");
  bad("18446744073709551616", UINT64_MAX, "overflow");
  bad("99999999999999999999999999", UINT64_MAX, "overflow");
  bad("-1", 10, "sign");
  bad("+1", 10, "sign");
  bad(" 1", 10, "blank");
  bad("1 ", 10, "blank");
  bad("0x1", 10, "hexadecimal");
  bad("1.0", 10, "fraction");
}

TEST(SplitList, LeavesEmptyPartsOut) {
  EXPECT_EQ(SplitList("a, b,c", ", "), (Views{"a", "b", "c"}));
  EXPECT_EQ(SplitList(",, a ,,", ", "), (Views{"a"}));
  EXPECT_EQ(SplitList("a b", ","), (Views{"a b"}));
  EXPECT_EQ(SplitList("", ","), (Views{}));
  EXPECT_EQ(SplitList(", ,", ", "), (Views{}));
}

TEST(NearestName, GuessesATypo) {
  const std::vector<std::string> known = {"policy.listen", "dns.server",
                                          "dns.timeout"};
  EXPECT_EQ(NearestName("policy.lisen", known), "policy.listen");
  EXPECT_EQ(NearestName("dns.servers", known), "dns.server");
  EXPECT_EQ(NearestName("dns_timeout", known), "dns.timeout");
}

TEST(NearestName, GuessesNothingWildly) {
  EXPECT_EQ(NearestName("something.else", {"dns.server"}), "");
  EXPECT_EQ(NearestName("x", {}), "");
}

TEST(Utf8, TakesACharacterAtATime) {
  std::string_view text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xa7z";
  std::vector<char32_t> codes;
  while (!text.empty()) codes.push_back(TakeUtf8(text));
  EXPECT_EQ(codes, (std::vector<char32_t>{'a', 0xe9, 0x20ac, 0x1f4e7, 'z'}));
}

TEST(Utf8, KnowsTheFirstAndTheLastOfEachLength) {
  for (const char* good :
       {"\x01", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
        "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
        "\xef\xbf\xbd", ""})
    EXPECT_TRUE(IsUtf8(good)) << Printable(good);
}

TEST(Utf8, BadBytesAreTakenOneByOne) {
  for (const char* bad : {
           "\x80", "\xbf", "\xff", "\xfe",      // never first
           "\xc3", "\xe2\x82", "\xf0\x9f\x93",  // cut off
           "\xc3(", "\xe2(\xac", "\xf0\x9f(\xa7", "\xc0\xaf", "\xe0\x80\xaf",
           "\xf0\x80\x80\xaf",                          // too long for it
           "\xed\xa0\x80", "\xed\xbf\xbf",              // surrogates
           "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",  // beyond Unicode
       }) {
    std::string_view text = bad;
    EXPECT_FALSE(IsUtf8(text)) << Printable(bad);
    const size_t before = text.size();
    EXPECT_EQ(TakeUtf8(text), kReplacementCharacter) << Printable(bad);
    EXPECT_EQ(text.size(), before - 1) << Printable(bad);
  }
}

}  // namespace
}  // namespace postern
