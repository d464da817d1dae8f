#include "report-sender/tlsrpt_record.h"

#include <gtest/gtest.h>

#include "common/text.h"

namespace postern {
namespace {

using Strings = std::vector<std::string>;

// The records lead to these destinations, and nothing is refused.
void Good(const Strings& records, const Strings& uris) {
  const TlsrptRecord record = ParseTlsrptRecords(records);
  Strings found;
  for (const Destination& one : record.destinations)
    found.push_back(DestinationUri(one));
  EXPECT_EQ(found, uris) << records.front();
  EXPECT_EQ(record.problems, Strings()) << records.front();
}

void Bad(const Strings& records, const std::string& problem) {
  const TlsrptRecord record = ParseTlsrptRecords(records);
  EXPECT_TRUE(record.destinations.empty()) << records.front();
  EXPECT_EQ(record.problems, Strings{problem}) << records.front();
}

void Absent(const Strings& records, const char* why) {
  const TlsrptRecord record = ParseTlsrptRecords(records);
  EXPECT_TRUE(record.destinations.empty()) << why;
  EXPECT_EQ(record.problems, Strings()) << why;
}

void GoodMail(const std::string& uri, const std::string& address) {
  const auto parsed = ParseDestination(uri);
  ASSERT_TRUE(parsed) << uri << ": " << parsed.error().message;
  EXPECT_EQ(*parsed, Destination(MailAddress{address})) << uri;
  const auto again = ParseDestination(DestinationUri(*parsed));
  ASSERT_TRUE(again) << DestinationUri(*parsed);
  EXPECT_EQ(*again, *parsed) << uri;
}

void GoodUrl(const std::string& uri, const HttpsUrl& url) {
  const auto parsed = ParseDestination(uri);
  ASSERT_TRUE(parsed) << uri << ": " << parsed.error().message;
  EXPECT_EQ(*parsed, Destination(url)) << uri;
  const auto again = ParseDestination(DestinationUri(*parsed));
  ASSERT_TRUE(again) << DestinationUri(*parsed);
  EXPECT_EQ(*again, *parsed) << uri;
}

// Refused because `it has` this.
void Refused(const std::string& uri, const std::string& why) {
  const auto parsed = ParseDestination(uri);
  ASSERT_FALSE(parsed) << uri;
  EXPECT_EQ(parsed.error().message,
            "'" + Printable(uri) + "' is not used: it has " + why);
}

// --- The record.

TEST(TlsrptRecord, NamesDestinations) {
  Good({"v=TLSRPTv1; rua=mailto:tls@example.com"}, {"mailto:tls@example.com"});
  Good({"v=TLSRPTv1;rua=https://r.example.com/v1;"},
       {"https://r.example.com/v1"});
  Good({"v=TLSRPTv1; rua=mailto:a@example.com,https://r.example.com/v1"},
       {"mailto:a@example.com", "https://r.example.com/v1"});
  Good({"v=TLSRPTv1 ;\trua=mailto:a@example.com ; "}, {"mailto:a@example.com"});
}

TEST(TlsrptRecord, MayHaveBlanksAroundCommas) {
  Good({"v=TLSRPTv1; rua=mailto:a@example.com , \tmailto:b@example.com"},
       {"mailto:a@example.com", "mailto:b@example.com"});
  Good({"v=TLSRPTv1; rua= mailto:a@example.com,"}, {"mailto:a@example.com"});
}

TEST(TlsrptRecord, MayHaveSeveralRua) {
  Good({"v=TLSRPTv1; rua=mailto:b@example.com; rua=mailto:a@example.com"},
       {"mailto:b@example.com", "mailto:a@example.com"});
}

TEST(TlsrptRecord, MayHaveOtherFieldsAnywhere) {
  Good({"v=TLSRPTv1; foo=bar; rua=mailto:a@example.com; a.b-c=d e=\xc3\xa4"},
       {"mailto:a@example.com"});
}

TEST(TlsrptRecord, CountsADestinationOnce) {
  Good({"v=TLSRPTv1; rua=mailto:a@example.com,MAILTO:%61@Example.COM; "
        "rua=mailto:a@example.com"},
       {"mailto:a@example.com"});
}

TEST(TlsrptRecord, IsChosenByItsVersion) {
  Absent({}, "no TXT at all");
  Absent({""}, "empty");
  Absent({"v=spf1 -all"}, "another kind");
  Absent({"v=TLSRPTv10; rua=mailto:a@example.com"}, "another version");
  Absent({"v=tlsrptv1; rua=mailto:a@example.com"}, "case-sensitive");
  Absent({"rua=mailto:a@example.com; v=TLSRPTv1"}, "the version is not first");
  Absent({" v=TLSRPTv1; rua=mailto:a@example.com"}, "a blank before");
  Absent({"v=TLSRPTv1"}, "no delimiter");
  Good({"v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@example.com", ""},
       {"mailto:a@example.com"});
}

TEST(TlsrptRecord, IsOneOnly) {
  Bad({"v=TLSRPTv1; rua=mailto:a@example.com",
       "v=TLSRPTv1; rua=mailto:a@example.com"},
      "there are 2 TLSRPT records instead of one");
  Bad({"v=TLSRPTv1;", "v=TLSRPTv1; rua=mailto:a@example.com"},
      "there are 2 TLSRPT records instead of one");
}

TEST(TlsrptRecord, HasARua) {
  Bad({"v=TLSRPTv1;"}, "the record has no rua");
  Bad({"v=TLSRPTv1; RUA=mailto:a@example.com"}, "the record has no rua");
  Bad({"v=TLSRPTv1; ruf=mailto:a@example.com"}, "the record has no rua");
}

TEST(TlsrptRecord, IsAListOfFields) {
  const std::string no_list = "the record is not a list of name=value fields";
  Bad({"v=TLSRPTv1; rua"}, no_list);
  Bad({"v=TLSRPTv1; rua="}, no_list);
  Bad({"v=TLSRPTv1; rua =mailto:a@example.com"}, no_list);
  Bad({"v=TLSRPTv1;; rua=mailto:a@example.com"}, no_list);
}

TEST(TlsrptRecord, OneBadDestinationDoesNotSpoilTheOthers) {
  const auto record = ParseTlsrptRecords(
      {"v=TLSRPTv1; rua=gopher://a.example/,mailto:a@example.com,mailto:root,"
       "https://r.example.com/"});
  EXPECT_EQ(record.destinations.size(), 2u);
  EXPECT_EQ(
      record.problems,
      (Strings{"'gopher://a.example/' is not used: it has a scheme that "
               "is neither mailto nor https",
               "'mailto:root' is not used: it has no '@': a local name"}));
}

TEST(TlsrptRecord, HasAtMostTenDestinations) {
  std::string text = "v=TLSRPTv1; rua=mailto:0@example.com";
  for (int i = 1; i < 12; ++i)
    text += ",mailto:" + std::to_string(i) + "@example.com";
  const auto record = ParseTlsrptRecords({text});
  ASSERT_EQ(record.destinations.size(), kMaxDestinations);
  EXPECT_EQ(DestinationUri(record.destinations.back()), "mailto:9@example.com");
  ASSERT_EQ(record.problems.size(), 2u);
  EXPECT_EQ(record.problems.front(),
            "'mailto:10@example.com' is not used: 10 others stand before it");
}

TEST(TlsrptRecord, TellsOfTenProblemsAndFindsWhatIsGoodAllTheSame) {
  std::string text = "v=TLSRPTv1; rua=";
  for (int i = 0; i < 5000; ++i) text += "x:" + std::to_string(i) + ",";
  const auto record = ParseTlsrptRecords({text + "mailto:a@example.com"});
  EXPECT_EQ(record.problems.size(), 10u);
  EXPECT_EQ(record.destinations.size(), 1u);
}

TEST(TlsrptRecord, ProblemsAreSafeToPrint) {
  const auto record =
      ParseTlsrptRecords({"v=TLSRPTv1; rua=mailto:\x1b[2J@example.com"});
  ASSERT_EQ(record.problems.size(), 1u);
  EXPECT_EQ(record.problems[0],
            "'mailto:\\x1b[2J@example.com' is not used: it has a character "
            "that no URI has");
}

// --- mailto.

TEST(TlsrptMailto, IsAnAddress) {
  GoodMail("mailto:tls@example.com", "tls@example.com");
  GoodMail("mailto:Tls.Reports+x_y-z=1@Example.COM",
           "Tls.Reports+x_y-z=1@example.com");
  GoodMail("MailTo:a@sub.example.co.uk", "a@sub.example.co.uk");
  GoodMail("mailto:a@example.com.", "a@example.com");
  GoodMail("mailto:'~$&*/%7B%7D%5E%60@example.com", "'~$&*/{}^`@example.com");
}

TEST(TlsrptMailto, IsDecoded) {
  // RFC 8460 section 3, RFC 6068 section 2.
  GoodMail("mailto:tls%2Brpt@example.com", "tls+rpt@example.com");
  GoodMail("mailto:tls%2brpt%40example.com", "tls+rpt@example.com");
  GoodMail("mailto:what%3f%23%26%2F@example.com", "what?#&/@example.com");
  GoodMail("mailto:a@b%C3%BCcher.example", "a@xn--bcher-kva.example");
  Refused("mailto:a%2Cb@example.com", "',' in its local part");
  Refused("mailto:a%3Bb@example.com", "';' in its local part");
}

TEST(TlsrptMailto, HasNoControlCharacters) {
  Refused("mailto:a%0d%0aBcc:b@example.com", "a control character");
  Refused("mailto:a%0Ab@example.com", "a control character");
  Refused("mailto:a%00@example.com", "a control character");
  Refused("mailto:a%7f@example.com", "a control character");
  Refused("mailto:a\nb@example.com", "a character that no URI has");
  Refused(std::string("mailto:a\0b@example.com", 22),
          "a character that no URI has");
  const std::string no_domain = "no fully qualified domain behind the '@'";
  Refused("mailto:a@example.com%0d%0aDATA", no_domain);
  Refused("mailto:a@example.com%00.example", no_domain);
}

TEST(TlsrptMailto, IsNoOption) {
  Refused("mailto:-t@example.com", "a '-' at its start, as of an option");
  Refused("mailto:%2Doi@example.com", "a '-' at its start, as of an option");
}

TEST(TlsrptMailto, IsNoRoute) {
  Refused("mailto:host!user@example.com", "'!' in its local part");
  Refused("mailto:host%21user@example.com", "'!' in its local part");
  Refused("mailto:user%25host@example.com", "'%' in its local part");
  Refused("mailto:@relay.example%2Cuser@example.com", "'@' in its local part");
  Refused("mailto:@relay.example:user@example.com", "'@' in its local part");
  Refused("mailto:user@host.example%40example.com", "'@' in its local part");
  Refused("mailto:user%host@example.com",
          "a '%' without two hexadecimal digits behind it");
  Refused("mailto:user%4", "a '%' without two hexadecimal digits behind it");
}

TEST(TlsrptMailto, IsNoCommand) {
  Refused("mailto:|id@example.com", "a character that no URI has");
  Refused("mailto:%7Cid@example.com", "'|' in its local part");
  Refused("mailto:a%20b@example.com", "' ' in its local part");
  Refused("mailto:a%3Cb%3E@example.com", "'<' in its local part");
  Refused("mailto:a%5Cb@example.com", "'\\' in its local part");
  Refused("mailto::include:x@example.com", "':' in its local part");
  Refused("mailto:a(b)@example.com", "'(' in its local part");
}

TEST(TlsrptMailto, IsNotLocal) {
  Refused("mailto:root", "no '@': a local name");
  Refused("mailto:", "no '@': a local name");
  Refused("mailto:%2Fetc%2Fpasswd", "no '@': a local name");
  const std::string no_domain = "no fully qualified domain behind the '@'";
  Refused("mailto:root@", no_domain);
  Refused("mailto:root@localhost", no_domain);
  Refused("mailto:root@.example.com", no_domain);
  Refused("mailto:root@example..com", no_domain);
}

TEST(TlsrptMailto, HasNoAddressLiteral) {
  Refused("mailto:a@[192.0.2.1]", "an IP address instead of a domain");
  Refused("mailto:a@[IPv6:2001:db8::1]", "an IP address instead of a domain");
  Refused("mailto:a@192.0.2.1", "no fully qualified domain behind the '@'");
}

TEST(TlsrptMailto, HasNoHeaders) {
  Refused("mailto:a@example.com?subject=x", "mail headers ('?')");
  Refused("mailto:a@example.com?bcc=b@example.com", "mail headers ('?')");
  Refused("mailto:?to=a@example.com", "mail headers ('?')");
}

TEST(TlsrptMailto, IsADotString) {
  Refused("mailto:%22a b%22@example.com", "a character that no URI has");
  Refused("mailto:%22a%20b%22@example.com", "a quoted local part");
  Refused("mailto:@example.com", "nothing before the '@'");
  const std::string dots = "a '.' at its start or end, or two in a row";
  Refused("mailto:.a@example.com", dots);
  Refused("mailto:a.@example.com", dots);
  Refused("mailto:a..b@example.com", dots);
  Refused("mailto:gr%C3%BCn@example.com", "'\\xc3' in its local part");
}

TEST(TlsrptMailto, IsNotTooLong) {
  const std::string at = "@example.com";
  GoodMail("mailto:" + std::string(64, 'a') + at, std::string(64, 'a') + at);
  Refused("mailto:" + std::string(65, 'a') + at,
          "more than 64 characters before the '@'");
  std::string domain;
  while (domain.size() < 220) domain += "abcdefghi.";
  domain += "example";
  GoodMail("mailto:" + std::string(26, 'a') + "@" + domain,
           std::string(26, 'a') + "@" + domain);
  Refused("mailto:" + std::string(27, 'a') + "@" + domain,
          "more than 254 characters");
  Refused("mailto:a@" + std::string(64, 'a') + ".example",
          "no fully qualified domain behind the '@'");
  Refused("mailto:a@example.com" + std::string(2000, 'a'),
          "more than 2000 characters");
}

// --- https.

TEST(TlsrptHttps, IsAUrl) {
  GoodUrl("https://r.example.com/tls/v1", {"r.example.com", 443, "/tls/v1"});
  GoodUrl("HTTPS://R.Example.COM", {"r.example.com", 443, "/"});
  GoodUrl("https://r.example.com:8443/", {"r.example.com", 8443, "/"});
  GoodUrl("https://r.example.com:443/x", {"r.example.com", 443, "/x"});
  GoodUrl("https://r.example.com/a?b=c&d=e/f?",
          {"r.example.com", 443, "/a?b=c&d=e/f?"});
  GoodUrl("https://r.example.com?x=1", {"r.example.com", 443, "/?x=1"});
}

TEST(TlsrptHttps, IsNotDecoded) {
  GoodUrl("https://r.example.com/a%2Cb%21%3b%40",
          {"r.example.com", 443, "/a%2Cb%21%3b%40"});
}

TEST(TlsrptHttps, HasNoUser) {
  Refused("https://user@r.example.com/", "a user name or password");
  Refused("https://user:secret@r.example.com/", "a user name or password");
  Refused("https://r.example.com:443@127.0.0.1/", "a user name or password");
  GoodUrl("https://r.example.com/@x", {"r.example.com", 443, "/@x"});
}

TEST(TlsrptHttps, IsOfThatSchemeOnly) {
  const std::string other = "a scheme that is neither mailto nor https";
  for (const char* uri :
       {"http://r.example.com/", "ftp://r.example.com/", "file:///etc/passwd",
        "javascript:alert(1)", "httpss://r.example.com/", ":a@example.com"})
    Refused(uri, other);
  Refused("r.example.com/x", "no scheme");
  Refused("tls@example.com", "no scheme");
}

TEST(TlsrptHttps, HasNoFragment) {
  Refused("https://r.example.com/x#y", "a fragment ('#')");
  Refused("https://r.example.com#y", "a fragment ('#')");
}

TEST(TlsrptHttps, HasNoControlCharacters) {
  Refused("https://r.example.com/\r\nHost: x", "a character that no URI has");
  Refused("https://r.example.com/a b", "a character that no URI has");
  Refused("https://r.example.com/\xc3\xa4", "a character that no URI has");
  Refused("https://r.example.com/%0d%0aX:y", "a control character");
  Refused("https://r.example.com/?a=%00", "a control character");
  Refused("https://r.example.com/a%zz",
          "a '%' without two hexadecimal digits behind it");
}

TEST(TlsrptHttps, HasNoSizeLimitAsInDmarc) {
  Refused("https://r.example.com/x!10m", "a '!' that is not percent-encoded");
}

TEST(TlsrptHttps, IsOfAHostWithAName) {
  const std::string no_domain = "a host that is no fully qualified domain";
  for (const char* uri :
       {"https://", "https:///x", "https://localhost/", "https://192.0.2.1/",
        "https://2130706433/", "https://[::1]/", "https://[::1]:443/",
        "https://127.1/", "https://a..example/", "https://-a.example/",
        "https://%6c.example.com/", "https://*.example.com/"})
    Refused(uri, no_domain);
  Refused("https:r.example.com", "no '//host'");
  Refused("https:/r.example.com", "no '//host'");
}

TEST(TlsrptHttps, HasAPort) {
  for (const char* port : {"0", "65536", "", "+1", "443x", "https"})
    Refused("https://r.example.com:" + std::string(port) + "/",
            "no port behind the ':'");
  GoodUrl("https://r.example.com:65535/", {"r.example.com", 65535, "/"});
}

TEST(TlsrptHttps, IsNotTooLong) {
  const std::string start = "https://r.example.com/";
  const std::string path(2000 - start.size(), 'a');
  GoodUrl(start + path, {"r.example.com", 443, "/" + path});
  Refused(start + path + "a", "more than 2000 characters");
}

}  // namespace
}  // namespace postern
