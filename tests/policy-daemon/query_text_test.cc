#include "policy-daemon/query_text.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <rapidjson/document.h>

namespace postern {
namespace {

using rapidjson::Document;

// What nobody should see raw: a line break, an escape sequence, a C1 control,
// bytes that are no UTF-8, a NUL.
const std::string kHostile("a\nb \x1b[2J\xc2\x9b \xff \"q\" \0end", 21);

StsPolicy Policy() {
  StsPolicy policy;
  policy.mode = StsMode::kEnforce;
  policy.max_age = Seconds(604800);
  policy.mx = {"mx1.example.com", "*.example.net"};
  return policy;
}

HostFacts Host(const std::string& name, HostState state,
               const std::string& reason = "") {
  HostFacts host;
  host.name = name;
  host.state = state;
  host.reason = reason;
  host.ttl = Seconds(300);
  return host;
}

// One host of each kind, and an enforced policy.
QueryResult Full() {
  QueryResult result;
  Facts& facts = result.facts;
  facts.key.domain = "example.com";
  facts.mx.state = MxState::kSecure;
  facts.mx.ttl = Seconds(600);
  facts.hosts = {Host("mx1.example.com", HostState::kUsable),
                 Host("mx2.example.com", HostState::kUnusable),
                 Host("mx3.example.com", HostState::kNone),
                 Host("mx4.example.com", HostState::kUnknown, "timeout"),
                 Host("mx5.example.com", HostState::kNoAddress, "no address")};
  facts.hosts[0].tlsa_base = "mx1.example.com";
  facts.hosts[0].tlsa = {{3, 1, 1, std::string(32, '\xab')},
                         {0, 1, 1, std::string(32, '\xcd')}};
  facts.hosts[1].tlsa_base = "mx2.example.com";
  facts.hosts[1].tlsa = {{3, 1, 1, "short"}};
  facts.sts.state = StsState::kEnforce;
  facts.sts.txt = StsTxt::kValid;
  facts.sts.id = "20260101";
  facts.sts.fetch = StsFetch::kDone;
  facts.sts.policy = std::make_shared<const StsPolicy>(Policy());
  facts.sts.fetched_at = WallTime(Seconds(1700000000));
  facts.sts.expires_at = WallTime(Seconds(1700604800));
  result.now = WallTime(Seconds(1700000000));
  result.decision = {Row::kUnknownEnforce, Verdict::kTemp};
  result.reply = "TEMP why";
  result.tlsrpt_reply = "TEMP why";
  return result;
}

// The same with hostile bytes wherever a remote side can put text.
QueryResult Hostile() {
  QueryResult result = Full();
  Facts& facts = result.facts;
  facts.mx.state = MxState::kFailed;
  facts.mx.reason = kHostile;
  for (HostFacts& host : facts.hosts) {
    host.name += kHostile;
    host.reason = kHostile;
  }
  facts.sts.txt = StsTxt::kInvalid;
  facts.sts.txt_reason = kHostile;
  facts.sts.fetch = StsFetch::kFailed;
  facts.sts.fetch_reason = kHostile;
  return result;
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool IsSafe(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\n' || (c >= 0x20 && c <= 0x7e);
  });
}

TEST(QueryText, TellsReplyAndEveryFact) {
  EXPECT_EQ(
      QueryAsText(Full()),
      "example.com\n"
      "  Postfix gets    TEMP why\n"
      "  because         MTA-STS is enforced, and the DANE state of no host is "
      "known\n"
      "\n"
      "  MX              secure (DNSSEC), TTL 600 s\n"
      "                  mx1.example.com  DANE: usable TLSA records at "
      "mx1.example.com\n"
      "                      3 1 1 ABABABABABABABABABABABABABABABAB"
      "ABABABABABABABABABABABABABABABAB\n"
      "                      0 1 1 CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD"
      "CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD  (not usable for SMTP)\n"
      "                  mx2.example.com  DANE: TLSA records at "
      "mx2.example.com, none usable\n"
      "                      3 1 1 73686F7274  (not usable for SMTP)\n"
      "                  mx3.example.com  no DANE: no TLSA records\n"
      "                  mx4.example.com  unknown: timeout\n"
      "                  mx5.example.com  left out: no address\n"
      "  MTA-STS record  id 20260101 at _mta-sts.example.com\n"
      "  MTA-STS file    fetched from "
      "https://mta-sts.example.com/.well-known/mta-sts.txt\n"
      "  MTA-STS policy  mode enforce, max_age 604800 s, holds for 168 h\n"
      "                  mx mx1.example.com\n"
      "                  mx *.example.net  (no MX host matches)\n"
      "                  warning: MX host mx2.example.com is not in the "
      "policy\n"
      "                  warning: MX host mx3.example.com is not in the "
      "policy\n"
      "                  warning: MX host mx4.example.com is not in the "
      "policy\n"
      "                  warning: MX host mx5.example.com is not in the "
      "policy\n");
}

TEST(QueryText, TellsTheOtherDialectWhereItDiffers) {
  QueryResult result = Full();
  EXPECT_FALSE(Has(QueryAsText(result), "with TLSRPT"));
  result.tlsrpt_reply = "OK may policy_type=sts";
  EXPECT_TRUE(
      Has(QueryAsText(result), "    with TLSRPT   OK may policy_type=sts\n"));
}

TEST(QueryText, TellsWhyThereAreNoHosts) {
  QueryResult result;
  result.facts.key.domain = "example.com";
  result.facts.mx.state = MxState::kInsecure;
  result.facts.mx.nxdomain = true;
  EXPECT_TRUE(Has(QueryAsText(result), "the domain does not exist"));
  result.facts.mx.nxdomain = false;
  result.facts.mx.null_mx = true;
  EXPECT_TRUE(Has(QueryAsText(result), "null MX: it takes no mail"));
  result.facts.mx.null_mx = false;
  result.facts.mx.implicit = true;
  EXPECT_TRUE(Has(QueryAsText(result), "the domain is its own host"));
  result.facts.mx.unexamined = 7;
  EXPECT_TRUE(Has(QueryAsText(result), "7 more hosts not examined"));
  result.facts.mx.skipped = true;
  EXPECT_TRUE(Has(QueryAsText(result), "not looked up: DANE is off"));
  result.facts.key.is_host = true;
  EXPECT_TRUE(Has(QueryAsText(result), "the key names a host"));
}

TEST(QueryText, WarnsOfAResolverThatDoesNotValidate) {
  QueryResult result = Full();
  EXPECT_FALSE(Has(QueryAsText(result), "no DNS resolver validates"));
  result.resolver_validates = false;
  EXPECT_TRUE(Has(QueryAsText(result), "no DNS resolver validates DNSSEC"));
}

TEST(QueryText, HasAWordForEveryState) {
  for (StsTxt txt : {StsTxt::kPending, StsTxt::kAbsent, StsTxt::kInvalid,
                     StsTxt::kValid, StsTxt::kFailed}) {
    for (StsFetch fetch : {StsFetch::kNone, StsFetch::kPending, StsFetch::kDone,
                           StsFetch::kFailed, StsFetch::kSkipped}) {
      QueryResult result = Full();
      result.facts.sts.txt = txt;
      result.facts.sts.fetch = fetch;
      const std::string text = QueryAsText(result);
      EXPECT_FALSE(Has(text, "MTA-STS record  \n"));
      EXPECT_FALSE(Has(text, "MTA-STS file    \n"));
    }
  }
  for (int row = 0; row <= static_cast<int>(Row::kAllNoneOther); ++row) {
    QueryResult result = Full();
    result.decision.row = static_cast<Row>(row);
    EXPECT_FALSE(Has(QueryAsText(result), "because         \n")) << row;
  }
}

TEST(QueryText, EscapesWhatRemoteSidesWrote) {
  const std::string text = QueryAsText(Hostile());
  EXPECT_TRUE(IsSafe(text));
  EXPECT_FALSE(Has(text, "\nb "));
  EXPECT_TRUE(Has(text, "a\\x0ab \\x1b[2J\\xc2\\x9b \\xff \"q\" \\x00end"));
}

TEST(QueryText, EscapesTheBaseOfTlsaRecords) {
  QueryResult result = Full();
  result.facts.hosts[0].tlsa_base = kHostile;
  EXPECT_TRUE(IsSafe(QueryAsText(result)));
}

TEST(QueryJson, HoldsTheSameFacts) {
  Document json;
  json.Parse(QueryAsJson(Full()).c_str());
  ASSERT_FALSE(json.HasParseError());
  EXPECT_STREQ(json["key"].GetString(), "example.com");
  EXPECT_STREQ(json["reply"].GetString(), "TEMP why");
  EXPECT_STREQ(json["reply-tlsrpt"].GetString(), "TEMP why");
  EXPECT_TRUE(json["resolver-validates"].GetBool());

  const auto& mx = json["mx"];
  EXPECT_STREQ(mx["state"].GetString(), "secure");
  EXPECT_FALSE(mx["nxdomain"].GetBool());
  EXPECT_FALSE(mx["null-mx"].GetBool());
  EXPECT_FALSE(mx["implicit"].GetBool());
  EXPECT_EQ(mx["ttl"].GetInt64(), 600);
  ASSERT_EQ(mx["hosts"].Size(), 5u);
  const char* const states[] = {"usable", "unusable", "none", "unknown",
                                "no-address"};
  for (unsigned i = 0; i < 5; ++i)
    EXPECT_STREQ(mx["hosts"][i]["state"].GetString(), states[i]);
  const auto& host = mx["hosts"][0];
  EXPECT_STREQ(host["name"].GetString(), "mx1.example.com");
  EXPECT_STREQ(host["tlsa-base"].GetString(), "mx1.example.com");
  EXPECT_EQ(host["ttl"].GetInt64(), 300);
  ASSERT_EQ(host["tlsa"].Size(), 2u);
  EXPECT_TRUE(host["tlsa"][0]["usable"].GetBool());
  EXPECT_FALSE(host["tlsa"][1]["usable"].GetBool());

  const auto& sts = json["mta-sts"];
  EXPECT_STREQ(sts["record"].GetString(), "valid");
  EXPECT_STREQ(sts["id"].GetString(), "20260101");
  EXPECT_STREQ(sts["fetch"].GetString(), "done");
  EXPECT_STREQ(sts["policy"]["mode"].GetString(), "enforce");
  EXPECT_EQ(sts["policy"]["max-age"].GetInt64(), 604800);
  EXPECT_EQ(sts["policy"]["expires-at"].GetInt64(), 1700604800);
  EXPECT_FALSE(sts["policy"]["remembered"].GetBool());
  ASSERT_EQ(sts["policy"]["mx"].Size(), 2u);
  EXPECT_STREQ(sts["policy"]["mx"][1].GetString(), "*.example.net");
}

TEST(QueryJson, IsValidWithoutAnyFact) {
  Document json;
  json.Parse(QueryAsJson(QueryResult{}).c_str());
  ASSERT_FALSE(json.HasParseError());
  EXPECT_EQ(json["mx"]["hosts"].Size(), 0u);
  EXPECT_FALSE(json["mta-sts"].HasMember("policy"));
}

TEST(QueryJson, EscapesWhatRemoteSidesWrote) {
  const std::string text = QueryAsJson(Hostile());
  EXPECT_TRUE(IsSafe(text));
  Document json;
  json.Parse(text.c_str());
  ASSERT_FALSE(json.HasParseError());
  const std::string want = "a\\x0ab \\x1b[2J\\xc2\\x9b \\xff \"q\" \\x00end";
  EXPECT_EQ(json["mx"]["reason"].GetString(), want);
  EXPECT_EQ(json["mx"]["hosts"][0]["reason"].GetString(), want);
  EXPECT_EQ(json["mx"]["hosts"][0]["name"].GetString(),
            "mx1.example.com" + want);
  EXPECT_EQ(json["mta-sts"]["record-reason"].GetString(), want);
  EXPECT_EQ(json["mta-sts"]["fetch-reason"].GetString(), want);
}

TEST(HasProblem, WhereTheOwnerHasSomethingToMend) {
  Facts fine;
  fine.mx.state = MxState::kSecure;
  fine.hosts = {Host("a", HostState::kUsable), Host("b", HostState::kNone),
                Host("c", HostState::kNoAddress)};
  fine.sts.txt = StsTxt::kAbsent;
  EXPECT_FALSE(HasProblem(fine));
  const auto with = [&](auto change) {
    Facts facts = fine;
    change(facts);
    return HasProblem(facts);
  };
  EXPECT_TRUE(with([](Facts& f) { f.mx.state = MxState::kFailed; }));
  EXPECT_TRUE(with([](Facts& f) { f.hosts[0].state = HostState::kUnusable; }));
  EXPECT_TRUE(with([](Facts& f) { f.hosts[1].state = HostState::kUnknown; }));
  EXPECT_TRUE(with([](Facts& f) { f.sts.txt = StsTxt::kInvalid; }));
  EXPECT_TRUE(with([](Facts& f) { f.sts.txt = StsTxt::kFailed; }));
  EXPECT_TRUE(with([](Facts& f) { f.sts.fetch = StsFetch::kFailed; }));
  EXPECT_TRUE(with([](Facts& f) { f.sts.fetch = StsFetch::kSkipped; }));
}

}  // namespace
}  // namespace postern
