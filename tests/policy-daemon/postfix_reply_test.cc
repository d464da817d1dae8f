#include "policy-daemon/postfix_reply.h"

#include <gtest/gtest.h>

#include "policy-daemon/socketmap.h"
#include "tests/support/postfix_parser.h"

namespace postern {
namespace {

StsPolicy Policy(const std::string& text) {
  auto parsed = ParseStsPolicy(text);
  if (parsed) return *parsed;
  ADD_FAILURE() << text.substr(0, 200) << "\n" << parsed.error().message;
  return {};
}

const std::string kHead = "version: STSv1\nmode: enforce\nmax_age: 86400\n";

TEST(DialectOfMap, KnowsTheNamesAndAliases) {
  for (const char* name : {"policy", "QUERY", "postfix"})
    EXPECT_EQ(DialectOfMap(name), Dialect::kPolicy) << name;
  for (const char* name : {"policy-tlsrpt", "QUERYwithTLSRPT"})
    EXPECT_EQ(DialectOfMap(name), Dialect::kTlsrpt) << name;
  for (const char* name :
       {"", "Policy", "query", "policy ", "tlsrpt", "policy-tlsrpt\n"})
    EXPECT_EQ(DialectOfMap(name), std::nullopt) << name;
}

TEST(SecureReply, NamesTheHostsForAnyPostfix) {
  const StsPolicy policy = Policy(
      "version: STSv1\nmode: enforce\nmx: Mail.Example.com\n"
      "mx: *.example.net\nmx: mail.example.com\nmax_age: 604800\n");
  EXPECT_EQ(SecureReply(policy, "example.com", Dialect::kPolicy),
            "OK secure match=mail.example.com:.example.net "
            "servername=hostname");
}

TEST(SecureReply, AddsTheReportingAttributes) {
  const StsPolicy policy = Policy(
      "version: STSv1\nmode: enforce\nmx: Mail.Example.com\n"
      "mx: *.example.net\nmx: mail.example.com\nmax_age: 604800\n");
  EXPECT_EQ(SecureReply(policy, "example.com", Dialect::kTlsrpt),
            "OK secure match=mail.example.com:.example.net "
            "servername=hostname policy_type=sts policy_domain=example.com "
            "mx_host_pattern=mail.example.com mx_host_pattern=*.example.net "
            "{ policy_string = version: STSv1 } "
            "{ policy_string = mode: enforce } "
            "{ policy_string = mx: mail.example.com } "
            "{ policy_string = mx: *.example.net } "
            "{ policy_string = max_age: 604800 }");
}

TEST(SecureReply, KeepsTheFilesOrderAndUnknownFields) {
  const StsPolicy policy = Policy(
      "max_age: 1\nfoo: a, b = \"c\"\nmx: b.example\nmode: enforce\n"
      "bad: a{b}\nutf8: \xc3\xa4\nmx: a.example\nversion: STSv1\n");
  EXPECT_EQ(SecureReply(policy, "xn--bcher-kva.example", Dialect::kTlsrpt),
            "OK secure match=b.example:a.example servername=hostname "
            "policy_type=sts policy_domain=xn--bcher-kva.example "
            "mx_host_pattern=b.example mx_host_pattern=a.example "
            "{ policy_string = max_age: 1 } "
            "{ policy_string = foo: a, b = \"c\" } "
            "{ policy_string = mx: b.example } "
            "{ policy_string = mode: enforce } "
            "{ policy_string = mx: a.example } "
            "{ policy_string = version: STSv1 }")
      << "values with braces or outside ASCII are left out";
}

TEST(TestingReply, OnlyReports) {
  const StsPolicy policy =
      Policy("version: STSv1\nmode: testing\nmx: *.example.com\nmax_age: 60\n");
  const std::string reply = TestingReply(policy, "example.com");
  EXPECT_EQ(reply,
            "OK may policy_type=sts policy_domain=example.com "
            "mx_host_pattern=*.example.com "
            "{ policy_string = version: STSv1 } "
            "{ policy_string = mode: testing } "
            "{ policy_string = mx: *.example.com } "
            "{ policy_string = max_age: 60 }");
  const auto read = ReadAsPostfix(reply, PostfixVersion::k310);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.level, "may");
}

TEST(FixedReplies, AreByteExact) {
  EXPECT_EQ(kDaneOnlyReply, "OK dane-only");
  EXPECT_EQ(kDaneReply, "OK dane");
  EXPECT_EQ(kNotFoundReply, "NOTFOUND ");
  for (std::string_view reply : {kDaneOnlyReply, kDaneReply})
    EXPECT_TRUE(ReadAsPostfix(reply, PostfixVersion::k37).ok());
}

TEST(TempReply, CarriesAReasonThatIsSafeToLog) {
  EXPECT_EQ(TempReply("MX lookup for example.com failed: timeout"),
            "TEMP MX lookup for example.com failed: timeout");
  EXPECT_EQ(TempReply("a\nb\xff"), "TEMP a\\x0ab\\xff");
  EXPECT_EQ(PermReply("unknown map a\x1b"), "PERM unknown map a\\x1b");
  // Postfix logs 200 bytes of it.
  EXPECT_EQ(TempReply(std::string(500, 'x')),
            "TEMP " + std::string(190, 'x') + "...");
}

// --- The limit of 100,000 bytes ---

// `count` patterns of `size` bytes each.
std::string Patterns(int count, size_t size) {
  std::string text = kHead;
  for (int i = 0; i < count; ++i) {
    std::string name = std::to_string(i);
    name = "m" + std::string(size - 1 - name.size(), '0') + name;
    text += "mx: " + name + "\n";
  }
  return text;
}

bool Has(const std::string& reply, const char* what) {
  return reply.find(what) != std::string::npos;
}

TEST(ReplyLimit, KeepsEverythingThatFits) {
  const StsPolicy policy = Policy(Patterns(900, 20));
  const std::string reply =
      SecureReply(policy, "example.com", Dialect::kTlsrpt);
  EXPECT_LE(reply.size(), kMaxReplyPayload);
  EXPECT_TRUE(Has(reply, "mx_host_pattern="));
  EXPECT_TRUE(Has(reply, "policy_string"));
  EXPECT_EQ(WrongInSecureReply(policy, "example.com", Dialect::kTlsrpt), "");
}

TEST(ReplyLimit, DropsAllPolicyStringsFirst) {
  const StsPolicy policy = Policy(Patterns(2000, 10));
  const std::string reply =
      SecureReply(policy, "example.com", Dialect::kTlsrpt);
  EXPECT_LE(reply.size(), kMaxReplyPayload);
  EXPECT_TRUE(Has(reply, "mx_host_pattern="));
  EXPECT_FALSE(Has(reply, "policy_string"));
  EXPECT_EQ(WrongInSecureReply(policy, "example.com", Dialect::kTlsrpt), "");
}

TEST(ReplyLimit, DropsAllReportingThen) {
  const StsPolicy policy = Policy(Patterns(5000, 7));
  const std::string reply =
      SecureReply(policy, "example.com", Dialect::kTlsrpt);
  EXPECT_EQ(reply, SecureReply(policy, "example.com", Dialect::kPolicy));
  EXPECT_EQ(WrongInSecureReply(policy, "example.com", Dialect::kTlsrpt), "");
}

TEST(ReplyLimit, NeverDropsAPattern) {
  for (int count : {1, 1000, 1500, 2000, 3000, 4000, 5000}) {
    const StsPolicy policy = Policy(Patterns(count, 8));
    ASSERT_EQ(policy.mx.size(), static_cast<size_t>(count));
    for (Dialect dialect : {Dialect::kPolicy, Dialect::kTlsrpt})
      EXPECT_EQ(WrongInSecureReply(policy, "example.com", dialect), "")
          << count;
  }
}

TEST(ReplyLimit, IsMetToTheByte) {
  // One unknown field is grown until the reply has 100,000 bytes and one more.
  std::string text = Patterns(880, 21);
  text += "pad: x\n";
  const size_t before =
      SecureReply(Policy(text), "example.com", Dialect::kTlsrpt).size();
  ASSERT_LT(before, kMaxReplyPayload);
  text.pop_back();
  text += std::string(kMaxReplyPayload - before, 'x');
  const std::string full =
      SecureReply(Policy(text), "example.com", Dialect::kTlsrpt);
  EXPECT_EQ(full.size(), kMaxReplyPayload);
  EXPECT_TRUE(Has(full, "policy_string"));
  const std::string over =
      SecureReply(Policy(text + "x"), "example.com", Dialect::kTlsrpt);
  EXPECT_FALSE(Has(over, "policy_string"));
  EXPECT_TRUE(Has(over, "mx_host_pattern"));
}

TEST(ReplyLimit, LeavesATestingReplyAtMay) {
  std::string text = Patterns(5000, 7);
  text.replace(text.find("enforce"), 7, "testing");
  EXPECT_EQ(TestingReply(Policy(text), "example.com"), "OK may");
}

// --- Nothing that a policy file says adds an attribute ---

struct HostileFile {
  const char* why;
  std::string line;  // added to a good policy
  bool valid;        // whether the policy is still one
};

const std::vector<HostileFile>& HostileFiles() {
  using namespace std::string_literals;
  static const std::vector<HostileFile> files = {
      {"a closing brace", "foo: a} servername=evil.example", true},
      {"three attributes",
       "foo: a} servername=evil.example { policy_string = x", true},
      {"an opening brace", "foo: {", true},
      {"many closing braces", "foo: }}}}}}", true},
      {"balanced braces", "foo: { match = evil.example }", true},
      {"braces the wrong way round", "foo: } {", true},
      {"an attribute of Postfix", "servername: evil.example", true},
      {"an attribute in a value", "foo: servername=evil.example", true},
      {"another match", "foo: match=evil.example", true},
      {"another match as a key", "match: evil.example", true},
      {"a level", "foo: none", true},
      {"separators", "foo: a, b\tc", true},
      {"quotes", "foo: \"a\" 'b' `c` \\", true},
      {"an equals sign", "foo: =", true},
      {"only equals signs", "foo: ===", true},
      {"an empty value", "foo:", true},
      {"a comment", "foo: # x", true},
      {"a percent sign", "foo: %s%n%d", true},
      {"a dollar sign", "foo: ${x}$(id)", true},
      {"a netstring", "foo: 5:hello,", true},
      {"a reply", "foo: OK none", true},
      {"UTF-8",
       "foo: gr\xc3\xbc\xc3\x9f"
       "e",
       true},
      {"full-width braces", "foo: \xef\xbd\x9d \xef\xbd\x9b", true},
      {"no UTF-8", "foo: \xff\xfe\x80", true},
      {"overlong UTF-8 of a brace", "foo: \xc1\xbd", true},
      {"C1 controls",
       "foo: \xc2\x9b"
       "2J",
       true},
      {"a long value", "foo: " + std::string(60000, 'x'), true},
      {"a long value of braces", "foo: " + std::string(60000, '}'), true},
      {"a line separator of Unicode", "foo: a\xe2\x80\xa8mode: none", true},
      {"a NUL", "foo: a\0b"s, false},
      {"a NUL in the key", "fo\0o: a"s, false},
      {"a carriage return", "foo: a\rservername: evil.example", false},
      {"a vertical tab", "foo: a\vb", false},
      {"a form feed", "foo: a\fb", false},
      {"an escape sequence", "foo: \x1b]0;x\x07", false},
      {"a brace in the key", "fo}o: x", false},
      {"an equals sign in the key", "a=b: x", false},
      {"a blank in the key", "a servername=evil.example: x", false},
      {"a brace in mx", "mx: a} servername=evil.example", false},
      {"a brace alone in mx", "mx: }", false},
      {"a colon in mx", "mx: a.example:evil.example", false},
      {"a comma in mx", "mx: a.example,servername=evil.example", false},
      {"a blank in mx", "mx: a.example servername=evil.example", false},
      {"a tab in mx", "mx: a.example\tmatch=evil.example", false},
      {"an equals sign in mx", "mx: servername=evil.example", false},
      {"a bar in mx", "mx: a|b", false},
      {"a match strategy", "mx: nexthop", false},
      {"a match strategy in capitals", "mx: HOSTNAME", false},
      {"a match strategy with a hyphen", "mx: dot-nexthop", false},
      {"a wildcard of everything", "mx: *", false},
      {"a NUL in mx", "mx: a.example\0"s, false},
      {"UTF-8 in mx", "mx: \xc3\xa4.example", false},
      {"a slash in mx", "mx: /etc/passwd", false},
      {"a second mode", "mode: none} servername=evil.example", true},
      {"a second max_age", "max_age: 1} {", true},
      {"a second version", "version: STSv1 }", true},
      {"a repeat of mx", "mx: MX.EXAMPLE.COM", true},
  };
  return files;
}

TEST(HostilePolicy, AddsNoAttribute) {
  for (const HostileFile& file : HostileFiles()) {
    SCOPED_TRACE(file.why);
    // Before and behind the good lines.
    for (const std::string& text :
         {kHead + "mx: mx.example.com\n" + file.line + "\n",
          kHead + file.line + "\nmx: mx.example.com\n"}) {
      const auto policy = ParseStsPolicy(text);
      ASSERT_EQ(policy.has_value(), file.valid);
      if (!policy) continue;
      EXPECT_EQ(policy->mx, (std::vector<std::string>{"mx.example.com"}));
      for (Dialect dialect : {Dialect::kPolicy, Dialect::kTlsrpt})
        EXPECT_EQ(WrongInSecureReply(*policy, "example.com", dialect), "");
    }
  }
}

TEST(HostilePolicy, AddsNoAttributeByAnyByte) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    for (const std::string& line :
         {"foo: a" + one + "b", "foo: " + one, "fo" + one + "o: a",
          "mx: a" + one + "b", "mx: " + one + "a.example", "mode: " + one,
          "foo: a" + one + "} servername=evil.example"}) {
      const auto policy =
          ParseStsPolicy(kHead + "mx: mx.example.com\n" + line + "\n");
      if (!policy) continue;
      for (Dialect dialect : {Dialect::kPolicy, Dialect::kTlsrpt})
        EXPECT_EQ(WrongInSecureReply(*policy, "example.com", dialect), "")
            << byte << " in " << line;
    }
  }
}

}  // namespace
}  // namespace postern
