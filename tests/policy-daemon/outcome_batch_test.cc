// Outcomes on their way into the spool: merged, bounded, exact.
#include "policy-daemon/outcome_batch.h"

#include <sstream>

#include <gtest/gtest.h>

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
  // The lines as the spool has them; checks that each counts what it holds.
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

  OutcomeBatch batch{{.per_policy = 3, .overall = 5}};
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
  const auto lines = Take();
  ASSERT_EQ(lines.size(), 31u);
  EXPECT_EQ(lines[30].failed, 20u);
  EXPECT_EQ(lines[30].failure_details[0].failed_session_count, 20u);
}

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
  const auto lines = Take();
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
  const auto lines = Take();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[3].failed, 1u);
  EXPECT_EQ(lines[4].failed, 2u);
  EXPECT_EQ(lines[4].failure_details[0].result_type,
            ResultType::kCertificateExpired);
}

TEST_F(OutcomeBatchTest, WhatIsKnownIsNoNewDetail) {
  for (int i = 0; i < 10; ++i) batch.Add(Failure(std::to_string(i % 3)));
  EXPECT_EQ(Take().size(), 10u);
}

TEST_F(OutcomeBatchTest, EachPolicyHasItsBoundAndAllHaveOne) {
  for (const char* domain : {"a.example", "b.example"})
    for (int i = 0; i < 3; ++i) batch.Add(Failure(std::to_string(i), domain));
  // 3 of a, 2 of b, and then 5 are too many.
  const auto lines = Take();
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[5].domain, "b.example");
  EXPECT_NE(lines[5].failure_details[0].additional_information, "");
}

TEST_F(OutcomeBatchTest, ANewDayBeginsAfresh) {
  for (int i = 0; i < 4; ++i) batch.Add(Failure(std::to_string(i)));
  Outcome tomorrow = Failure("4");
  tomorrow.at += 24h;
  batch.Add(Outcome(tomorrow));
  const auto lines = Take();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[3].failure_details[0].failure_reason_code, "4");
}

TEST_F(OutcomeBatchTest, IsFullInTime) {
  while (!batch.full()) batch.Add(Failure(std::string(200, 'x')));
  EXPECT_LT(batch.Complete().text.size(), size_t{2} << 20);
  batch.Clear();
  for (int i = 0; !batch.full(); ++i) {
    ASSERT_LT(i, 10000);
    batch.Add(Success("d" + std::to_string(i) + ".example"));
  }
}

TEST_F(OutcomeBatchTest, IsFullInTimeOfLargePolicies) {
  for (int i = 0; !batch.full(); ++i) {
    ASSERT_LT(i, 100);
    Outcome outcome = Success("d" + std::to_string(i) + ".example");
    outcome.policy_string = {std::string(64 << 10, 'x')};
    batch.Add(Outcome(outcome));
  }
}

}  // namespace
}  // namespace postern
