#include "policy-daemon/overrides.h"

#include <fstream>

#include <gtest/gtest.h>

#include "policy-daemon/socketmap.h"
#include "tests/support/postfix_parser.h"

namespace postern {
namespace {

const ServicePorts kServices = {{"smtp", 25}, {"submission", 587}};

const std::string kSha1 =
    "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:AB:CD:EF:01:23:45:67";
const std::string kSha256 =
    "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:"
    "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef";

Result<Overrides> Parse(std::string_view text) {
  return Overrides::Parse(text, "o", kServices);
}

// REQUIRES: no error in `text`.
Overrides Parsed(std::string_view text) {
  auto overrides = Parse(text);
  EXPECT_TRUE(overrides) << overrides.error().message;
  return overrides ? std::move(*overrides) : Overrides();
}

// The reply, without its netstring, that `settings` make.
void Good(const std::string& settings, const std::string& want) {
  const Overrides overrides = Parsed("example.com " + settings);
  const Override* found = overrides.Find("example.com");
  ASSERT_TRUE(found) << settings;
  EXPECT_EQ(found->reply, EncodeNetstring(want)) << settings;
  EXPECT_FALSE(found->sts_off || found->dane_off) << settings;
  if (want == kNotFoundReply) {
    EXPECT_EQ(found->kind, ReplyKind::kNotFound);
    return;
  }
  EXPECT_EQ(found->kind, ReplyKind::kOverride);
  for (PostfixVersion version : {PostfixVersion::k37, PostfixVersion::k310})
    EXPECT_EQ(ReadAsPostfix(want, version).error, "") << want;
}

void Bad(const std::string& text, const std::string& message) {
  const auto overrides = Parse(text);
  ASSERT_FALSE(overrides) << text;
  EXPECT_EQ(overrides.error().message, message) << text;
}

// What "example.com SETTINGS" is refused with.
void BadSettings(const std::string& settings, const std::string& message) {
  Bad("example.com " + settings, "o:1: " + message);
}

// The level that `key` gets; "": no line for it.
std::string LevelOf(const Overrides& overrides, std::string_view key) {
  const Override* found = overrides.Find(key);
  if (!found) return "";
  const std::string_view payload = ParseNetstring(found->reply).payload;
  return ReadAsPostfix(payload, PostfixVersion::k37).level;
}

TEST(Overrides, AreRepliesOfALevel) {
  Good("off", "NOTFOUND ");
  Good("plaintext", "OK none");
  Good("may", "OK may");
  Good("encrypt", "OK encrypt");
  Good("dane", "OK dane");
  Good("dane-only", "OK dane-only");
  Good("verify", "OK verify");
  Good("secure", "OK secure");
  Good("Secure", "OK secure");
  Good("OFF", "NOTFOUND ");
}

TEST(Overrides, TakeAttributes) {
  Good("verify match=mail.a.example:.b.example",
       "OK verify match=mail.a.example:.b.example");
  Good("secure match=nexthop:dot-nexthop servername=hostname",
       "OK secure match=nexthop:dot-nexthop servername=hostname");
  Good("secure MATCH=Mail.Example", "OK secure match=Mail.Example");
  Good("secure tafile=/etc/postfix/ta#1.pem",
       "OK secure tafile=/etc/postfix/ta#1.pem");
  Good("fingerprint match=" + kSha1, "OK fingerprint match=" + kSha1);
  Good("fingerprint match=" + kSha1 + "|" + kSha256 + " ciphers=high",
       "OK fingerprint match=" + kSha1 + "|" + kSha256 + " ciphers=high");
  Good("may protocols=TLSv1.2:TLSv1.3", "OK may protocols=TLSv1.2:TLSv1.3");
  Good("may protocols=!SSLv2:!SSLv3", "OK may protocols=!SSLv2:!SSLv3");
  Good("encrypt protocols=>=TLSv1.2:<=TLSv1.3",
       "OK encrypt protocols=>=TLSv1.2:<=TLSv1.3");
  Good("encrypt exclude=aNULL:kRSA+AES:ECDHE-RSA-AES128-SHA256 ciphers=medium",
       "OK encrypt exclude=aNULL:kRSA+AES:ECDHE-RSA-AES128-SHA256 "
       "ciphers=medium");
  Good("dane servername=mx.example connection_reuse=no",
       "OK dane servername=mx.example connection_reuse=no");
}

TEST(Overrides, LetLookupsGoOn) {
  const Overrides overrides = Parsed(
      "d.example sts-off\n"
      "e.example dane-off\n"
      "f.example sts-off dane-off\n"
      "g.example DANE-off STS-off\n");
  const auto is = [&overrides](std::string_view key, bool sts, bool dane) {
    const Override* found = overrides.Find(key);
    ASSERT_TRUE(found) << key;
    EXPECT_EQ(found->reply, "") << key;
    EXPECT_EQ(found->sts_off, sts) << key;
    EXPECT_EQ(found->dane_off, dane) << key;
  };
  is("d.example", true, false);
  is("e.example", false, true);
  is("f.example", true, true);
  is("g.example", true, true);
}

TEST(Overrides, TakeCommentsBlanksAndAnyLineEnd) {
  const Overrides overrides = Parsed(
      "# a comment, \xff\n"
      "\n"
      " \t \r\n"
      "a.example off # why\r\n"
      "\tb.example \t may\t\n"
      "c.example encrypt #");
  EXPECT_EQ(overrides.size(), 3u);
  EXPECT_EQ(overrides.Find("a.example")->kind, ReplyKind::kNotFound);
  EXPECT_EQ(LevelOf(overrides, "b.example"), "may");
  EXPECT_EQ(LevelOf(overrides, "c.example"), "encrypt");
  EXPECT_EQ(overrides.Find("a.example")->line, 4u);
  EXPECT_EQ(overrides.Find("c.example")->line, 6u);
}

TEST(Overrides, MayBeNone) {
  for (const char* text : {"", "\n", "# nothing yet\n", "#"}) {
    const Overrides overrides = Parsed(text);
    EXPECT_TRUE(overrides.empty());
    EXPECT_EQ(overrides.size(), 0u);
    EXPECT_FALSE(overrides.Find("example.com"));
  }
}

TEST(Overrides, ServeTheNearestLine) {
  const Overrides overrides = Parsed(
      "example.com may\n"
      "example.com:587 encrypt\n"
      "[example.com]:465 dane\n"
      "[mx.example.com] verify\n"
      ".example.com secure\n"
      ".b.example.com dane-only\n"
      "c.b.example.com plaintext\n");
  const std::pair<const char*, const char*> kWant[] = {
      {"example.com", "may"},
      {"example.com:587", "encrypt"},
      {"example.com:465", "may"},
      {"[example.com]", "may"},
      {"[example.com]:587", "may"},
      {"[example.com]:465", "dane"},
      {"[mx.example.com]", "verify"},
      {"[mx.example.com]:587", "secure"},  // by its parent
      {"mx.example.com", "secure"},
      {"b.example.com", "secure"},
      {"b.example.com:2525", "secure"},
      {"a.b.example.com", "dane-only"},
      {"x.a.b.example.com", "dane-only"},
      {"[x.a.b.example.com]:587", "dane-only"},
      {"c.b.example.com", "none"},
      {"[c.b.example.com]:587", "none"},
      {"x.c.b.example.com", "dane-only"},
      {"example.org", ""},
      {"notexample.com", ""},
      {"com", ""},
  };
  for (const auto& [key, level] : kWant)
    EXPECT_EQ(LevelOf(overrides, key), level) << key;
}

TEST(Overrides, ServeNoParentByItsOwnLine) {
  const Overrides overrides = Parsed(".example.com may\n.com off\n");
  EXPECT_FALSE(overrides.Find(".example.com"));
  EXPECT_FALSE(overrides.Find(".com"));
  EXPECT_FALSE(overrides.Find("com"));
  EXPECT_EQ(overrides.Find("example.com")->kind, ReplyKind::kNotFound);
}

TEST(Overrides, AreNormalisedAsKeysAre) {
  const Overrides overrides = Parsed(
      "A.Example. may\n"
      "B\xc3\xbc"
      "cher.example encrypt\n"
      ".B\xc3\xbc"
      "cher.example. dane\n"
      "[MX.Example]:submission verify\n"
      "b.example:25 secure\n");
  EXPECT_EQ(LevelOf(overrides, "a.example"), "may");
  EXPECT_EQ(LevelOf(overrides, "xn--bcher-kva.example"), "encrypt");
  EXPECT_EQ(LevelOf(overrides, "www.xn--bcher-kva.example"), "dane");
  EXPECT_EQ(LevelOf(overrides, "[mx.example]:587"), "verify");
  EXPECT_EQ(LevelOf(overrides, "b.example"), "secure");
}

// A line for its parent must not hide the line that the key itself has.
TEST(Overrides, AreNotFoundByAnotherSpelling) {
  const Overrides overrides = Parsed(
      "example.com may\n.example.com may\n.com may\nunix may\n"
      "a.example.com encrypt\n");
  for (const char* key : {"A.example.com",
                          "a.example.com.",
                          "a.example.com:25",
                          "a.example.com:submission",
                          "a.example.com:0587",
                          "a.example.com:",
                          "a.example.com:0",
                          "a.example.com:65536",
                          "a.example.com:1:1",
                          "[a.example.com",
                          "[a.example.com]587",
                          "[a.example.com]:25",
                          "a.example.com]",
                          "user@example.com",
                          "a..example.com",
                          "-.example.com",
                          "a b.example.com",
                          "*.example.com",
                          "unix:25",
                          "192.0.2.1",
                          "[]",
                          "["})
    EXPECT_FALSE(overrides.Find(key)) << key;
  EXPECT_FALSE(overrides.Find(""));
  EXPECT_FALSE(overrides.Find(std::string_view("a\0.example.com", 14)));
  EXPECT_FALSE(overrides.Find(std::string(100000, 'a') + ".example.com"));
}

TEST(Overrides, RefuseBadDestinations) {
  const std::string expected =
      " is no destination; expected example.com, example.com:587, "
      "[mx.example.com]:587 or .example.com";
  for (const char* text :
       {"a..example", "*.example.com", "192.0.2.1", "[192.0.2.1]:25", ".",
        "..example.com", ".example.com:587", "a.example:nosuch", "a.example:0",
        "[a.example", "unix:/a", "user@a.example", "a.example,", "match=x"})
    Bad(std::string(text) + " may",
        "o:1: '" + std::string(text) + "'" + expected);
  Bad("\xff.example may", "o:1: '\\xff.example'" + expected);
  Bad("a.example may\n\tb.example\x0b may", "o:2: 'b.example\\x0b'" + expected);
}

TEST(Overrides, RefuseBadSettings) {
  const std::string settings =
      "off, plaintext, may, encrypt, dane, dane-only, verify, secure, "
      "fingerprint, sts-off or dane-off";
  Bad("Example.com",
      "o:1: example.com stands alone; expected behind it " + settings);
  Bad("\na.example  # off",
      "o:2: a.example stands alone; expected behind it " + settings);
  BadSettings("none", "'none' is no setting; expected " + settings);
  BadSettings("may,", "'may,' is no setting; expected " + settings);
  BadSettings("\x1b[1m", "'\\x1b[1m' is no setting; expected " + settings);
  BadSettings("half-dane", "'half-dane' is no setting; expected " + settings);
  BadSettings("off may", "'may' does not go with off; expected nothing");
  BadSettings("off sts-off",
              "'sts-off' does not go with off; expected nothing");
  BadSettings("sts-off may",
              "'may' does not go with sts-off; expected sts-off, dane-off or "
              "both");
  BadSettings("dane-off sts-off dane-off",
              "dane-off is given twice; expected it once");
  BadSettings("plaintext match=a.example",
              "'match=a.example' does not go with plaintext; expected "
              "nothing");
}

TEST(Overrides, RefuseAttributesThatDoNotGoWithTheLevel) {
  const std::string any =
      "; expected servername, protocols, ciphers, exclude, connection_reuse, "
      "each with =VALUE";
  const std::string names =
      "; expected match, servername, protocols, ciphers, exclude, tafile, "
      "connection_reuse, each with =VALUE";
  BadSettings("may match=a.example",
              "'match=a.example' does not go with may" + any);
  BadSettings("dane-only tafile=/a",
              "'tafile=/a' does not go with dane-only" + any);
  BadSettings("encrypt off", "'off' does not go with encrypt" + any);
  BadSettings("secure match", "'match' does not go with secure" + names);
  BadSettings("secure =x", "'=x' does not go with secure" + names);
  BadSettings("secure enable_rpk=yes",
              "'enable_rpk=yes' does not go with secure" + names);
  BadSettings("secure policy_type=sts",
              "'policy_type=sts' does not go with secure" + names);
  BadSettings("secure policy_ttl=1",
              "'policy_ttl=1' does not go with secure" + names);
  BadSettings("secure { match=a }", "'{' does not go with secure" + names);
  BadSettings("fingerprint match=" + kSha1 + " tafile=/a",
              "'tafile=/a' does not go with fingerprint; expected match, "
              "servername, protocols, ciphers, exclude, connection_reuse, each "
              "with =VALUE");
  BadSettings("fingerprint ciphers=high",
              "fingerprint stands without digests; expected match= and "
              "digests such as AA:BB:... in full, joined by '|'");
  BadSettings("verify match=a.example Match=b.example",
              "match is given twice; expected it once: names, .names, "
              "hostname, nexthop or dot-nexthop, joined by ':'");
}

TEST(Overrides, RefuseValuesThatPostfixWould) {
  const auto bad = [](const std::string& level, const std::string& attribute,
                      const std::string& expected) {
    BadSettings(level + " " + attribute,
                "'" + attribute + "' does not fit; expected " + expected);
  };
  const std::string match =
      "match= and names, .names, hostname, nexthop or dot-nexthop, joined by "
      "':'";
  for (const char* value : {"", ":", "a.example:", ":a.example", "a::b",
                            "*.a.example", "a.example.", "..a", "a/b", "1.2.3"})
    bad("secure", "match=" + std::string(value), match);

  const std::string digests =
      "match= and digests such as AA:BB:... in full, joined by '|'";
  for (const char* value :
       {"", "aa:bb", "0123456789abcdef0123456789abcdef",
        "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:e",
        "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:",
        "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01",
        "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:eg",
        "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef|",
        "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd|ef"})
    bad("fingerprint", "match=" + std::string(value), digests);

  for (const char* value : {"", "-a.example", "a..b", "a.example.", "a:b"})
    bad("may", "servername=" + std::string(value),
        "servername= and a host name, hostname or nexthop");
  for (const char* value : {"", "TLSv1.4", "tlsv1.2", "TLSv1.2:", ">=SSLv2",
                            ">=", "!", "!>=TLSv1", "0303"})
    bad("may", "protocols=" + std::string(value),
        "protocols= and versions such as TLSv1.2, !TLSv1 or >=TLSv1.2, joined "
        "by ':'");
  for (const char* value : {"", "strong", "invalid", "HIGH"})
    bad("may", "ciphers=" + std::string(value),
        "ciphers= and high, medium, low, export or null");
  for (const char* value : {"", ":", "!aNULL", "+aNULL", "-aNULL", "a@b"})
    bad("may", "exclude=" + std::string(value),
        "exclude= and names of ciphers, joined by ':'");
  for (const char* value : {"", "1", "Yes"})
    bad("may", "connection_reuse=" + std::string(value),
        "connection_reuse= and yes or no");
  bad("verify", "tafile=", "tafile= and a file name");
}

TEST(Overrides, RefuseWhatPostfixTakesForSyntax) {
  const std::string unreadable =
      " holds what Postfix cannot read there; expected printable ASCII without "
      "',', '{' and '}'";
  BadSettings("secure tafile=/a{b", "'tafile=/a{b'" + unreadable);
  BadSettings("secure tafile=/a}", "'tafile=/a}'" + unreadable);
  BadSettings("secure tafile=/a,servername=b",
              "'tafile=/a,servername=b'" + unreadable);
  BadSettings("secure tafile=/\xc3\xa4", "'tafile=/\\xc3\\xa4'" + unreadable);
  BadSettings(std::string("secure tafile=/a\0b", 18),
              "'tafile=/a\\x00b'" + unreadable);
  BadSettings("secure tafile=/a\rb", "'tafile=/a\\x0db'" + unreadable);
}

TEST(Overrides, RefuseADestinationGivenTwice) {
  Bad("\na.example may\nb.example off\nA.example.:25 may\n",
      "o:4: a.example stands in line 2 already; expected one line for it");
  Bad(".a.example may\n.A.example may",
      "o:2: .a.example stands in line 1 already; expected one line for it");
  // Other keys, whatever they mean to a lookup.
  EXPECT_EQ(Parsed("a.example may\n.a.example may\n[a.example] may\n"
                   "a.example:587 may\n[a.example]:587 may\n")
                .size(),
            5u);
}

TEST(Overrides, AreBounded) {
  const std::string line = "a.example secure tafile=/";
  const std::string rest(kMaxOverridesLine - line.size(), 'a');
  EXPECT_EQ(Parsed(line + rest + "\n").size(), 1u);
  const std::string too_long =
      "the line is too long; expected at most 4096 bytes";
  Bad(line + rest + "a\n", "o:1: " + too_long);
  Bad("\n#" + std::string(kMaxOverridesLine, '#'), "o:2: " + too_long);

  std::string text;
  while (text.size() < kMaxOverridesBytes)
    text += std::string(kMaxOverridesLine - 1, '#') + '\n';
  EXPECT_TRUE(Parsed(text).empty());
  text += '\n';
  Bad(text, "o: the file is too large; expected at most 67108864 bytes");
}

TEST(Overrides, AreFoundAmongMany) {
  std::string text;
  for (int i = 0; i < 20000; ++i)
    text += "d" + std::to_string(i) + ".example " +
            (i % 2 == 0 ? "may\n" : "encrypt\n");
  const Overrides overrides = Parsed(text);
  EXPECT_EQ(overrides.size(), 20000u);
  EXPECT_EQ(LevelOf(overrides, "d0.example"), "may");
  EXPECT_EQ(LevelOf(overrides, "[d19999.example]"), "encrypt");
  EXPECT_FALSE(overrides.Find("d20000.example"));
}

TEST(LoadOverrides, ReadsAFile) {
  const std::string path = testing::TempDir() + "overrides_test";
  std::ofstream(path) << "a.example may\n";
  const auto loaded = LoadOverrides(path, kServices);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(LevelOf(*loaded, "a.example"), "may");

  std::ofstream(path) << "a.example maybe\n";
  const auto bad = LoadOverrides(path, kServices);
  ASSERT_FALSE(bad);
  EXPECT_TRUE(bad.error().message.starts_with(path + ":1: 'maybe' is no"));
}

TEST(LoadOverrides, TakesNoFileForNone) {
  const auto loaded = LoadOverrides("", kServices);
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->empty());
}

TEST(LoadOverrides, TellsWhatCannotBeRead) {
  for (const char* path : {"/nonexistent/overrides", "/"}) {
    const auto loaded = LoadOverrides(path, kServices);
    ASSERT_FALSE(loaded) << path;
    EXPECT_EQ(loaded.error().message, "cannot read the overrides file " +
                                          std::string(path) +
                                          "; check its name and mode");
  }
  const auto endless = LoadOverrides("/dev/zero", kServices);
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().message,
            "/dev/zero: the file is too large; expected at most 67108864 "
            "bytes");
}

}  // namespace
}  // namespace postern
