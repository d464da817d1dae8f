#include "tests/support/postfix_parser.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using Strings = std::vector<std::string>;

PostfixPolicy Read310(std::string_view payload) {
  return ReadAsPostfix(payload, PostfixVersion::k310);
}

void Good(std::string_view payload,
          PostfixVersion version = PostfixVersion::k310) {
  EXPECT_EQ(ReadAsPostfix(payload, version).error, "") << payload;
}

void Bad(std::string_view payload, const char* why,
         PostfixVersion version = PostfixVersion::k310) {
  EXPECT_FALSE(ReadAsPostfix(payload, version).ok()) << payload << ": " << why;
}

TEST(PostfixParser, KnowsTheLevelsInAnyCase) {
  for (const char* level : {"none", "may", "encrypt", "dane", "dane-only",
                            "fingerprint", "verify", "secure", "SECURE"})
    Good(std::string("OK ") + level);
  Bad("OK dane_only", "no such level");
  Bad("OK ", "empty");
  Bad("OK", "no blank after the verb");
  Bad("ok secure", "the verb is case-sensitive");
  Bad("NOTFOUND ", "another verb");
}

TEST(PostfixParser, SeparatesByCommasBlanksAndLineBreaks) {
  const auto read =
      Read310("OK secure,match=a.example\t servername=hostname\r\n,match=b");
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.match, (Strings{"a.example", "b"}));
  EXPECT_EQ(read.servername, "hostname");
}

TEST(PostfixParser, SplitsMatchByLevel) {
  EXPECT_EQ(Read310("OK secure match=a:b::.c:").match,
            (Strings{"a", "b", ".c"}));
  EXPECT_EQ(Read310("OK fingerprint match=aa:bb|cc:dd").match,
            (Strings{"aa:bb", "cc:dd"}));
  Bad("OK dane match=a", "match needs verify, secure or fingerprint");
  Bad("OK may match=a", "match needs verify, secure or fingerprint");
  Bad("OK secure match=", "empty value");
}

TEST(PostfixParser, TakesBracesAsOneAttribute) {
  const auto read = Read310(
      "OK secure { policy_type = sts } { policy_string = mx: a, \"b\"; c=d } "
      "{policy_string=x}");
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.policy_strings, (Strings{"mx: a, \"b\"; c=d", "x"}));
  Bad("OK secure { policy_type = sts", "no closing brace");
  Bad("OK secure { policy_type = sts }}", "text after the closing brace");
  Bad("OK secure { policy_type = sts }x=y", "text after the closing brace");
  Bad("OK secure {}", "no name");
}

TEST(PostfixParser, CountsBracesWithoutAnyEscape) {
  // What a policy file could do to a daemon that copies text.
  const auto read = Read310(
      "OK secure policy_type=sts { policy_string = mx: a} "
      "servername=evil.test { policy_string = x }");
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.servername, "evil.test");
  EXPECT_EQ(read.policy_strings, (Strings{"mx: a", "x"}));
  Bad("OK secure policy_type=sts { policy_string = \\} }", "a lone brace");
  Good("OK secure policy_type=sts { policy_string = a{b}c }");
}

TEST(PostfixParser, RefusesTheWholeReplyForOneFault) {
  Bad("OK secure foo=bar", "unknown attribute");
  Bad("OK secure servername=a.example servername=b.example", "given twice");
  Bad("OK secure SERVERNAME=a.example servername=b.example", "given twice");
  Bad("OK secure policy_type=sts policy_type=sts", "given twice");
  Bad("OK secure servername", "no =");
  Bad("OK secure =x", "no name");
  Bad("OK secure servername=", "empty value");
  Bad("OK secure servername=-a.example", "no host name");
  Bad("OK secure servername=a..example", "no host name");
  Good("OK secure match=a match=b");
}

TEST(PostfixParser, WantsPolicyTypeWithReportingAttributes) {
  Bad("OK secure mx_host_pattern=a.example", "no policy_type");
  Bad("OK secure policy_domain=a.example", "no policy_type");
  Bad("OK secure { policy_string = x }", "no policy_type");
  Bad("OK secure policy_type=tlsa", "unknown type");
  Bad("OK secure policy_type=sts policy_domain=a.example.", "trailing dot");
  Bad("OK secure policy_type=sts policy_domain=123", "all digits");
  Good("OK may policy_type=sts policy_domain=a.example");
  Good("OK secure mx_host_pattern=*.a.example policy_type=sts");
}

TEST(PostfixParser, KnowsNoReportingBefore310) {
  const auto old = PostfixVersion::k37;
  Good("OK secure match=a.example servername=hostname", old);
  Good("OK dane-only", old);
  Bad("OK secure policy_type=sts", "unknown attribute", old);
  Bad("OK secure { servername = a.example }", "no braces", old);
}

TEST(PostfixParser, ReadsUpToANul) {
  const std::string_view payload("OK dane\0 match=a", 16);
  EXPECT_EQ(Read310(payload).error, "");
}

TEST(PostfixParser, IgnoresAttributesAtLevelNone) {
  EXPECT_EQ(Read310("OK none match=a foo=bar").error, "");
}

}  // namespace
}  // namespace postern
