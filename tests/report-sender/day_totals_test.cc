// What a day's lines add up to: merged, bounded, exact.
#include "report-sender/day_totals.h"

#include <random>

#include <gtest/gtest.h>

#include "common/outcome_bounds.h"
#include "common/outcome_json.h"

#include "tests/report-sender/lines.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class DayTotalsTest : public testing::Test {
 protected:
  void Add(const Outcome& outcome) { totals.AddLine(LineOf(outcome)); }
  DomainTotals Of(const std::string& domain = "example.com") {
    return totals.Of(domain).value_or(DomainTotals());
  }
  // REQUIRES: the domain has one policy only.
  PolicyTotals Policy(const std::string& domain = "example.com") {
    const DomainTotals all = Of(domain);
    EXPECT_EQ(all.policies.size(), 1u);
    return all.policies.empty() ? PolicyTotals() : all.policies.front();
  }
  void Limit(DayTotals::Limits limits) { totals = DayTotals(limits); }

  DayTotals totals;
};

TEST_F(DayTotalsTest, SessionsOfOnePolicyAreSummed) {
  for (int i = 0; i < 5; ++i) {
    Outcome outcome = StsSuccess();
    outcome.at += i * 1s;
    outcome.successful = static_cast<uint64_t>(i);
    outcome.failed = 2;
    Add(outcome);
  }
  EXPECT_EQ(totals.lines(), 5u);
  EXPECT_EQ(Of().record, "v=TLSRPTv1; rua=mailto:tls@example.com");
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.type, PolicyType::kSts);
  EXPECT_EQ(policy.domain, "example.com");
  EXPECT_EQ(policy.strings, StsSuccess().policy_string);
  EXPECT_EQ(policy.mx_hosts, StsSuccess().mx_host);
  EXPECT_EQ(policy.successful, 10u);
  EXPECT_EQ(policy.failed, 10u);
  EXPECT_TRUE(policy.details.empty());
}

TEST_F(DayTotalsTest, EqualDetailsAreSummed) {
  for (int i = 0; i < 3; ++i) Add(DaneFailure());
  Outcome twice = DaneFailure();
  twice.failed = twice.failure_details[0].failed_session_count = 2;
  Add(twice);
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.failed, 5u);
  ASSERT_EQ(policy.details.size(), 1u);
  FailureDetail expected = DaneFailure().failure_details[0];
  expected.failed_session_count = 5;
  EXPECT_EQ(policy.details[0], expected);
}

TEST_F(DayTotalsTest, WhatDiffersStaysApart) {
  std::vector<Outcome> different(5, StsSuccess());
  different[1].policy_domain = "mx.example.com";
  different[2].policy_type = PolicyType::kTlsa;
  different[3].policy_string.pop_back();
  different[4].mx_host.push_back("*.example.com");
  for (int i = 0; i < 2; ++i)
    for (const Outcome& outcome : different) Add(outcome);
  const DomainTotals all = Of();
  EXPECT_EQ(all.policies.size(), different.size());
  for (const PolicyTotals& policy : all.policies)
    EXPECT_EQ(policy.successful, 6u);
  Add(StsSuccess("example.net"));
  EXPECT_EQ(totals.domains(),
            (std::vector<std::string_view>{"example.com", "example.net"}));
  EXPECT_EQ(Policy("example.net").successful, 3u);
  EXPECT_EQ(totals.Of("example.org"), std::nullopt);
}

TEST_F(DayTotalsTest, EveryPartOfADetailTellsItApart) {
  std::vector<Outcome> different(8, DaneFailure());
  const auto detail = [&](size_t i) -> FailureDetail& {
    return different[i].failure_details[0];
  };
  detail(1).result_type = ResultType::kCertificateExpired;
  detail(2).sending_mta_ip = "192.0.2.26";
  detail(3).receiving_mx_hostname = "mx2.example.com";
  detail(4).receiving_mx_helo = "mx1.example.com";
  detail(5).receiving_ip = "192.0.2.27";
  detail(6).additional_information = "more";
  detail(7).failure_reason_code = "more";
  for (const Outcome& outcome : different) Add(outcome);
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.failed, different.size());
  for (const Outcome& outcome : different)
    EXPECT_EQ(std::count(policy.details.begin(), policy.details.end(),
                         outcome.failure_details[0]),
              1);
}

// --- What is the same all the same.

TEST_F(DayTotalsTest, WhoToldOfItDoesNotMatter) {
  for (const auto source :
       {OutcomeSource::kPostfix, OutcomeSource::kPolicy, OutcomeSource::kLog}) {
    Outcome outcome = StsSuccess();
    outcome.source = source;
    Add(outcome);
  }
  EXPECT_EQ(Policy().successful, 9u);
}

TEST_F(DayTotalsTest, TlsaRecordsAreASet) {
  Outcome outcome = DaneFailure();
  Add(outcome);
  outcome.policy_string = {"3 1 1 bb", "3 1 1 AA", "3 1 1 BB"};
  Add(outcome);
  outcome.policy_domain = "MX1.Example.COM.";
  Add(outcome);
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.failed, 3u);
  EXPECT_EQ(policy.strings, DaneFailure().policy_string);
}

TEST_F(DayTotalsTest, MxHostsAreASet) {
  Outcome outcome = StsSuccess();
  outcome.mx_host = {"b.example", "a.example"};
  Add(outcome);
  outcome.mx_host = {"A.example", "b.example", "a.example"};
  Add(outcome);
  EXPECT_EQ(Policy().mx_hosts,
            (std::vector<std::string>{"a.example", "b.example"}));
}

TEST_F(DayTotalsTest, LinesOfAStsPolicyHaveTheirOrder) {
  Outcome outcome = StsSuccess();
  Add(outcome);
  std::swap(outcome.policy_string[1], outcome.policy_string[2]);
  Add(outcome);
  EXPECT_EQ(Of().policies.size(), 2u);
}

TEST_F(DayTotalsTest, TheOrderOfMembersDoesNotMatter) {
  Add(DaneFailure());
  totals.AddLine(
      R"({"failure-details":[{"failed-session-count":1,)"
      R"("receiving-ip":"2001:0DB8:0::7","receiving-mx-hostname":"MX1.example)"
      R"(.com","result-type":"validation-failure","sending-mta-ip":)"
      R"("192.0.2.25"}],"failed":1,"successful":0,"policy-domain":)"
      R"("mx1.example.com","policy-string":["3 1 1 AA","3 1 1 BB"],)"
      R"("policy-type":"tlsa","source":"postfix","domain":"example.com",)"
      R"("at":"2026-11-22T13:05:07Z"})"
      "\n");
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.failed, 2u);
  EXPECT_EQ(policy.details.size(), 1u);
}

TEST_F(DayTotalsTest, AreSortedWhateverTheOrderOfLines) {
  std::vector<std::string> lines;
  for (const char* domain : {"b.example", "a.example"})
    for (int i = 0; i < 20; ++i) {
      lines.push_back(LineOf(StsSuccess(domain)));
      lines.push_back(LineOf(DaneFailure(domain, std::to_string(i))));
    }
  for (const std::string& line : lines) totals.AddLine(line);
  std::mt19937 random(7);
  for (int round = 0; round < 10; ++round) {
    std::shuffle(lines.begin(), lines.end(), random);
    DayTotals others;
    for (const std::string& line : lines) others.AddLine(line);
    EXPECT_EQ(others.domains(), totals.domains());
    EXPECT_EQ(others.Of("a.example"), totals.Of("a.example"));
    EXPECT_EQ(others.Of("b.example"), totals.Of("b.example"));
  }
}

// --- What no report could have.

TEST_F(DayTotalsTest, WhatIsNoAddressOrDomainIsLeftOut) {
  Outcome outcome = DaneFailure();
  outcome.policy_domain = "no domain";
  outcome.failure_details[0].sending_mta_ip = "unknown";
  outcome.failure_details[0].receiving_ip = "[192.0.2.1]";
  Add(outcome);
  outcome.policy_domain = "";
  Add(outcome);
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.domain, "example.com");
  ASSERT_EQ(policy.details.size(), 1u);
  EXPECT_EQ(policy.details[0].sending_mta_ip, "");
  EXPECT_EQ(policy.details[0].receiving_ip, "");
}

TEST_F(DayTotalsTest, TextIsCleanAndBounded) {
  Outcome outcome = DaneFailure("example.com", "a\nb\x1b\xef\xbf\xbf");
  outcome.policy_string = {std::string("3 1 1\0AA", 8), "",
                           std::string(20000, 'A')};
  outcome.failure_details[0].receiving_mx_helo = std::string(2000, 'h');
  outcome.record = "v=TLSRPTv1; rua=" + std::string(5000, 'x');
  Add(outcome);
  EXPECT_EQ(Of().record, "");
  const PolicyTotals policy = Policy();
  ASSERT_EQ(policy.strings.size(), 2u);
  EXPECT_EQ(policy.strings[0], "3 1 1 AA");
  EXPECT_EQ(policy.strings[1].size(), 8192u);
  EXPECT_EQ(policy.details[0].failure_reason_code, "a b \xef\xbf\xbd");
  EXPECT_EQ(policy.details[0].receiving_mx_helo.size(), 255u);
}

TEST_F(DayTotalsTest, HostsAreOfStsPoliciesAlone) {
  Outcome outcome = DaneFailure();
  outcome.mx_host = {"mx.example.com"};
  Add(outcome);
  EXPECT_EQ(Policy().mx_hosts.size(), 0u);
  outcome = StsSuccess("example.net");
  outcome.policy_type = PolicyType::kNoPolicyFound;
  Add(outcome);
  EXPECT_EQ(Policy("example.net").strings.size(), 0u);
  EXPECT_EQ(Policy("example.net").mx_hosts.size(), 0u);
}

TEST_F(DayTotalsTest, SessionsBeyondWhatJsonCanCountAreTheMost) {
  Outcome outcome = DaneFailure();
  outcome.successful = outcome.failed = kMaxSessions;
  outcome.failure_details[0].failed_session_count = kMaxSessions;
  for (int i = 0; i < 3000; ++i) Add(outcome);
  EXPECT_EQ(Policy().successful, kMaxSessions);
  EXPECT_EQ(Policy().failed, kMaxSessions);
  EXPECT_EQ(Policy().details[0].failed_session_count, kMaxSessions);
}

// --- The record.

TEST_F(DayTotalsTest, TheRecordThatCameUpLastIsKept) {
  Outcome outcome = StsSuccess();
  Add(outcome);
  outcome.record = "v=TLSRPTv1; rua=mailto:new@example.com";
  Add(outcome);
  outcome.record.clear();
  Add(outcome);
  EXPECT_EQ(Of().record, "v=TLSRPTv1; rua=mailto:new@example.com");
  EXPECT_EQ(Policy().successful, 9u);
}

// --- Lines.

TEST_F(DayTotalsTest, LinesThatAreNoneAreSkippedAndCounted) {
  const std::string line = LineOf(StsSuccess());
  Add(StsSuccess());
  const auto with = [&](const char* part, const char* by) {
    std::string other = line;
    return other.replace(other.find(part), std::string(part).size(), by);
  };
  const std::string bad[] = {
      "",
      "\n",
      "notes\n",
      line.substr(0, 100) + "\n",
      line.substr(0, line.size() - 3) + "\n",
      line.substr(0, line.size() - 1) + line,
      with("\"successful\":3", "\"successful\":03"),
      with("\"successful\":3", "\"successful\":+3"),
      with("\"successful\":3", "\"successful\":-3"),
      with("\"successful\":3", "\"successful\":3.0"),
      with("\"successful\":3", "\"successful\":"),
      with("\"successful\":3", "\"successful\":9007199254740992"),
      with("\"failed\":0", "\"failed\":99999999999999999999"),
      with("2026-11-22T13", "2026-11-22T24"),
      with("2026-11-22", "2026-02-30"),
      with("2026-11-22T", "2026-11-22 "),
      with("\"sts\"", "\"sts2\""),
      with("example.com", "Example.com")};
  for (const std::string& one : bad) totals.AddLine(one);
  EXPECT_EQ(totals.skipped(), std::size(bad));
  EXPECT_EQ(totals.lines(), std::size(bad) + 1);
  EXPECT_EQ(Policy().successful, 3u);
}

// Its text is known, and a part of another line looks like it.
TEST_F(DayTotalsTest, NumbersAreTakenFromTheirMembersAlone) {
  const std::string line = LineOf(StsSuccess());
  Add(StsSuccess());
  // Members that we do not know, in front of ours.
  std::string nested = line;
  nested.insert(nested.find(",\"successful\""),
                R"(,"x":{"y":1,"successful":500,"failed":700})");
  std::string behind = line;
  behind.insert(behind.size() - 2, R"(,"x":{"y":1,"successful":9,"failed":9})");
  for (int i = 0; i < 3; ++i) {
    totals.AddLine(nested);
    totals.AddLine(behind);
  }
  EXPECT_EQ(Policy().successful, 21u);
  EXPECT_EQ(Policy().failed, 0u);
  // As text.
  Outcome outcome = StsSuccess();
  outcome.policy_domain = R"(","successful":500,"failed":700)";
  outcome.record = R"(,"successful":500,"failed":700,)";
  for (int i = 0; i < 3; ++i) Add(outcome);
  EXPECT_EQ(Policy().successful, 30u);
  EXPECT_EQ(Policy().failed, 0u);
  EXPECT_EQ(totals.skipped(), 0u);
}

// Known text around them, but not the place.
TEST_F(DayTotalsTest, NumbersInAnotherPlaceAreRead) {
  const std::string numbers = R"(,"successful":3,"failed":0)";
  std::string rest = LineOf(StsSuccess());
  totals.AddLine(rest);
  rest.erase(rest.find(numbers), numbers.size());
  uint64_t successful = 3;
  uint64_t skipped = 0;
  for (size_t place = 0; place < rest.size(); ++place) {
    std::string line = rest;
    line.insert(place, numbers);
    totals.AddLine(line);
    if (const auto outcome = ParseOutcomeLine(line))
      successful += outcome->successful;
    else
      ++skipped;
  }
  EXPECT_EQ(totals.skipped(), skipped);
  EXPECT_GT(skipped, 200u);
  uint64_t sum = 0;
  for (const PolicyTotals& policy : Of().policies) sum += policy.successful;
  EXPECT_EQ(sum, successful);
}

// A reader without any shortcut is right, too.
TEST_F(DayTotalsTest, AreWhatTheOutcomesAddUpTo) {
  std::mt19937 random(11);
  const auto pick = [&](uint32_t n) { return random() % n; };
  std::map<std::string, std::pair<uint64_t, uint64_t>> expected;
  uint64_t skipped = 0;
  Limit({.known_bytes = 4096});
  for (int i = 0; i < 5000; ++i) {
    const std::string domain = "d" + std::to_string(pick(20)) + ".example";
    Outcome outcome = pick(3) == 0
                          ? DaneFailure(domain, std::to_string(pick(4)))
                          : StsSuccess(domain);
    outcome.at += Seconds(i / 10);
    outcome.successful = pick(5);
    std::string line = LineOf(outcome);
    if (pick(10) == 0) line.insert(1 + pick(30), " ");
    if (pick(10) == 0)
      line.insert(line.size() - 2, R"(,"x":[{"successful":7}])");
    if (pick(20) == 0) line.erase(pick(static_cast<uint32_t>(line.size())), 3);
    totals.AddLine(line);
    if (const auto parsed = ParseOutcomeLine(line)) {
      expected[parsed->domain].first += parsed->successful;
      expected[parsed->domain].second += parsed->failed;
    } else {
      ++skipped;
    }
  }
  EXPECT_EQ(totals.skipped(), skipped);
  EXPECT_GT(skipped, 20u);
  EXPECT_EQ(totals.domains().size(), expected.size());
  for (const auto& [domain, sums] : expected) {
    std::pair<uint64_t, uint64_t> found;
    for (const PolicyTotals& policy : Of(domain).policies) {
      found.first += policy.successful;
      found.second += policy.failed;
    }
    EXPECT_EQ(found, sums) << domain;
  }
}

// --- Bounds.

uint64_t SessionsOf(const PolicyTotals& policy) {
  uint64_t sum = 0;
  for (const FailureDetail& detail : policy.details)
    sum += detail.failed_session_count;
  return sum;
}

// --- Digests in place of policies' texts.

Outcome WithDigest(Outcome outcome) {
  outcome.policy_digest = PolicyDigest(outcome);
  return outcome;
}

TEST_F(DayTotalsTest, ADigestCountsAsTheTextOfTheLineBefore) {
  DayTotals with_texts;
  std::vector<Outcome> outcomes;
  for (const char* domain : {"a.example", "b.example"}) {
    outcomes.push_back(StsSuccess(domain));
    outcomes.push_back(DaneFailure(domain, "one"));
    Outcome of_another_host = DaneFailure(domain, "one");
    of_another_host.policy_domain = "mx2.example.net";
    outcomes.push_back(of_another_host);
    Outcome changed = StsSuccess(domain);
    changed.policy_string.push_back("mx: second.example");
    outcomes.push_back(changed);
  }
  for (int round = 0; round < 3; ++round) {
    for (Outcome outcome : outcomes) {
      outcome.at += round * 60s;
      outcome.successful *= 7;
      outcome.failed *= 9;
      for (FailureDetail& detail : outcome.failure_details)
        detail.failed_session_count = outcome.failed;
      with_texts.AddLine(LineOf(outcome));
      Add(round == 0 ? outcome : WithDigest(outcome));
    }
  }
  for (const char* domain : {"a.example", "b.example"}) {
    EXPECT_EQ(Of(domain), with_texts.Of(domain));
    EXPECT_EQ(Of(domain).policies.size(), 4u);
  }
}

TEST_F(DayTotalsTest, ADigestThatNobodyKnowsIsAPolicyWithoutText) {
  Outcome outcome = WithDigest(DaneFailure());
  outcome.failed = 12;
  Add(outcome);
  EXPECT_EQ(Policy().failed, 12u);
  EXPECT_EQ(Policy().type, PolicyType::kTlsa);
  EXPECT_EQ(Policy().domain, outcome.policy_domain);
  EXPECT_TRUE(Policy().strings.empty());
}

TEST_F(DayTotalsTest, ADigestIsThatOfItsDomainAndPolicyAlone) {
  Add(StsSuccess("a.example"));
  Outcome other = StsSuccess("a.example");
  other.domain = "b.example";
  Add(WithDigest(other));
  EXPECT_TRUE(Policy("b.example").strings.empty());
  other = StsSuccess("a.example");
  other.policy_domain = "c.example";
  Add(WithDigest(other));
  EXPECT_EQ(Of("a.example").policies.size(), 2u);
}

TEST_F(DayTotalsTest, TheTextCountsWhereBothAreThere) {
  std::string line = LineOf(StsSuccess());
  line.insert(line.find(",\"successful\""), ",\"policy-digest\":\"ab\"");
  totals.AddLine(line);
  Add(StsSuccess());
  EXPECT_EQ(Policy().successful, 6u);
  EXPECT_EQ(Policy().strings, StsSuccess().policy_string);
}

// Beyond the bound of policies, a digest counts where its text did.
TEST_F(DayTotalsTest, DigestsOfWhatIsSummedByTypeAreToo) {
  Limit({.policies = 2});
  for (int i = 0; i < 5; ++i) {
    Outcome outcome = StsSuccess();
    outcome.policy_string.push_back("mx: " + std::to_string(i) + ".example");
    Add(outcome);
    Add(WithDigest(outcome));
  }
  uint64_t sessions = 0;
  for (const PolicyTotals& policy : Of().policies)
    sessions += policy.successful;
  EXPECT_EQ(Of().policies.size(), 3u);
  EXPECT_EQ(sessions, 30u);
}

TEST_F(DayTotalsTest, DetailsBeyondTheBoundAreCountedTogether) {
  Limit({.details = 3});
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 10; ++i)
      Add(DaneFailure("example.com", std::to_string(i)));
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.failed, 20u);
  ASSERT_EQ(policy.details.size(), 4u);
  FailureDetail rest;
  rest.failed_session_count = 14;
  rest.additional_information = "more distinct failure details than are kept";
  EXPECT_EQ(std::count(policy.details.begin(), policy.details.end(), rest), 1);
  EXPECT_EQ(SessionsOf(policy), 20u);
  EXPECT_EQ(totals.lost(), 0u);
}

TEST_F(DayTotalsTest, OfEachResultTypeApart) {
  Limit({.details = 1});
  for (int i = 0; i < 5; ++i) {
    Outcome outcome = DaneFailure("example.com", std::to_string(i));
    if (i > 2)
      outcome.failure_details[0].result_type = ResultType::kCertificateExpired;
    Add(outcome);
  }
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.details.size(), 3u);
  EXPECT_EQ(SessionsOf(policy), 5u);
}

TEST_F(DayTotalsTest, WhatTheWriterMergedIsTheSame) {
  Limit({.details = 1});
  Add(DaneFailure("example.com", "a"));
  Add(DaneFailure("example.com", "b"));
  Outcome merged = DaneFailure();
  merged.failure_details[0] = FailureDetail();
  merged.failure_details[0].failed_session_count = merged.failed = 5;
  merged.failure_details[0].additional_information = kTooManyDetails;
  Add(merged);
  const PolicyTotals policy = Policy();
  EXPECT_EQ(policy.failed, 7u);
  ASSERT_EQ(policy.details.size(), 2u);
  EXPECT_EQ(SessionsOf(policy), 7u);
}

TEST_F(DayTotalsTest, PoliciesBeyondTheBoundAreSummedByType) {
  Limit({.policies = 3});
  for (int i = 0; i < 10; ++i) {
    Outcome outcome = i % 2 ? StsSuccess() : DaneFailure();
    outcome.policy_domain = "mx" + std::to_string(i) + ".example";
    Add(outcome);
  }
  const DomainTotals all = Of();
  ASSERT_EQ(all.policies.size(), 5u);
  uint64_t successful = 0;
  uint64_t failed = 0;
  int bare = 0;
  for (const PolicyTotals& policy : all.policies) {
    successful += policy.successful;
    failed += policy.failed;
    EXPECT_EQ(SessionsOf(policy), policy.failed);
    if (!policy.strings.empty()) continue;
    ++bare;
    EXPECT_EQ(policy.domain, "example.com");
  }
  EXPECT_EQ(bare, 2);
  EXPECT_EQ(successful, 15u);
  EXPECT_EQ(failed, 5u);
}

TEST_F(DayTotalsTest, TheTextOfADomainIsBounded) {
  Limit({.domain_bytes = 10000});
  for (int i = 0; i < 1000; ++i)
    Add(DaneFailure("example.com", std::to_string(i)));
  Add(DaneFailure("example.net", "1"));
  EXPECT_LT(Policy().details.size(), 70u);
  EXPECT_EQ(SessionsOf(Policy()), 1000u);
  EXPECT_EQ(Policy("example.net").details[0].failure_reason_code, "1");
}

TEST_F(DayTotalsTest, TheTextOfADayIsBounded) {
  Limit({.bytes = 100000});
  uint64_t lines = 0;
  for (int i = 0; i < 200; ++i)
    for (int reason = 0; reason < 10; ++reason, ++lines)
      Add(DaneFailure("d" + std::to_string(i) + ".example",
                      std::to_string(reason)));
  EXPECT_EQ(totals.lost(), 0u);
  uint64_t sessions = 0;
  for (const std::string_view domain : totals.domains()) {
    const auto all = totals.Of(domain);
    EXPECT_FALSE(all->policies.empty());
    for (const PolicyTotals& policy : all->policies)
      sessions += SessionsOf(policy);
  }
  EXPECT_EQ(sessions, lines);
}

TEST_F(DayTotalsTest, WhatCannotEvenBeSummedIsLostAndCounted) {
  Limit({.bytes = 100000});
  uint64_t lines = 0;
  for (int i = 0; i < 5000; ++i, ++lines)
    Add(DaneFailure("d" + std::to_string(i) + ".example"));
  EXPECT_GT(totals.lost(), 0u);
  EXPECT_LT(totals.domains().size(), 1000u);
  uint64_t failed = 0;
  for (const std::string_view domain : totals.domains()) {
    const auto all = totals.Of(domain);
    EXPECT_FALSE(all->policies.empty());
    for (const PolicyTotals& policy : all->policies) failed += policy.failed;
  }
  EXPECT_GE(failed + totals.lost(), lines);
  // What is known goes on to be counted.
  const uint64_t lost = totals.lost();
  Add(DaneFailure("d0.example"));
  EXPECT_EQ(totals.lost(), lost);
  EXPECT_EQ(Policy("d0.example").failed, 2u);
}

}  // namespace
}  // namespace postern
