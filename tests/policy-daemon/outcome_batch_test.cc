// Outcomes on their way into the spool: merged, bounded, exact.
#include "policy-daemon/outcome_batch.h"

#include <sstream>

#include <gtest/gtest.h>

#include "common/outcome_bounds.h"
#include "common/outcome_json.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kNow{
    std::chrono::sys_days{std::chrono::year{2026} / 11 / 22}};

Outcome Success(const std::string& domain = "example.com") {
  Outcome outcome;
  outcome.at = kNow;
  outcome.domain = domain;
  outcome.policy_domain = domain;
  outcome.successful = 1;
  return outcome;
}

Outcome Failure(const std::string& reason = "",
                const std::string& domain = "example.com") {
  Outcome outcome = Success(domain);
  outcome.successful = 0;
  outcome.failed = 1;
  FailureDetail detail;
  detail.failed_session_count = 1;
  detail.failure_reason_code = reason;
  outcome.failure_details = {detail};
  return outcome;
}

class OutcomeBatchTest : public testing::Test {
 protected:
  // The lines as the spool has them, those that are held included; checks that
  // each counts what it holds.
  std::vector<Outcome> TakeAll() {
    batch.Release();
    EXPECT_EQ(batch.held(), 0u);
    return Take();
  }
  std::vector<Outcome> Take() {
    const OutcomeBatch::Lines& lines = batch.Complete();
    held = lines.outcomes;
    std::vector<Outcome> outcomes;
    std::istringstream text(lines.text);
    for (std::string line; std::getline(text, line);) {
      const auto outcome = ParseOutcomeLine(line);
      EXPECT_TRUE(outcome) << line;
      if (outcome) outcomes.push_back(*outcome);
    }
    EXPECT_EQ(outcomes.size(), held.size());
    batch.Clear();
    EXPECT_TRUE(batch.empty());
    return outcomes;
  }

  OutcomeBatch batch{
      {.details_per_policy = 3, .details = 5, .lines_per_kind = 4}};
  std::vector<uint64_t> held;
};

TEST_F(OutcomeBatchTest, SuccessesOfOnePolicyAreOneLine) {
  for (int i = 0; i < 5; ++i) batch.Add(Success());
  const auto lines = Take();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].successful, 5u);
  EXPECT_EQ(held[0], 5u);
}

TEST_F(OutcomeBatchTest, EqualOnesCanComeAtOnce) {
  batch.Add(Success("a.example"));
  batch.Add(Success("b.example"), 3);
  batch.Add(Success("a.example"), 4);
  batch.Add(Failure(), 2);
  const auto lines = Take();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].failed, 1u);
  EXPECT_EQ(lines[1].failed, 1u);
  EXPECT_EQ(lines[2].successful, 5u);
  EXPECT_EQ(lines[3].successful, 3u);
  EXPECT_EQ(held, (std::vector<uint64_t>{1, 1, 5, 3}));
}

TEST_F(OutcomeBatchTest, ManyFailuresBeyondTheBoundAreCounted) {
  for (int i = 0; i < 5; ++i) batch.Add(Failure(std::to_string(i)), 10);
  const auto lines = TakeAll();
  ASSERT_EQ(lines.size(), 12u + 3u + 1u);
  EXPECT_EQ(lines[15].failed, 20u);
  EXPECT_EQ(lines[15].failure_details[0].failed_session_count, 20u);
}

// --- Repeats of a failure.

uint64_t FailedIn(const std::vector<Outcome>& lines) {
  uint64_t failed = 0;
  for (const Outcome& line : lines) failed += line.failed;
  return failed;
}

TEST_F(OutcomeBatchTest, TheFirstFailuresOfAKindAreLinesTheRestIsCounted) {
  for (int i = 0; i < 4; ++i) batch.Add(Failure("same"));
  EXPECT_EQ(Take().size(), 4u);
  for (int i = 0; i < 1000; ++i) batch.Add(Failure("same"));
  EXPECT_TRUE(Take().empty());
  EXPECT_EQ(batch.held(), 1000u);
  const auto lines = TakeAll();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(held, std::vector<uint64_t>{1000});
  EXPECT_EQ(lines[0].failed, 1000u);
  EXPECT_EQ(lines[0].failure_details[0].failed_session_count, 1000u);
  EXPECT_EQ(lines[0].failure_details[0].failure_reason_code, "same");
}

TEST_F(OutcomeBatchTest, AnotherKindHasLinesOfItsOwn) {
  for (int i = 0; i < 10; ++i) batch.Add(Failure("same"));
  batch.Add(Failure("another"));
  batch.Add(Failure("same", "example.net"));
  EXPECT_EQ(Take().size(), 6u);
  EXPECT_EQ(TakeAll().size(), 1u);
}

TEST_F(OutcomeBatchTest, EveryHourTheFirstAreLinesAgain) {
  for (int hour = 0; hour < 3; ++hour) {
    for (int i = 0; i < 10; ++i) {
      Outcome outcome = Failure("same");
      outcome.at += hour * 1h;
      batch.Add(std::move(outcome));
    }
    EXPECT_EQ(Take().size(), 4u) << hour;
  }
  EXPECT_EQ(FailedIn(TakeAll()), 18u);
}

TEST_F(OutcomeBatchTest, WhatIsCountedHasItsLatestTime) {
  for (int i = 0; i < 10; ++i) {
    Outcome outcome = Failure("same");
    outcome.at += i * 1s;
    batch.Add(std::move(outcome));
  }
  EXPECT_EQ(TakeAll().back().at, kNow + 9s);
}

TEST_F(OutcomeBatchTest, RepeatsNameTheirPolicyByItsDigest) {
  for (int i = 0; i < 10; ++i) {
    Outcome outcome = Failure("same");
    outcome.policy_string = {"3 1 1 AB"};
    batch.Add(std::move(outcome));
  }
  const auto lines = TakeAll();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[3].policy_string, std::vector<std::string>{"3 1 1 AB"});
  EXPECT_TRUE(lines[4].policy_string.empty());
  EXPECT_EQ(lines[4].policy_digest, PolicyDigest(lines[3]));
}

TEST_F(OutcomeBatchTest, WhereTheTextIsLostItIsWrittenAgain) {
  for (int i = 0; i < 10; ++i) {
    Outcome outcome = Failure("same");
    outcome.policy_string = {"3 1 1 AB"};
    batch.Add(std::move(outcome));
  }
  Take();
  batch.ForgetTexts();
  EXPECT_EQ(TakeAll().at(0).policy_string,
            std::vector<std::string>{"3 1 1 AB"});
}

TEST_F(OutcomeBatchTest, SuccessesHaveTheTextAtFirstAndThenTheDigest) {
  for (int i = 0; i < 25; ++i) {
    Outcome outcome = Success();
    outcome.policy_string = {"3 1 1 AB"};
    batch.Add(std::move(outcome));
    const auto lines = Take();
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0].policy_digest.empty(), i < 20) << i;
    EXPECT_EQ(lines[0].successful, 1u);
  }
}

// --- Shares of the day's bytes.

TEST_F(OutcomeBatchTest, WhoHasSpentItsShareHasSumsAlone) {
  batch = OutcomeBatch({.day_bytes = 1 << 20});  // 3 KiB each
  std::vector<Outcome> lines;
  for (int i = 0; i < 500; ++i) {
    Outcome outcome = Failure("reason " + std::to_string(i));
    outcome.policy_string = {"3 1 1 " + std::to_string(i)};
    outcome.policy_type = PolicyType::kTlsa;
    batch.Add(std::move(outcome));
    batch.Add(Success());
    for (Outcome& line : Take()) lines.push_back(std::move(line));
  }
  EXPECT_LT(lines.size(), 30u);
  batch.Add(Failure("another domain's", "example.net"));
  EXPECT_EQ(Take().at(0).failure_details[0].failure_reason_code,
            "another domain's");
  const auto sums = TakeAll();
  EXPECT_EQ(sums.size(), 2u) << "of failures, of successes";
  for (const Outcome& sum : sums) {
    EXPECT_EQ(sum.policy_domain, "example.com");
    EXPECT_TRUE(sum.policy_string.empty());
    EXPECT_TRUE(sum.policy_digest.empty());
    lines.push_back(sum);
  }
  EXPECT_EQ(FailedIn(lines), 500u);
}

// A domain's owner chooses its names, too.
TEST_F(OutcomeBatchTest, AnOwnersDomainsShareItsShare) {
  SpoolBudget::Limits limits{.day_bytes = 1 << 20};
  limits.owner_of = [](const std::string& domain) {
    return domain.substr(domain.find('.') + 1);
  };
  batch = OutcomeBatch(limits);
  for (int i = 0; i < 500; ++i)
    batch.Add(Failure("", std::to_string(i) + ".evil.example"));
  EXPECT_LT(Take().size(), 30u);
  batch.Add(Failure("", "www.good.example"));
  EXPECT_EQ(Take().size(), 1u);
}

// Owners without number: each has a share of what is left.
TEST_F(OutcomeBatchTest, NoNumberOfOwnersTakesTheLastQuarter) {
  constexpr uint64_t kDay = 1 << 20;
  batch = OutcomeBatch({.day_bytes = kDay});
  size_t bytes = 0;
  uint64_t failed = 0;
  for (int i = 0; i < 3000; ++i) {
    Outcome outcome = Failure("", "d" + std::to_string(i) + ".example");
    outcome.policy_string = {std::string(5000, 'x')};
    batch.Add(std::move(outcome));
    bytes += batch.Complete().text.size();
    failed += FailedIn(Take());
  }
  EXPECT_LE(bytes, kDay / 4 * 3 + kMaxLineBytes);
  EXPECT_EQ(failed + FailedIn(TakeAll()), 3000u);
}

// --- Merging.

TEST_F(OutcomeBatchTest, WhatDiffersStaysApart) {
  std::vector<Outcome> different(8, Success());
  different[1].domain = "example.net";
  different[2].policy_domain = "mx.example.com";
  different[3].policy_type = PolicyType::kSts;
  different[4].policy_string = {"3 1 1 AB"};
  different[5].mx_host = {"3 1 1 AB"};
  different[6].record = "v=TLSRPTv1; rua=mailto:a@example.com";
  different[7].source = OutcomeSource::kLog;
  for (int i = 0; i < 2; ++i)
    for (const Outcome& outcome : different) batch.Add(Outcome(outcome));
  const auto lines = Take();
  EXPECT_EQ(lines.size(), different.size());
  for (const Outcome& line : lines) EXPECT_EQ(line.successful, 2u);
}

TEST_F(OutcomeBatchTest, EachFailureIsALineOfItsOwn) {
  for (int i = 0; i < 3; ++i) batch.Add(Failure());
  EXPECT_EQ(Take().size(), 3u);
}

TEST_F(OutcomeBatchTest, SoDoesWhatFailedWithoutASession) {
  Outcome outcome = Failure();
  outcome.failed = 0;
  outcome.failure_details[0].failed_session_count = 0;
  for (int i = 0; i < 2; ++i) batch.Add(Outcome(outcome));
  EXPECT_EQ(Take().size(), 2u);
}

TEST_F(OutcomeBatchTest, ASuccessWithDetailsIsNotMerged) {
  Outcome outcome = Failure();
  std::swap(outcome.successful, outcome.failed);
  for (int i = 0; i < 2; ++i) batch.Add(Outcome(outcome));
  EXPECT_EQ(Take().size(), 2u);
}

// --- Bounds on distinct details.

TEST_F(OutcomeBatchTest, DetailsBeyondTheBoundAreCountedTogether) {
  for (int i = 0; i < 10; ++i)
    batch.Add(Failure("reason " + std::to_string(i)));
  const auto lines = TakeAll();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[3].failed, 7u);
  ASSERT_EQ(lines[3].failure_details.size(), 1u);
  EXPECT_EQ(lines[3].failure_details[0].failed_session_count, 7u);
  EXPECT_EQ(lines[3].failure_details[0].failure_reason_code, "");
  EXPECT_EQ(lines[3].failure_details[0].additional_information,
            "more distinct failure details than are kept");
  EXPECT_EQ(held, (std::vector<uint64_t>{1, 1, 1, 7}));
}

TEST_F(OutcomeBatchTest, OfEachResultTypeApart) {
  for (int i = 0; i < 3; ++i) batch.Add(Failure("reason " + std::to_string(i)));
  Outcome other = Failure("one more");
  batch.Add(Outcome(other));
  other.failure_details[0].result_type = ResultType::kCertificateExpired;
  batch.Add(Outcome(other));
  batch.Add(Outcome(other));
  const auto lines = TakeAll();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[3].failed, 1u);
  EXPECT_EQ(lines[4].failed, 2u);
  EXPECT_EQ(lines[4].failure_details[0].result_type,
            ResultType::kCertificateExpired);
}

TEST_F(OutcomeBatchTest, WhatIsKnownIsNoNewDetail) {
  for (int i = 0; i < 12; ++i) batch.Add(Failure(std::to_string(i % 3)));
  EXPECT_EQ(TakeAll().size(), 12u);
}

TEST_F(OutcomeBatchTest, EachPolicyHasItsBoundAndAllHaveOne) {
  for (const char* domain : {"a.example", "b.example"})
    for (int i = 0; i < 3; ++i) batch.Add(Failure(std::to_string(i), domain));
  // 3 of a, 2 of b, and then 5 are too many.
  const auto lines = TakeAll();
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[5].domain, "b.example");
  EXPECT_NE(lines[5].failure_details[0].additional_information, "");
}

TEST_F(OutcomeBatchTest, ANewDayBeginsAfresh) {
  for (int i = 0; i < 4; ++i) batch.Add(Failure(std::to_string(i)));
  Outcome tomorrow = Failure("4");
  tomorrow.at += 24h;
  batch.Add(Outcome(tomorrow));
  const auto lines = TakeAll();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[3].failure_details[0].failure_reason_code, "4");
}

TEST_F(OutcomeBatchTest, IsFullInTime) {
  batch = OutcomeBatch({});
  for (int i = 0; !batch.full(); ++i) {
    ASSERT_LT(i, 10000);
    batch.Add(Failure("", "d" + std::to_string(i) + ".example"));
  }
  EXPECT_LT(batch.Complete().text.size(), size_t{2} << 20);
  batch.Clear();
  for (int i = 0; !batch.full(); ++i) {
    ASSERT_LT(i, 10000);
    batch.Add(Success("d" + std::to_string(i) + ".example"));
  }
}

TEST_F(OutcomeBatchTest, HoldsMuchInTime) {
  for (int i = 0; !batch.holds_much(); ++i) {
    ASSERT_LT(i, 10000);
    batch.Add(Failure("", "d" + std::to_string(i) + ".example"));
  }
}

TEST_F(OutcomeBatchTest, IsFullInTimeOfLargePolicies) {
  for (int i = 0; !batch.full(); ++i) {
    ASSERT_LT(i, 2000);
    Outcome outcome = Success("d" + std::to_string(i) + ".example");
    outcome.policy_string = {std::string(4 << 10, 'x')};
    batch.Add(Outcome(outcome));
  }
}

}  // namespace
}  // namespace postern
