#include "policy-daemon/sts_policy.h"

#include <random>

#include <gtest/gtest.h>

namespace postern {
namespace {

using Strings = std::vector<std::string>;

const std::string kHead = "version: STSv1\nmode: enforce\nmax_age: 86400\n";
const std::string kPlain = kHead + "mx: mx.example.com\n";

// The fields kept, as "name: value|name: value".
std::string Fields(const StsPolicy& policy) {
  std::string joined;
  for (const auto& [name, value] : policy.fields) {
    if (!joined.empty()) joined += '|';
    joined += name + ": " + value;
  }
  return joined;
}

StsPolicy Good(const std::string& text) {
  auto parsed = ParseStsPolicy(text);
  if (parsed) return *parsed;
  ADD_FAILURE() << text.substr(0, 200) << "\n" << parsed.error().message;
  return {};
}

void Bad(const std::string& text, std::string_view why) {
  const auto parsed = ParseStsPolicy(text);
  ASSERT_FALSE(parsed) << text.substr(0, 200);
  EXPECT_EQ(parsed.error().message, why);
}

TEST(StsPolicy, IsReadWhole) {
  const StsPolicy policy = Good(
      "version: STSv1\nmode: enforce\nmx: mail.example.com\n"
      "mx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n");
  EXPECT_EQ(policy.mode, StsMode::kEnforce);
  EXPECT_EQ(policy.max_age, Seconds(604800));
  EXPECT_EQ(policy.mx, (Strings{"mail.example.com", "*.example.net",
                                "backupmx.example.com"}));
  EXPECT_EQ(Fields(policy),
            "version: STSv1|mode: enforce|mx: mail.example.com|"
            "mx: *.example.net|mx: backupmx.example.com|max_age: 604800");
}

TEST(StsPolicy, HasLinesEndedByLfOrCrlf) {
  const StsPolicy want = Good(kPlain);
  EXPECT_EQ(Good("version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\n"
                 "mx: mx.example.com\r\n"),
            want);
  EXPECT_EQ(Good("version: STSv1\nmode: enforce\r\nmax_age: 86400\n"
                 "mx: mx.example.com"),
            want)
      << "the last line need not end";
  Bad("version: STSv1\rmode: enforce\rmx: a.example\rmax_age: 1\r",
      "line 1: control characters in the value");
}

TEST(StsPolicy, MayHaveBlanksAfterTheColonAndAtTheEnd) {
  const StsPolicy want = Good(kPlain);
  EXPECT_EQ(Good("version:STSv1\nmode:\tenforce \nmax_age:  86400\t\n"
                 "mx:mx.example.com  \r\n"),
            want);
  Bad(kHead + "mx : a.example\n", "line 4: bad key");
}

TEST(StsPolicy, MayHaveBlankLines) {
  const StsPolicy want = Good(kPlain);
  EXPECT_EQ(Good("\n\r\n" + kPlain + "\n  \n"), want);
}

TEST(StsPolicy, MayHaveItsFieldsInAnyOrder) {
  const StsPolicy policy = Good(
      "mx: b.example\nmax_age: 1\nmx: a.example\nmode: testing\n"
      "version: STSv1");
  EXPECT_EQ(policy.mode, StsMode::kTesting);
  EXPECT_EQ(policy.mx, (Strings{"b.example", "a.example"}));
  EXPECT_EQ(Fields(policy),
            "mx: b.example|max_age: 1|mx: a.example|mode: testing|"
            "version: STSv1");
}

TEST(StsPolicy, NeedsEachField) {
  Bad("", "no version");
  Bad("mode: enforce\nmx: a.example\nmax_age: 1\n", "no version");
  Bad("version: STSv1\nmx: a.example\nmax_age: 1\n", "no mode");
  Bad("version: STSv1\nmode: enforce\nmx: a.example\n", "no max_age");
  Bad(kHead, "no mx");
  Bad("version: STSv1\nmode: testing\nmax_age: 1\n", "no mx");
}

TEST(StsPolicy, NeedsNoMxForModeNone) {
  const StsPolicy policy = Good("version: STSv1\nmode: none\nmax_age: 60\n");
  EXPECT_EQ(policy.mode, StsMode::kNone);
  EXPECT_TRUE(policy.mx.empty());
  EXPECT_EQ(Good("version: STSv1\nmode: none\nmax_age: 60\nmx: a.example").mx,
            (Strings{"a.example"}));
}

TEST(StsPolicy, CountsTheFirstOfRepeatedKeys) {
  const StsPolicy policy =
      Good(kPlain + "mode: none\nversion: STSv2\nmax_age: x\nfoo: 1\nfoo: 2\n");
  EXPECT_EQ(policy.mode, StsMode::kEnforce);
  EXPECT_EQ(policy.max_age, Seconds(86400));
  EXPECT_EQ(Fields(policy),
            "version: STSv1|mode: enforce|max_age: 86400|"
            "mx: mx.example.com|foo: 1");
  Bad("mode: maybe\n" + kPlain, "line 1: unknown mode");
}

TEST(StsPolicy, IgnoresUnknownKeys) {
  const StsPolicy policy = Good(kPlain +
                                "foo: bar  baz\nx.y-z_9: gr\xc3\xbc\xc3\x9f"
                                "e\n");
  EXPECT_EQ(policy.mx, (Strings{"mx.example.com"}));
  EXPECT_EQ(Fields(policy),
            "version: STSv1|mode: enforce|max_age: 86400|"
            "mx: mx.example.com|foo: bar  baz|x.y-z_9: gr\xc3\xbc\xc3\x9f"
            "e");
}

TEST(StsPolicy, ChecksKeys) {
  Good(kPlain + std::string(32, 'k') + ": 1\n");
  Bad(kPlain + std::string(33, 'k') + ": 1\n", "line 5: bad key");
  Bad(kPlain + "_foo: 1\n", "line 5: bad key");
  Bad(kPlain + "a b: 1\n", "line 5: bad key");
  Bad(kPlain + ": 1\n", "line 5: bad key");
  Bad(kPlain + "\xc3\xa4: 1\n", "line 5: bad key");
  Bad("\xef\xbb\xbf" + kPlain, "line 1: bad key");
  Bad(kPlain + "no colon\n", "line 5: no 'key: value'");
  Bad("<!DOCTYPE html>\n<html></html>\n", "line 1: no 'key: value'");
  Bad(kPlain + std::string("foo\0: 1\n", 8), "line 5: bad key");
}

TEST(StsPolicy, HasNoControlCharacters) {
  Bad(kPlain + "foo: \x1b[2J\n", "line 5: control characters in the value");
  Bad(kPlain + "foo: \x7f\n", "line 5: control characters in the value");
  Bad(kPlain + std::string("foo: a\0b\n", 9),
      "line 5: control characters in the value");
  Bad(kPlain + "foo: a\rb\n", "line 5: control characters in the value");
  Bad(kHead + std::string("mx: a.example\0\n", 15),
      "line 4: control characters in the value");
}

TEST(StsPolicy, KnowsItsVersionAndModes) {
  Bad("version: STSv2\n", "line 1: unknown version");
  Bad("version: stsv1\n", "line 1: unknown version");
  Bad("version: STSv1 ; id=1\n", "line 1: unknown version");
  Bad("version:\n", "line 1: unknown version");
  Bad("mode: Enforce\n", "line 1: unknown mode");
  Bad("mode: report\n", "line 1: unknown mode");
  Bad("mode:\n", "line 1: unknown mode");
  Bad("Mode: enforce\nversion: STSv1\nmax_age: 1\nmx: a.example", "no mode");
}

Seconds MaxAge(const std::string& digits) {
  return Good("version: STSv1\nmode: none\nmax_age: " + digits + "\n").max_age;
}

TEST(StsPolicy, HasAMaxAgeOfOneToTenDigits) {
  EXPECT_EQ(MaxAge("0"), Seconds(0));
  EXPECT_EQ(MaxAge("86400"), Seconds(86400));
  EXPECT_EQ(MaxAge("0000086400"), Seconds(86400));
  EXPECT_EQ(MaxAge("31557600"), Seconds(31557600));
  const char* const kNoAge = "line 1: max_age is not 1 to 10 digits";
  Bad("max_age: 00000086400\n", kNoAge);
  Bad("max_age: 10000000000\n", kNoAge);
  Bad("max_age:\n", kNoAge);
  Bad("max_age: -1\n", kNoAge);
  Bad("max_age: 1d\n", kNoAge);
  Bad("max_age: 1.5\n", kNoAge);
  Bad("max_age: 86400 seconds\n", kNoAge);
}

TEST(StsPolicy, CapsMaxAge) {
  EXPECT_EQ(MaxAge("31557601"), kMaxPolicyAge);
  EXPECT_EQ(MaxAge("4294967296"), kMaxPolicyAge) << "2^32";
  EXPECT_EQ(MaxAge("9999999999"), kMaxPolicyAge);
}

TEST(StsPolicy, FoldsMxAndDropsRepeats) {
  const StsPolicy policy =
      Good(kHead +
           "mx: MX.Example.COM\nmx: mx.example.com\nmx: *.Example.com\n"
           "mx: *.example.com\nmx: mx_1.example.com\nmx: localhost\n"
           "mx: xn--bcher-kva.example\n");
  EXPECT_EQ(policy.mx,
            (Strings{"mx.example.com", "*.example.com", "mx_1.example.com",
                     "localhost", "xn--bcher-kva.example"}));
}

TEST(StsPolicy, IsInvalidForOneBadMx) {
  const auto bad = [](const std::string& value, const char* why) {
    const auto parsed = ParseStsPolicy(kPlain + "mx: " + value + "\n");
    ASSERT_FALSE(parsed) << value << ": " << why;
    EXPECT_TRUE(parsed.error().message.starts_with("line 5: "))
        << parsed.error().message;
  };
  bad("", "empty");
  bad("192.0.2.1", "address");
  bad("[192.0.2.1]", "address literal");
  bad("2001:db8::1", "address");
  bad("mx.example.com.", "trailing dot");
  bad(".example.com", "leading dot");
  bad("*", "bare wildcard");
  bad("*.", "bare wildcard");
  bad("*.*.example.com", "two wildcards");
  bad("mx.*.example.com", "wildcard inside");
  bad("mx*.example.com", "half a label");
  bad("*example.com", "half a label");
  bad("**.example.com", "two wildcards");
  bad("mx..example.com", "empty label");
  bad("-mx.example.com", "hyphen first");
  bad("b\xc3\xbc"
      "cher.example",
      "U-label");
  bad("a.example, b.example", "two names");
  bad("a.example b.example", "two names");
  bad("a.example:25", "port");
  bad("a.example:b.example", "two names for Postfix");
  bad("a.example=b", "syntax of Postfix");
  bad("a.example} servername=evil.example { policy_string = x",
      "syntax of Postfix");
  bad("\"a.example\"", "quotes");
  bad("<a.example>", "brackets");
  bad(std::string(64, 'a') + ".example", "a label of 64 bytes");
  bad(std::string(63, 'a') + "." + std::string(63, 'b') + "." +
          std::string(63, 'c') + "." + std::string(63, 'd'),
      "255 bytes");
}

TEST(StsPolicy, CannotNameAMatchStrategy) {
  for (const char* word : {"hostname", "nexthop", "dot-nexthop", "HostName",
                           "NEXTHOP", "*.hostname"})
    EXPECT_FALSE(ParseStsPolicy(kHead + "mx: " + word + "\n")) << word;
  Good(kHead + "mx: hostname.example\nmx: my.nexthop\n");
}

TEST(StsPolicy, MistypedMxIsAnUnknownKey) {
  Bad(kHead + "nmx: a.example\n", "no mx");
}

TEST(StsPolicy, HoldsUpTo64KiB) {
  std::string text = kPlain + "foo: ";
  text.resize(65536, 'x');
  Good(text);
  Bad(text + "x", "larger than 64 KiB");
}

TEST(StsPolicy, HoldsAsManyMxAsFit) {
  std::string text = kHead;
  for (int i = 0; i < 3000; ++i) text += "mx: m" + std::to_string(i) + ".e\n";
  EXPECT_EQ(Good(text).mx.size(), 3000u);
}

TEST(StsPolicy, KeepsOneOfEachMxHoweverManyThereAre) {
  Strings expected;
  std::string text = kHead;
  for (int i = 0; text.size() < 30000; ++i) {
    expected.push_back("m" + std::to_string(i) + ".e");
    text += "mx:" + expected.back() + "\n";
  }
  for (size_t i = expected.size(); i > 0 && text.size() < 60000; --i)
    text += "mx:" + expected[i - 1] + "\n";
  EXPECT_GT(expected.size(), 2500u);
  EXPECT_EQ(Good(text).mx, expected);
}

TEST(StsPolicy, ErrorsAreSafeToPrint) {
  const auto parsed = ParseStsPolicy(kHead +
                                     "mx: \xc2\x9b"
                                     "2J\n");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().message, "line 4: '\\xc2\\x9b2J' is no mx pattern");
}

TEST(StsPolicyText, OfAnyPolicyParsesToAnEqualOne) {
  // Lines in any order and number, of every kind.
  const std::vector<std::string> lines = {"version: STSv1",
                                          "version:STSv1  ",
                                          "mode: enforce",
                                          "mode:\ttesting",
                                          "mode: none",
                                          "max_age: 86400",
                                          "max_age: 0",
                                          "max_age: 9999999999",
                                          "max_age:0000000007",
                                          "mx: mx.example.com",
                                          "mx: MX.Example.COM",
                                          "mx: *.example.com",
                                          "mx:b.example.com ",
                                          "x:",
                                          "x: 1",
                                          "ext_2: with: colons and  blanks",
                                          "utf: gr\xc3\xbc\xc3\x9f"
                                          "e",
                                          ""};
  std::mt19937 random(7);
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = "version: STSv1";
    for (unsigned n = 2 + random() % 10; n > 0; --n)
      text += (random() % 2 ? "\n" : "\r\n") + lines[random() % lines.size()];
    const auto policy = ParseStsPolicy(text);
    if (!policy) continue;
    ++parsed;
    const std::string again = StsPolicyText(*policy);
    const auto copy = ParseStsPolicy(again);
    ASSERT_TRUE(copy) << text;
    EXPECT_EQ(*copy, *policy) << text;
    EXPECT_LE(again.size(), text.size()) << text;
    EXPECT_EQ(StsPolicyText(*copy), again) << text;
  }
  EXPECT_GT(parsed, 1000);
}

TEST(MatchesMxPattern, ExactlyOrByOneLabel) {
  EXPECT_TRUE(MatchesMxPattern("mx.example.com", "mx.example.com"));
  EXPECT_FALSE(MatchesMxPattern("mx.example.com", "example.com"));
  EXPECT_TRUE(MatchesMxPattern("mx.example.com", "*.example.com"));
  EXPECT_FALSE(MatchesMxPattern("a.mx.example.com", "*.example.com"));
  EXPECT_FALSE(MatchesMxPattern("example.com", "*.example.com"));
  EXPECT_FALSE(MatchesMxPattern("xexample.com", "*.example.com"));
  EXPECT_FALSE(MatchesMxPattern("", "*.example.com"));
  EXPECT_FALSE(MatchesMxPattern("localhost", "*.localhost"));
}

}  // namespace
}  // namespace postern
