#include "report-sender/report_text.h"

#include <gtest/gtest.h>

#include "common/text.h"

#include "tests/report-sender/lines.h"

namespace postern {
namespace {

DomainTotals TotalsOf(const std::vector<Outcome>& outcomes) {
  DayTotals day;
  for (const Outcome& outcome : outcomes) day.AddLine(LineOf(outcome));
  return day.Of("example.com").value_or(DomainTotals());
}

TEST(ReportText, SaysHowItWentInAPage) {
  EXPECT_EQ(
      ReportText(TotalsOf({StsSuccess(), DaneFailure("example.com", "bad \x1b"),
                           DaneFailure()}),
                 kDay, ExampleOrg()),
      "This is a report about the encryption of mail to\n"
      "example.com\n"
      "(SMTP TLS Reporting, RFC 8460). You get it because the domain's DNS\n"
      "record _smtp._tls asks for it.\n"
      "\n"
      "Day:   2026-11-22 (UTC)\n"
      "From:  example.org\n"
      "Total: 3 sessions went well, 2 failed\n"
      "\n"
      "  DANE, TLSA records of mx1.example.com:\n"
      "  0 sessions went well, 2 failed\n"
      "    1 failed at mx1.example.com (2001:db8::7):\n"
      "      the session did not meet the policy\n"
      "      [validation-failure]\n"
      "    1 failed at mx1.example.com (2001:db8::7):\n"
      "      the session did not meet the policy\n"
      "      [validation-failure: bad  ]\n"
      "\n"
      "  MTA-STS, policy of example.com:\n"
      "  3 sessions went well, 0 failed\n"
      "\n"
      "The attached file says it all, for programs (JSON, compressed by "
      "gzip).\n"
      "\n"
      "Questions: tls@example.org\n");
}

TEST(ReportText, NamesTheGreatestAndCountsTheRest) {
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 15; ++i) {
    Outcome outcome = DaneFailure("example.com", "reason-" + std::to_string(i));
    outcome.failure_details[0].failed_session_count = outcome.failed =
        static_cast<uint64_t>(i + 1);
    outcomes.push_back(outcome);
    outcome.policy_domain = "mx" + std::to_string(i) + ".example";
    outcomes.push_back(outcome);
  }
  const std::string text = ReportText(TotalsOf(outcomes), kDay, ExampleOrg());
  EXPECT_NE(text.find("reason-14"), text.npos);
  EXPECT_NE(text.find("    and 5 more kinds of failure\n"), text.npos);
  EXPECT_NE(text.find("mx14.example"), text.npos);
  EXPECT_EQ(text.find("mx2.example:"), text.npos);
  EXPECT_LT(text.find("mx14.example"), text.find("mx13.example"));
  EXPECT_NE(text.find("\n  and 6 more policies\n"), text.npos);
}

TEST(ReportText, HasWordsForEveryResultType) {
  for (int type = 0; type < 11; ++type) {
    Outcome outcome = DaneFailure();
    outcome.failure_details[0].result_type = static_cast<ResultType>(type);
    const std::string text =
        ReportText(TotalsOf({outcome}), kDay, ExampleOrg());
    EXPECT_NE(text.find(std::string("[") +
                        ResultTypeName(static_cast<ResultType>(type)) + "]"),
              text.npos);
    EXPECT_EQ(text.find("      \n"), text.npos);
  }
}

TEST(ReportText, IsPrintableInShortLinesWhateverIsInTheTotals) {
  DomainTotals totals = TotalsOf({DaneFailure()});
  const std::string hostile =
      "\x1b[2J\r\nFrom: x\n.\n" + std::string(5000, '\xff');
  totals.policies[0].domain = hostile;
  FailureDetail& detail = totals.policies[0].details[0];
  for (std::string* part :
       {&detail.receiving_mx_hostname, &detail.receiving_ip,
        &detail.failure_reason_code, &detail.additional_information})
    *part = hostile;
  std::string text = ReportText(totals, kDay, ExampleOrg());
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    EXPECT_LT(line.size(), 998u);
    EXPECT_EQ(Printable(line, 998), line);
    rest.remove_prefix(line.size() + 1);
  }
}

}  // namespace
}  // namespace postern
