#include "policy-daemon/reply_builder.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "policy-daemon/socketmap.h"
#include "tests/support/postfix_parser.h"

namespace postern {
namespace {

constexpr SiteLevel kSiteLevels[] = {
    SiteLevel::kNone,   SiteLevel::kMay,      SiteLevel::kEncrypt,
    SiteLevel::kDane,   SiteLevel::kDaneOnly, SiteLevel::kFingerprint,
    SiteLevel::kVerify, SiteLevel::kSecure};

Facts FactsWith(StsMode mode) {
  Facts facts;
  facts.key.domain = "example.com";
  StsPolicy policy;
  policy.mode = mode;
  policy.max_age = Seconds(86400);
  policy.mx = {"mx.example.com"};
  policy.fields = {{"mode", std::string(StsModeName(mode))},
                   {"mx", "mx.example.com"}};
  facts.sts.policy = std::make_shared<const StsPolicy>(policy);
  facts.sts.state =
      mode == StsMode::kEnforce ? StsState::kEnforce : StsState::kOther;
  return facts;
}

// Both replies, without their netstrings.
struct Texts {
  std::string plain;
  std::string tlsrpt;
  ReplyKind kind;
};

Texts Unpack(const Replies& replies) {
  Texts texts;
  texts.kind = replies.kind;
  for (size_t i = 0; i < kDialects; ++i) {
    const std::string& netstring = replies.text[i];
    const size_t colon = netstring.find(':');
    const std::string payload =
        netstring.substr(colon + 1, netstring.size() - colon - 2);
    EXPECT_EQ(EncodeNetstring(payload), netstring);
    (i == 0 ? texts.plain : texts.tlsrpt) = payload;
  }
  return texts;
}

Texts Build(const Facts& facts, Decision decision,
            ReplySettings settings = {}) {
  return Unpack(BuildReplies(facts, decision, settings));
}

constexpr Decision kSecure{Row::kInsecureEnforce, Verdict::kSecure};
constexpr Decision kDaneOnly{Row::kAllUsable, Verdict::kDaneOnly};
constexpr Decision kDane{Row::kSomeTlsaOther, Verdict::kDane};
constexpr Decision kNotFound{Row::kAllNoneOther, Verdict::kNotFound};

TEST(BuildReplies, WritesBothDialects) {
  const Texts texts = Build(FactsWith(StsMode::kEnforce), kSecure);
  EXPECT_EQ(texts.plain, "OK secure match=mx.example.com servername=hostname");
  EXPECT_EQ(texts.tlsrpt,
            "OK secure match=mx.example.com servername=hostname "
            "policy_type=sts policy_domain=example.com "
            "mx_host_pattern=mx.example.com { policy_string = mode: enforce } "
            "{ policy_string = mx: mx.example.com }");
  EXPECT_EQ(texts.kind, ReplyKind::kSecure);
}

TEST(BuildReplies, NamesTheKeysDomain) {
  Facts facts = FactsWith(StsMode::kEnforce);
  facts.key = {"mx.example.net", 587, true};
  EXPECT_NE(Build(facts, kSecure).tlsrpt.find("policy_domain=mx.example.net "),
            std::string::npos);
}

TEST(BuildReplies, AreTheSameForDane) {
  for (const auto& [decision, want, kind] :
       {std::tuple(kDaneOnly, "OK dane-only", ReplyKind::kDaneOnly),
        std::tuple(kDane, "OK dane", ReplyKind::kDane),
        std::tuple(kNotFound, "NOTFOUND ", ReplyKind::kNotFound)}) {
    const Texts texts = Build(Facts{}, decision);
    EXPECT_EQ(texts.plain, want);
    EXPECT_EQ(texts.tlsrpt, want);
    EXPECT_EQ(texts.kind, kind);
  }
}

// --- site_level: no answer lowers the administrator's floor ---

TEST(SiteLevel, IsLoweredByDaneAboveMay) {
  // `dane` falls to `may` for hosts without TLSA.
  for (SiteLevel site : kSiteLevels)
    EXPECT_EQ(DaneIsEnough(site), site == SiteLevel::kNone ||
                                      site == SiteLevel::kMay ||
                                      site == SiteLevel::kDane);
}

TEST(SiteLevel, LeavesTheStrongRepliesAlone) {
  for (SiteLevel site : kSiteLevels) {
    EXPECT_EQ(Build(Facts{}, kDaneOnly, {.site_level = site}).plain,
              "OK dane-only");
    EXPECT_EQ(Build(FactsWith(StsMode::kEnforce), kSecure, {.site_level = site})
                  .plain,
              "OK secure match=mx.example.com servername=hostname");
    EXPECT_EQ(Build(Facts{}, kNotFound, {.site_level = site}).plain,
              "NOTFOUND ");
  }
}

// --- testing_reply ---

TEST(TestingMode, IsAnsweredLikeNoPolicyByDefault) {
  const Texts texts = Build(FactsWith(StsMode::kTesting), kNotFound);
  EXPECT_EQ(texts.plain, "NOTFOUND ");
  EXPECT_EQ(texts.tlsrpt, "NOTFOUND ");
}

TEST(TestingMode, IsReportedOnWhereAskedForAndNotBelowTheSiteLevel) {
  for (SiteLevel site : kSiteLevels) {
    const Texts texts = Build(FactsWith(StsMode::kTesting), kNotFound,
                              {.testing_reply_may = true, .site_level = site});
    EXPECT_EQ(texts.plain, "NOTFOUND ") << "an old Postfix knows no reports";
    EXPECT_EQ(texts.kind, ReplyKind::kNotFound);
    if (site == SiteLevel::kNone || site == SiteLevel::kMay) {
      EXPECT_EQ(texts.tlsrpt,
                "OK may policy_type=sts policy_domain=example.com "
                "mx_host_pattern=mx.example.com "
                "{ policy_string = mode: testing } "
                "{ policy_string = mx: mx.example.com }");
    } else {
      EXPECT_EQ(texts.tlsrpt, "NOTFOUND ");
    }
  }
}

TEST(TestingMode, ReportsOnNoOtherMode) {
  const ReplySettings settings{.testing_reply_may = true};
  EXPECT_EQ(Build(FactsWith(StsMode::kNone), kNotFound, settings).tlsrpt,
            "NOTFOUND ");
  EXPECT_EQ(Build(Facts{}, kNotFound, settings).tlsrpt, "NOTFOUND ");
}

TEST(TestingMode, LeavesDaneAlone) {
  EXPECT_EQ(
      Build(FactsWith(StsMode::kTesting), kDane, {.testing_reply_may = true})
          .tlsrpt,
      "OK dane");
}

// --- mixed_reply ---

TEST(MixedReply, IsSecureOrDaneOnlyAsAskedFor) {
  Facts facts = FactsWith(StsMode::kEnforce);
  facts.mx.state = MxState::kSecure;
  facts.hosts.resize(2);
  facts.hosts[0].state = HostState::kUsable;
  facts.hosts[1].state = HostState::kNone;
  EXPECT_EQ(Build(facts, *Settle(facts, {})).plain,
            "OK secure match=mx.example.com servername=hostname");
  EXPECT_EQ(Build(facts, *Settle(facts, {.mixed_reply_dane_only = true})).plain,
            "OK dane-only");
  facts.hosts[0].state = HostState::kUnusable;
  EXPECT_EQ(Build(facts, *Settle(facts, {.mixed_reply_dane_only = true})).plain,
            "OK secure match=mx.example.com servername=hostname")
      << "dane-only would reach no host";
}

// --- TEMP ---

TEST(TempReason, TellsWhichLookupFailed) {
  Facts facts;
  facts.key.domain = "example.com";
  facts.mx.state = MxState::kFailed;
  facts.mx.reason = "SERVFAIL";
  const Texts texts = Build(facts, {Row::kMxFailed, Verdict::kTemp});
  EXPECT_EQ(texts.plain, "TEMP MX lookup for example.com failed: SERVFAIL");
  EXPECT_EQ(texts.tlsrpt, texts.plain);
  EXPECT_EQ(texts.kind, ReplyKind::kTempMxLookup);
}

TEST(TempReason, NamesTheHostThatIsUnknown) {
  Facts facts = FactsWith(StsMode::kEnforce);
  facts.hosts.resize(3);
  facts.hosts[0].state = HostState::kNone;
  facts.hosts[1].state = HostState::kUnknown;
  facts.hosts[1].name = "mx2.example.com";
  facts.hosts[1].reason = "TLSA lookup failed: timeout";
  facts.hosts[2].state = HostState::kUnknown;
  const Texts texts = Build(facts, {Row::kUnknownEnforce, Verdict::kTemp});
  EXPECT_EQ(texts.plain,
            "TEMP example.com enforces MTA-STS, and DANE of its MX host "
            "mx2.example.com is unknown: TLSA lookup failed: timeout");
  EXPECT_EQ(texts.kind, ReplyKind::kTempDaneUnknown);
}

TEST(TempReason, TellsOfTooManyHosts) {
  Facts facts = FactsWith(StsMode::kEnforce);
  facts.mx.unexamined = 1;
  EXPECT_EQ(Build(facts, {Row::kUnknownEnforce, Verdict::kTemp}).plain,
            "TEMP example.com has more MX hosts than are examined");
}

TEST(TempReason, IsOneSafeLine) {
  Facts facts;
  facts.key.domain = "example.com";
  facts.mx.reason = "x\ny\x1b" + std::string(1000, '\xff');
  const Texts texts = Build(facts, {Row::kMxFailed, Verdict::kTemp});
  EXPECT_LE(texts.plain.size(), 200u);
  EXPECT_TRUE(std::all_of(texts.plain.begin(), texts.plain.end(),
                          [](char c) { return c >= 0x20 && c <= 0x7e; }));
  EXPECT_EQ(Unpack(TempReplies("a\tb", ReplyKind::kTempMxLookup)).tlsrpt,
            "TEMP a\\x09b");
}

// --- Whatever is answered, Postfix can read ---

TEST(BuildReplies, AreReadableByTheirPostfix) {
  for (SiteLevel site : kSiteLevels) {
    for (StsMode mode :
         {StsMode::kEnforce, StsMode::kTesting, StsMode::kNone}) {
      for (const Decision& decision : {kSecure, kDaneOnly, kDane, kNotFound}) {
        const Texts texts =
            Build(FactsWith(mode), decision,
                  {.testing_reply_may = true, .site_level = site});
        for (const auto& [text, version] :
             {std::pair(texts.plain, PostfixVersion::k37),
              std::pair(texts.tlsrpt, PostfixVersion::k310)}) {
          if (text == kNotFoundReply) continue;
          EXPECT_EQ(ReadAsPostfix(text, version).error, "") << text;
        }
      }
    }
  }
}

// --- What the answer stands for.

AnsweredPolicy PolicyOf(const Facts& facts, Decision decision,
                        ReplySettings settings = {}) {
  settings.with_policy = true;
  const Replies replies = BuildReplies(facts, decision, settings);
  EXPECT_TRUE(replies.policy);
  return replies.policy ? *replies.policy : AnsweredPolicy();
}

using Demand = AnsweredPolicy::Demand;

TEST(AnsweredPolicy, OfSecureIsThePolicy) {
  const auto policy = PolicyOf(FactsWith(StsMode::kEnforce), kSecure);
  EXPECT_EQ(policy.demand, Demand::kAuthentication);
  EXPECT_EQ(policy.domain, "example.com");
  EXPECT_EQ(policy.policy_type, PolicyType::kSts);
  EXPECT_EQ(policy.policy_domain, "example.com");
  EXPECT_EQ(policy.policy_string,
            (std::vector<std::string>{"mode: enforce", "mx: mx.example.com"}));
  EXPECT_EQ(policy.mx_host, std::vector<std::string>{"mx.example.com"});
}

TEST(AnsweredPolicy, OfDaneHasTheHostsAndTheirRecords) {
  Facts facts = FactsWith(StsMode::kTesting);
  for (const auto& [name, state] :
       {std::pair("mx1.example.com", HostState::kUsable),
        std::pair("mx2.example.com", HostState::kUnusable),
        std::pair("mx3.example.com", HostState::kNone)}) {
    HostFacts host;
    host.name = name;
    host.state = state;
    host.tlsa_base = "tlsa." + host.name;
    if (state != HostState::kNone) host.tlsa.emplace_back();
    facts.hosts.push_back(host);
  }
  const auto policy = PolicyOf(facts, kDane);
  EXPECT_EQ(policy.demand, Demand::kDane);
  using Tlsa = AnsweredPolicy::Host::Tlsa;
  ASSERT_EQ(policy.hosts.size(), 3u);
  EXPECT_EQ(policy.hosts[1].name, "mx2.example.com");
  EXPECT_EQ(policy.hosts[1].has_tlsa, Tlsa::kSome);
  EXPECT_EQ(policy.hosts[1].tlsa_base, "tlsa.mx2.example.com");
  EXPECT_EQ(policy.hosts[1].tlsa.size(), 1u);
  EXPECT_EQ(policy.hosts[2].has_tlsa, Tlsa::kNone);
  EXPECT_TRUE(policy.all_hosts);
  EXPECT_EQ(PolicyOf(facts, kDaneOnly).demand, Demand::kAuthentication);
  EXPECT_EQ(PolicyOf(facts, kDaneOnly).policy_type, PolicyType::kTlsa);
}

// A policy that only lets Postfix go on as it likes demands nothing.
TEST(AnsweredPolicy, OfNotFoundDemandsNothing) {
  const Facts facts = FactsWith(StsMode::kTesting);
  EXPECT_EQ(PolicyOf(facts, kNotFound).demand, Demand::kNothing);
  EXPECT_EQ(PolicyOf(facts, kNotFound).policy_type, PolicyType::kNoPolicyFound);
}

TEST(AnsweredPolicy, OfTempIsLater) {
  EXPECT_EQ(TempReplies("x", ReplyKind::kTempMxLookup).policy->demand,
            Demand::kLater);
}

TEST(AnsweredPolicy, IsNotKeptWhereNobodyAsks) {
  EXPECT_FALSE(BuildReplies(FactsWith(StsMode::kEnforce), kSecure, {}).policy);
}

}  // namespace
}  // namespace postern
