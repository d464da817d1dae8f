// What a lookup has found that Postfix will not report itself.
#include "policy-daemon/findings.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "common/outcome_bounds.h"
#include "common/outcome_json.h"

namespace postern {
namespace {

constexpr char kDomain[] = "example.com";
constexpr char kHost[] = "mx.example.com";

HostFacts Host(HostState state, std::vector<uint8_t> usages = {}) {
  HostFacts host;
  host.name = kHost;
  host.state = state;
  for (const uint8_t usage : usages)
    host.tlsa.push_back({usage, 1, 1, std::string(32, '\xab')});
  if (!usages.empty()) host.tlsa_base = "tlsa.example.net";
  host.web_tlsa_only =
      std::all_of(usages.begin(), usages.end(), [](int u) { return u < 2; });
  return host;
}

Facts SomeFacts(std::vector<HostFacts> hosts = {}) {
  Facts facts;
  facts.key.domain = kDomain;
  facts.mx.state = MxState::kSecure;
  facts.hosts = std::move(hosts);
  facts.sts.state = StsState::kOther;
  facts.sts.txt = StsTxt::kAbsent;
  return facts;
}

void Enforce(Facts& facts, const std::vector<std::string>& mx) {
  auto policy = std::make_shared<StsPolicy>();
  policy->mode = StsMode::kEnforce;
  policy->mx = mx;
  policy->fields = {{"version", "STSv1"}, {"mode", "enforce"}};
  for (const std::string& pattern : mx)
    policy->fields.emplace_back("mx", pattern);
  facts.sts.policy = policy;
  facts.sts.state = StsState::kEnforce;
}

// The finding, which must be the only one.
Finding Only(const Facts& facts, Answered answered = {}) {
  const auto findings = FindingsOf(facts, answered);
  EXPECT_EQ(findings.size(), 1u);
  return findings.empty() ? Finding() : findings[0];
}

FailureDetail DetailOf(const Finding& finding) {
  EXPECT_EQ(finding.outcome.failure_details.size(), 1u);
  return finding.outcome.failure_details.empty()
             ? FailureDetail()
             : finding.outcome.failure_details[0];
}

TEST(Findings, NothingWrongIsNothingFound) {
  Facts facts =
      SomeFacts({Host(HostState::kUsable, {3}), Host(HostState::kNone),
                 Host(HostState::kNoAddress)});
  Enforce(facts, {"*.example.com"});
  EXPECT_TRUE(FindingsOf(facts, {.secure = true}).empty());
}

TEST(Findings, EveryOneIsOurs) {
  Facts facts = SomeFacts({Host(HostState::kUnusable, {0})});
  const Finding finding = Only(facts);
  EXPECT_EQ(finding.outcome.domain, kDomain);
  EXPECT_EQ(finding.outcome.source, OutcomeSource::kPolicy);
  EXPECT_EQ(finding.outcome.successful, 0u);
}

// --- The policy file.

class PolicyFileFindingTest : public testing::Test {
 protected:
  PolicyFileFindingTest() {
    facts.sts.fetch = StsFetch::kFailed;
    facts.sts.fetch_failure = ResultType::kStsWebpkiInvalid;
    facts.sts.fetch_told = "the certificate has expired";
  }
  Facts facts = SomeFacts();
};

TEST_F(PolicyFileFindingTest, IsReportedAsWhatItIs) {
  const Finding finding = Only(facts);
  EXPECT_EQ(finding.outcome.policy_type, PolicyType::kSts);
  EXPECT_EQ(finding.outcome.policy_domain, kDomain);
  EXPECT_EQ(DetailOf(finding).result_type, ResultType::kStsWebpkiInvalid);
  EXPECT_EQ(DetailOf(finding).failure_reason_code,
            "the certificate has expired");
  EXPECT_FALSE(finding.if_bogus);
}

TEST_F(PolicyFileFindingTest, IsAFailedSessionOnlyWhereMailWasHeldForIt) {
  EXPECT_EQ(Only(facts, {.temp_for_policy_file = false}).outcome.failed, 0u);
  EXPECT_EQ(Only(facts, {.temp_for_dns = true}).outcome.failed, 0u);
  const Finding held = Only(facts, {.temp_for_policy_file = true});
  EXPECT_EQ(held.outcome.failed, 1u);
  EXPECT_EQ(DetailOf(held).failed_session_count, 1u);
}

TEST_F(PolicyFileFindingTest, TellsTheRememberedPolicyToo) {
  Enforce(facts, {kHost});
  const Finding finding = Only(facts);
  EXPECT_EQ(finding.outcome.mx_host, std::vector<std::string>{kHost});
  EXPECT_EQ(finding.outcome.policy_string,
            (std::vector<std::string>{"version: STSv1", "mode: enforce",
                                      "mx: mx.example.com"}));
}

// What replies cannot carry, Postfix does not report: one policy, one text.
TEST_F(PolicyFileFindingTest, TellsThePolicyAsPostfixWould) {
  auto policy = std::make_shared<StsPolicy>();
  policy->fields = {{"mode", "none"}, {"note", "{braces}"}};
  facts.sts.policy = policy;
  EXPECT_EQ(Only(facts).outcome.policy_string,
            std::vector<std::string>{"mode: none"});
}

TEST(Findings, AFetchThatWasNotMadeIsNoFailure) {
  for (const StsFetch fetch : {StsFetch::kNone, StsFetch::kDone,
                               StsFetch::kSkipped, StsFetch::kCrowded}) {
    Facts facts = SomeFacts();
    facts.sts.fetch = fetch;
    EXPECT_TRUE(FindingsOf(facts, {}).empty());
  }
}

// --- Hosts that the policy does not name.

TEST(Findings, AHostThatAnEnforcedPolicyDoesNotName) {
  Facts facts = SomeFacts({Host(HostState::kNone)});
  Enforce(facts, {"mail.example.com", "*.mx.example.com"});
  const Finding finding = Only(facts, {.secure = true});
  EXPECT_EQ(finding.outcome.policy_type, PolicyType::kSts);
  EXPECT_EQ(finding.outcome.failed, 0u);
  EXPECT_EQ(DetailOf(finding).result_type, ResultType::kValidationFailure);
  EXPECT_EQ(DetailOf(finding).receiving_mx_hostname, kHost);
  EXPECT_EQ(DetailOf(finding).failure_reason_code, "mx-host-mismatch");
}

// A hostile domain with 128 hosts does not fill the spool with its policy.
TEST(Findings, ManyUnnamedHostsAreDetailsOfOneOutcome) {
  HostFacts other = Host(HostState::kNone);
  other.name = "mx2.example.com";
  Facts facts = SomeFacts({Host(HostState::kNone), other});
  Enforce(facts, {"mail.example.com"});
  const auto findings = FindingsOf(facts, {.secure = true});
  ASSERT_EQ(findings.size(), 1u);
  ASSERT_EQ(findings[0].outcome.failure_details.size(), 2u);
  EXPECT_EQ(findings[0].outcome.failure_details[1].receiving_mx_hostname,
            "mx2.example.com");
}

// DANE is off: the domain's name stands in for hosts that nobody looked up.
TEST(Findings, HostsThatWereNotLookedUpAreNotCompared) {
  Facts facts = SomeFacts({Host(HostState::kNone)});
  Enforce(facts, {"mail.example.com"});
  facts.mx.skipped = true;
  EXPECT_TRUE(FindingsOf(facts, {.secure = true}).empty());
}

TEST(Findings, WhereDaneDecidesTheHostsNeedNoName) {
  Facts facts = SomeFacts({Host(HostState::kUsable, {3})});
  Enforce(facts, {"mail.example.com"});
  EXPECT_TRUE(FindingsOf(facts, {.secure = false}).empty());
}

TEST(Findings, APolicyThatIsNotEnforcedNamesNobody) {
  Facts facts = SomeFacts({Host(HostState::kNone)});
  Enforce(facts, {"mail.example.com"});
  facts.sts.state = StsState::kOther;
  EXPECT_TRUE(FindingsOf(facts, {.secure = true}).empty());
}

// --- TLSA records.

TEST(Findings, RecordsForTheWebAlone) {
  for (const auto& usages :
       {std::vector<uint8_t>{0}, std::vector<uint8_t>{1, 0}}) {
    const Finding finding =
        Only(SomeFacts({Host(HostState::kUnusable, usages)}));
    EXPECT_EQ(finding.outcome.policy_type, PolicyType::kTlsa);
    EXPECT_EQ(finding.outcome.policy_domain, "tlsa.example.net");
    ASSERT_EQ(finding.outcome.policy_string.size(), usages.size());
    EXPECT_EQ(finding.outcome.policy_string[0].substr(0, 10), "0 1 1 ABAB");
    EXPECT_EQ(finding.outcome.failed, 0u);
    EXPECT_EQ(DetailOf(finding).result_type, ResultType::kTlsaInvalid);
    EXPECT_EQ(DetailOf(finding).receiving_mx_hostname, kHost);
  }
}

// Postfix reports these itself: twice would be once too often.
TEST(Findings, OtherUnusableRecordsAreLeftToPostfix) {
  for (const auto& usages :
       {std::vector<uint8_t>{3}, std::vector<uint8_t>{0, 2},
        std::vector<uint8_t>{1, 4}})
    EXPECT_TRUE(FindingsOf(SomeFacts({Host(HostState::kUnusable, usages)}), {})
                    .empty());
}

// --- DNSSEC.

TEST(Findings, AFailedMxLookupMayBeBogus) {
  Facts facts = SomeFacts();
  facts.mx.state = MxState::kFailed;
  facts.mx.failed = {kDomain, DnsType::kMx};
  const Finding finding = Only(facts, {.temp_for_dns = true});
  EXPECT_EQ(finding.outcome.policy_type, PolicyType::kTlsa);
  EXPECT_EQ(finding.outcome.policy_domain, kDomain);
  EXPECT_EQ(finding.outcome.failed, 1u);
  EXPECT_EQ(DetailOf(finding).result_type, ResultType::kDnssecInvalid);
  EXPECT_EQ(finding.if_bogus, (DnsQuestion{kDomain, DnsType::kMx}));
}

TEST(Findings, AFailedTlsaLookupMayBeBogus) {
  HostFacts host = Host(HostState::kUnknown);
  host.failed = {"_25._tcp.mx.example.com", DnsType::kTlsa};
  const Finding finding = Only(SomeFacts({host}));
  EXPECT_EQ(finding.outcome.policy_domain, kHost);
  EXPECT_EQ(finding.outcome.failed, 0u) << "another host took the mail";
  EXPECT_EQ(DetailOf(finding).receiving_mx_hostname, kHost);
  EXPECT_EQ(DetailOf(finding).failure_reason_code,
            "the TLSA records of _25._tcp.mx.example.com cannot be validated "
            "by DNSSEC");
  EXPECT_EQ(finding.if_bogus, host.failed);
}

TEST(Findings, ManyHostsAreOneDeferredSession) {
  HostFacts host = Host(HostState::kUnknown);
  host.failed = {kHost, DnsType::kA};
  const auto findings =
      FindingsOf(SomeFacts({host, host, host}), {.temp_for_dns = true});
  uint64_t failed = 0;
  for (const Finding& finding : findings) failed += finding.outcome.failed;
  EXPECT_EQ(findings.size(), 3u);
  EXPECT_EQ(failed, 1u);
}

TEST(Findings, AnUnknownHostThatNobodyAskedAboutIsNone) {
  EXPECT_TRUE(FindingsOf(SomeFacts({Host(HostState::kUnknown)}), {}).empty());
}

// --- Bounds.

// A signed zone with as many hosts and records as fit: all of them of usage 0,
// 4 KB each, none named by the policy.
TEST(FindingBounds, HoldForALookupWhateverTheDomainPublishes) {
  struct Case {
    const char* what;
    bool unusable;
    bool failed;
  };
  for (const auto& [what, unusable, failed] :
       {Case{"records for the web", true, false},
        Case{"bad signatures", false, true}, Case{"both", true, true},
        Case{"neither", false, false}}) {
    Facts facts = SomeFacts();
    for (size_t i = 0; i < kMaxHosts; ++i) {
      HostFacts host = Host(HostState::kNone);
      host.name = "mx" + std::to_string(i) + "." + std::string(60, 'x') +
                  ".example.com";
      if (unusable) {
        host.state = HostState::kUnusable;
        host.tlsa_base = host.name;
        host.tlsa.assign(15, {0, 0, 0, std::string(4096, '\xab')});
      }
      if (failed && i % 2 == 0) host.failed = DnsQuestion{host.name};
      facts.hosts.push_back(std::move(host));
    }
    Enforce(facts, {"elsewhere.example"});
    facts.sts.fetch = StsFetch::kFailed;
    facts.sts.fetch_reason = std::string(100000, 'x');
    facts.mx.failed = DnsQuestion{kDomain, DnsType::kMx};
    const auto findings = FindingsOf(facts, {.secure = true});
    EXPECT_LE(findings.size(), kMaxFindings) << what;
    EXPECT_EQ(findings.back().outcome.failure_details[0].failure_reason_code,
              "mx-host-mismatch")
        << what;
    std::string lines;
    for (const Finding& finding : findings) {
      const size_t before = lines.size();
      AppendOutcomeLine(finding.outcome, lines);
      EXPECT_LE(lines.size() - before, kMaxLineBytes) << what;
    }
    EXPECT_LE(lines.size(), size_t{160} << 10) << what;
  }
}

}  // namespace
}  // namespace postern
