// What `postern-policy failures` says.
#include "policy-daemon/failure_text.h"

#include <gtest/gtest.h>

#include "common/text.h"

#include "tests/support/outcomes.h"

namespace postern {
namespace {

using namespace std::string_literals;

// Found by the daemon, while mail went out all the same.
Outcome Found(ResultType type, const std::string& reason) {
  Outcome outcome;
  outcome.at = kNow;
  outcome.domain = "example.org";
  outcome.source = OutcomeSource::kPolicy;
  outcome.policy_type = PolicyType::kSts;
  outcome.failure_details.emplace_back();
  outcome.failure_details[0].result_type = type;
  outcome.failure_details[0].failure_reason_code = reason;
  return outcome;
}

Outcome Failed(ResultType type, const std::string& reason = "") {
  Outcome outcome = Found(type, reason);
  outcome.source = OutcomeSource::kPostfix;
  outcome.failed = outcome.failure_details[0].failed_session_count = 1;
  return outcome;
}

std::string RowsOf(const Outcome& outcome) {
  std::string text;
  for (const FailureRow& row : FailureRows(outcome)) {
    for (const std::string& cell : row) text += cell + "|";
    text += "\n";
  }
  return text;
}

// The first lines of the texts: what was explained.
std::string Explained(std::initializer_list<Outcome> outcomes) {
  FailureSummary summary;
  for (const Outcome& outcome : outcomes) summary.Add(outcome);
  const std::string text = summary.Explanations();
  std::string names;
  for (const std::string_view line : SplitList(text, "\n"))
    if (line.front() != ' ') names.append(line) += '\n';
  return names;
}

std::string Totals(std::initializer_list<Outcome> outcomes) {
  FailureSummary summary;
  for (const Outcome& outcome : outcomes) summary.Add(outcome);
  return summary.Totals("since then");
}

TEST(IsFailure, WhatFailedOrWasFound) {
  EXPECT_FALSE(IsFailure(DeliveredSessions()));
  EXPECT_TRUE(IsFailure(FailedSession()));
  EXPECT_TRUE(IsFailure(Found(ResultType::kStsPolicyInvalid, "")));
  Outcome untold = FailedSession();
  untold.failure_details.clear();
  EXPECT_TRUE(IsFailure(untold));
}

TEST(FailureRows, OfASession) {
  EXPECT_EQ(RowsOf(FailedSession()),
            "2026-11-22T13:05:07Z|example.com|mx.example.com [198.51.100.7]|"
            "certificate-host-mismatch|1|postfix|"
            "some-reason; seen \"twice\"|\n");
}

TEST(FailureRows, ForWhichNoSessionFailed) {
  EXPECT_EQ(RowsOf(Found(ResultType::kStsPolicyFetchError, "HTTP status 503")),
            "2026-11-22T13:05:07Z|example.org|-|sts-policy-fetch-error|none|"
            "policy|HTTP status 503|\n");
  // A session that went well, in the end.
  Outcome outcome = Failed(ResultType::kValidationFailure);
  outcome.failed = 0;
  outcome.successful = 1;
  EXPECT_NE(RowsOf(outcome).find("|none|"), std::string::npos);
}

TEST(FailureRows, AreOnePerDetail) {
  Outcome outcome = FailedSession();
  outcome.failure_details.push_back({});
  outcome.failure_details[1].failed_session_count = 12;
  outcome.failure_details[1].receiving_ip = "2001:db8::1";
  EXPECT_EQ(RowsOf(outcome),
            "2026-11-22T13:05:07Z|example.com|mx.example.com [198.51.100.7]|"
            "certificate-host-mismatch|1|postfix|"
            "some-reason; seen \"twice\"|\n"
            "2026-11-22T13:05:07Z|example.com|[2001:db8::1]|"
            "validation-failure|12|postfix|-|\n");
}

TEST(FailureRows, OfAFailureWithoutDetail) {
  Outcome outcome = FailedSession();
  outcome.failure_details.clear();
  outcome.failed = 7;
  EXPECT_EQ(RowsOf(outcome),
            "2026-11-22T13:05:07Z|example.com|-|(not told)|7|postfix|-|\n");
}

TEST(FailureRows, ThePolicyDomainOfDaneIsTheHost) {
  Outcome outcome = Found(ResultType::kTlsaInvalid, "");
  outcome.policy_domain = "mx1.example.org";
  EXPECT_EQ(RowsOf(outcome).find("mx1.example.org"), std::string::npos);
  outcome.policy_type = PolicyType::kTlsa;
  EXPECT_NE(RowsOf(outcome).find("|mx1.example.org|"), std::string::npos);
}

TEST(FailureRows, NothingOfStrangersReachesTheTerminalRaw) {
  Outcome outcome = FailedSession();
  outcome.policy_type = PolicyType::kTlsa;
  FailureDetail& detail = outcome.failure_details[0];
  const std::string evil = "\x1b]0;x\x07\n\xc2\x9b" + std::string(3000, '\xff');
  detail.receiving_mx_hostname = detail.receiving_ip = evil;
  detail.additional_information = detail.failure_reason_code = evil;
  outcome.domain = outcome.policy_domain = evil;
  for (const FailureRow& row : FailureRows(outcome))
    for (const std::string& cell : row) {
      EXPECT_LE(cell.size(), 100u);
      for (const char c : cell) EXPECT_TRUE(c >= 0x20 && c <= 0x7e) << cell;
    }
}

TEST(FailureRows, LongNamesKeepTheirEnd) {
  Outcome outcome = FailedSession();
  outcome.domain = std::string(40, 'a');
  EXPECT_EQ(FailureRows(outcome)[0][1], outcome.domain);
  outcome.domain = std::string(60, 'a') + ".example.com";
  EXPECT_EQ(FailureRows(outcome)[0][1],
            "..." + std::string(25, 'a') + ".example.com");
  outcome.failure_details[0].failure_reason_code = std::string(101, 'r');
  outcome.failure_details[0].additional_information = "";
  EXPECT_EQ(FailureRows(outcome)[0][6], std::string(97, 'r') + "...");
}

TEST(FailureTable, HasColumnsAsWideAsWhatIsInThem) {
  FailureTable table;
  for (const Outcome& outcome :
       {FailedSession(), Found(ResultType::kStsPolicyInvalid, "no mode")})
    for (const FailureRow& row : FailureRows(outcome))
      EXPECT_EQ(table.Add(row), "");
  EXPECT_EQ(table.Flush(),
            "TIME (UTC)            DOMAIN       MX HOST [ADDRESS]              "
            "RESULT                     FAILED  SOURCE   REASON\n"
            "2026-11-22T13:05:07Z  example.com  mx.example.com [198.51.100.7]  "
            "certificate-host-mismatch       1  postfix  "
            "some-reason; seen \"twice\"\n"
            "2026-11-22T13:05:07Z  example.org  -                              "
            "sts-policy-invalid           none  policy   no mode\n");
  EXPECT_EQ(table.Flush(), "");
  const std::string later = table.Add(FailureRows(FailedSession())[0]);
  EXPECT_TRUE(later.starts_with("2026-11-22T13:05:07Z  example.com  mx.exam"));
  EXPECT_TRUE(later.ends_with("twice\"\n"));
}

TEST(FailureTable, MayBeginEmpty) {
  FailureTable table;
  EXPECT_EQ(table.Flush(),
            "TIME (UTC)            DOMAIN                    "
            "MX HOST [ADDRESS]                         "
            "RESULT                     FAILED  SOURCE   REASON\n");
}

TEST(FailureTable, ManyRowsDoNotWait) {
  FailureTable table;
  size_t bytes = 0;
  for (int i = 0; i < 100000 && bytes == 0; ++i)
    bytes += table.Add(FailureRows(FailedSession())[0]).size();
  EXPECT_GT(bytes, 0u);
  EXPECT_GT(table.Add(FailureRows(FailedSession())[0]).size(), 0u);
}

TEST(Explanations, OfEachResultType) {
  for (int i = 0; i <= static_cast<int>(ResultType::kDaneRequired); ++i) {
    const auto type = static_cast<ResultType>(i);
    EXPECT_EQ(Explained({Failed(type)}), ResultTypeName(type) + "\n"s);
  }
}

TEST(Explanations, OfAValidationFailureAreByItsReason) {
  const std::pair<const char*, const char*> table[] = {
      {"mx-host-mismatch", "validation-failure, mx-host-mismatch"},
      {"tls-handshake-failure", "validation-failure, tls-handshake-failure"},
      {"all-fingerprints-unusable", "validation-failure, all-...-unusable"},
      {"all-trust-anchors-unusable", "validation-failure, all-...-unusable"},
      {"code-777", "validation-failure, code-..."},
      {"code-777: more", "validation-failure, code-..."},
      {"self-signed_certificate", "validation-failure"},
      {"unable_to_get_local_issuer_certificate", "validation-failure"},
      {"certificate_is_not_yet_valid", "validation-failure"},
      {"", "validation-failure"},
  };
  for (const auto& [reason, name] : table)
    EXPECT_EQ(Explained({Failed(ResultType::kValidationFailure, reason)}),
              name + "\n"s);
  // The reason of another type says nothing about its kind.
  EXPECT_EQ(Explained({Failed(ResultType::kTlsaInvalid, "mx-host-mismatch")}),
            "tlsa-invalid\n");
}

TEST(Explanations, EachKindOnce) {
  Outcome untold = FailedSession();
  untold.failure_details.clear();
  EXPECT_EQ(Explained({DeliveredSessions()}), "");
  EXPECT_EQ(Explained({Failed(ResultType::kDnssecInvalid), untold,
                       Failed(ResultType::kCertificateExpired),
                       Found(ResultType::kDnssecInvalid, ""),
                       Failed(ResultType::kDnssecInvalid), untold}),
            "certificate-expired\ndnssec-invalid\n(not told)\nFAILED none\n");
}

TEST(Explanations, SayWhoMustActInShortLines) {
  FailureSummary summary;
  for (int i = 0; i <= static_cast<int>(ResultType::kDaneRequired); ++i) {
    const auto type = static_cast<ResultType>(i);
    FailureSummary one;
    for (FailureSummary* sum : {&one, &summary}) sum->Add(Failed(type));
    EXPECT_NE(one.Explanations().find("must"), std::string::npos) << i;
  }
  summary.Add(Found(ResultType::kValidationFailure, "mx-host-mismatch"));
  summary.Add(Found(ResultType::kValidationFailure, "tls-handshake-failure"));
  summary.Add(Failed(ResultType::kValidationFailure, "code-1"));
  const std::string text = summary.Explanations();
  for (const std::string_view line : SplitList(text, "\n"))
    EXPECT_LE(line.size(), 80u) << line;
}

TEST(Totals, AreSessions) {
  EXPECT_EQ(Totals({DeliveredSessions()}),
            "No failures since then; 3 sessions went well.\n");
  EXPECT_EQ(Totals({FailedSession()}),
            "1 session failed, none went well, since then.\n");
  EXPECT_EQ(Totals({FailedSession(), DeliveredSessions(), FailedSession()}),
            "2 sessions failed, 3 went well, since then.\n");
  EXPECT_EQ(
      Totals({DeliveredSessions(), Found(ResultType::kStsPolicyInvalid, "")}),
      "No session failed, 3 went well, since then.\n");
  EXPECT_TRUE(Totals({}).starts_with(
      "No failures, and no session at all, since then.\nPostfix 3.10 "));
}

}  // namespace
}  // namespace postern
