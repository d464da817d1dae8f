// What strangers chose, within the bounds of a line.
#include "common/outcome_bounds.h"

#include <gtest/gtest.h>

#include "common/outcome_json.h"

#include "tests/support/outcomes.h"

namespace postern {
namespace {

Outcome Bounded(Outcome outcome) {
  BoundOutcome(outcome);
  return outcome;
}

uint64_t SessionsOf(const Outcome& outcome) {
  uint64_t sessions = 0;
  for (const FailureDetail& detail : outcome.failure_details)
    sessions += detail.failed_session_count;
  return sessions;
}

TEST(OutcomeBounds, LeaveWhatIsUsualAlone) {
  EXPECT_EQ(Bounded(DeliveredSessions()), DeliveredSessions());
  EXPECT_EQ(Bounded(FailedSession()), FailedSession());
}

TEST(OutcomeBounds, SayHowMuchOfAPolicyIsLeftOut) {
  struct Case {
    const char* what;
    std::vector<std::string> strings;
    std::vector<std::string> expected;
  };
  const std::string record = "0 0 0 " + std::string(4000, 'A');
  const std::string huge = "0 0 0 " + std::string(8000, 'A');
  std::vector<std::string> many(40, "mx: a.example");
  std::vector<std::string> of_many(32, "mx: a.example");
  of_many.push_back("(8 more)");
  const std::vector<Case> cases = {
      {"few", {"a", "b"}, {"a", "b"}},
      {"many", many, of_many},
      {"long ones", {record, record, record}, {record, "(2 more)"}},
      {"one too long", {huge}, {"(1 more)"}},
      {"what is escaped counts six times",
       {std::string(1000, '"'), "b"},
       {"(2 more)"}}};
  for (const auto& [what, strings, expected] : cases) {
    Outcome outcome = DeliveredSessions();
    outcome.policy_string = strings;
    EXPECT_EQ(Bounded(outcome).policy_string, expected) << what;
  }
}

TEST(OutcomeBounds, CountTheDetailsThatAreLeftOut) {
  Outcome outcome = FailedSession();
  for (int i = 0; i < 100; ++i) {
    FailureDetail detail;
    detail.result_type =
        i % 2 ? ResultType::kTlsaInvalid : ResultType::kValidationFailure;
    detail.failed_session_count = 1;
    outcome.failure_details.push_back(detail);
  }
  const Outcome bounded = Bounded(outcome);
  EXPECT_LE(bounded.failure_details.size(), kKeptDetails + 2);
  EXPECT_EQ(SessionsOf(bounded), 101u);
  EXPECT_EQ(bounded.failure_details.back().additional_information,
            kTooManyDetails);
}

TEST(OutcomeBounds, KeepNoPartOfARecord) {
  Outcome outcome = DeliveredSessions();
  outcome.record = std::string(kMaxRecordBytes, 'x');
  EXPECT_EQ(Bounded(outcome).record, outcome.record);
  outcome.record += 'x';
  EXPECT_EQ(Bounded(outcome).record, "");
  outcome.record = std::string(kMaxRecordBytes / 2, '"');
  EXPECT_EQ(Bounded(outcome).record, "");
}

// Whatever characters they are of.
TEST(OutcomeBounds, HoldForTheLineAsItIsWritten) {
  for (const char* character :
       {"x", "\"", "\\", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xff"}) {
    for (const size_t length : {1u, 10u, 100u, 1000u, 9000u}) {
      std::string text;
      while (text.size() < length) text += character;
      Outcome outcome = FailedSession();
      outcome.domain = std::string(253, 'd');
      outcome.policy_domain = text.substr(0, 253);
      outcome.policy_string.assign(100, text);
      outcome.mx_host.assign(100, text);
      outcome.record = text;
      outcome.failed = outcome.successful = kMaxSessions;
      for (int type = 0; type < 11; ++type) {
        FailureDetail detail = outcome.failure_details[0];
        detail.result_type = static_cast<ResultType>(type);
        detail.failed_session_count = kMaxSessions;
        detail.receiving_mx_helo = text.substr(0, kMaxHeloBytes);
        detail.additional_information = text.substr(0, kMaxInformationBytes);
        detail.failure_reason_code = text;
        outcome.failure_details.insert(outcome.failure_details.end(), 20,
                                       detail);
      }
      const std::string line = LineOf(Bounded(outcome));
      EXPECT_LE(line.size(), kMaxLineBytes) << character << length;
    }
  }
}

// --- The digest.

TEST(PolicyDigest, IsThatOfTheText) {
  Outcome outcome;
  EXPECT_EQ(PolicyDigest(outcome), "") << "no policy";
  outcome.policy_string = {"a", "b"};
  // FNV-1a of "a\0b\0\0\0".
  EXPECT_EQ(PolicyDigest(outcome), "d00ff415522934e6");
}

TEST(PolicyDigest, TellsTextsApart) {
  std::vector<Outcome> outcomes(6);
  outcomes[1].policy_string = {"ab"};
  outcomes[2].policy_string = {"a", "b"};
  outcomes[3].mx_host = {"ab"};
  outcomes[4].policy_string = {"a"};
  outcomes[4].mx_host = {"b"};
  outcomes[5].policy_string = {"b", "a"};
  for (const Outcome& one : outcomes)
    for (const Outcome& other : outcomes)
      EXPECT_EQ(PolicyDigest(one) == PolicyDigest(other), &one == &other);
}

// --- What an outcome takes in memory.

TEST(MemoryOfOutcome, CountsEveryString) {
  const size_t before = MemoryOf(FailedSession());
  std::vector<std::string*> all;
  Outcome outcome = FailedSession();
  FailureDetail& detail = outcome.failure_details[0];
  for (std::string* text :
       {&outcome.domain, &outcome.policy_domain, &outcome.policy_string[0],
        &outcome.mx_host[0], &outcome.policy_digest, &outcome.record,
        &detail.sending_mta_ip, &detail.receiving_mx_hostname,
        &detail.receiving_mx_helo, &detail.receiving_ip,
        &detail.additional_information, &detail.failure_reason_code}) {
    *text += std::string(1000, 'x');
    EXPECT_EQ(MemoryOf(outcome), before + 1000);
    text->resize(text->size() - 1000);
  }
}

}  // namespace
}  // namespace postern
