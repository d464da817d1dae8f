// The report to the letter. Each that is made here, tests/report-sender/
// check-report-schema validates, too.
#include "report-sender/report_json.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>

#include <gtest/gtest.h>

#include "common/outcome_json.h"

#include "tests/report-sender/lines.h"

namespace postern {
namespace {

// Where POSTERN_REPORTS names a file, the report is added to it, a line.
std::string ReportOf(const DomainTotals& totals,
                     const Submitter& submitter = ExampleOrg()) {
  const std::string report = ReportJson(totals, kDay, submitter);
  if (const char* path = std::getenv("POSTERN_REPORTS"))
    std::ofstream(path, std::ios::app) << report << '\n';
  return report;
}

std::string ReportOf(const std::vector<Outcome>& outcomes) {
  DayTotals day;
  for (const Outcome& outcome : outcomes) day.AddLine(LineOf(outcome));
  return ReportOf(day.Of("example.com").value_or(DomainTotals()));
}

// What the report says of one failure detail.
std::string DetailOf(const FailureDetail& detail) {
  Outcome outcome = DaneFailure();
  outcome.failure_details = {detail};
  const std::string report = ReportOf({outcome});
  const std::string start = "\"failure-details\":[";
  const size_t begin = report.find(start) + start.size();
  return report.substr(begin, report.size() - begin - 4);
}

const std::string kHead =
    R"({"organization-name":"Example Mail","date-range":{)"
    R"("start-datetime":"2026-11-22T00:00:00Z",)"
    R"("end-datetime":"2026-11-22T23:59:59Z"},)"
    R"("contact-info":"tls@example.org","report-id":")" +
    ReportId(kDay, "example.com", ExampleOrg()) + R"(","policies":[)";

const std::string kSts =
    R"({"policy":{"policy-type":"sts","policy-string":["version: STSv1",)"
    R"("mode: enforce","mx: mx.example.com","max_age: 86400"],)"
    R"("policy-domain":"example.com","mx-host":["mx.example.com"]},)"
    R"("summary":{"total-successful-session-count":3,)"
    R"("total-failure-session-count":0},"failure-details":[]})";

const std::string kDane =
    R"({"policy":{"policy-type":"tlsa","policy-string":["3 1 1 AA",)"
    R"("3 1 1 BB"],"policy-domain":"mx1.example.com","mx-host":[]},)"
    R"("summary":{"total-successful-session-count":0,)"
    R"("total-failure-session-count":1},"failure-details":[)"
    R"({"result-type":"validation-failure","sending-mta-ip":"192.0.2.25",)"
    R"("receiving-mx-hostname":"mx1.example.com",)"
    R"("receiving-ip":"2001:db8::7","failed-session-count":1}]})";

TEST(ReportJson, IsToTheLetter) {
  EXPECT_EQ(ReportOf({StsSuccess()}), kHead + kSts + "]}");
  EXPECT_EQ(ReportOf({DaneFailure()}), kHead + kDane + "]}");
}

TEST(ReportJson, HasEveryPolicyInOneOrder) {
  EXPECT_EQ(ReportOf({StsSuccess(), DaneFailure()}),
            kHead + kDane + "," + kSts + "]}");
  EXPECT_EQ(ReportOf({DaneFailure(), StsSuccess()}),
            kHead + kDane + "," + kSts + "]}");
}

TEST(ReportJson, OfTheSameDayIsTheSameBytes) {
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 30; ++i) {
    outcomes.push_back(StsSuccess());
    outcomes.push_back(DaneFailure("example.com", std::to_string(i % 7)));
    outcomes.back().policy_domain = "mx" + std::to_string(i % 3) + ".example";
  }
  const std::string report = ReportOf(outcomes);
  std::mt19937 random(3);
  for (int round = 0; round < 10; ++round) {
    std::shuffle(outcomes.begin(), outcomes.end(), random);
    for (Outcome& outcome : outcomes)
      if (outcome.policy_type == PolicyType::kTlsa)
        std::swap(outcome.policy_string[0], outcome.policy_string[1]);
    EXPECT_EQ(ReportOf(outcomes), report);
  }
}

TEST(ReportJson, HasListsThatAreEmptyAndNothingThatIsNotKnown) {
  Outcome outcome;
  outcome.at = kNow;
  outcome.domain = "example.com";
  outcome.failure_details.emplace_back().result_type =
      ResultType::kStarttlsNotSupported;
  EXPECT_EQ(ReportOf({outcome}),
            kHead + R"({"policy":{"policy-type":"no-policy-found",)"
                    R"("policy-string":[],"policy-domain":"example.com",)"
                    R"("mx-host":[]},"summary":{)"
                    R"("total-successful-session-count":0,)"
                    R"("total-failure-session-count":0},"failure-details":[)"
                    R"({"result-type":"starttls-not-supported",)"
                    R"("failed-session-count":0}]}]})");
}

TEST(ReportJson, HasEveryPartOfADetail) {
  EXPECT_EQ(DetailOf({ResultType::kCertificateHostMismatch, "2001:DB8:0::25",
                      "MX1.example.com", "helo.example.com", "198.51.100.7", 2,
                      "https://example.org/help#tls", "other-name"}),
            R"({"result-type":"certificate-host-mismatch",)"
            R"("sending-mta-ip":"2001:db8::25",)"
            R"("receiving-mx-hostname":"mx1.example.com",)"
            R"("receiving-mx-helo":"helo.example.com",)"
            R"("receiving-ip":"198.51.100.7","failed-session-count":2,)"
            R"("additional-information":"https://example.org/help#tls",)"
            R"("failure-reason-code":"other-name"})");
}

TEST(ReportJson, KnowsEveryResultType) {
  for (int type = 0; type < 11; ++type) {
    FailureDetail detail;
    detail.result_type = static_cast<ResultType>(type);
    EXPECT_EQ(DetailOf(detail), std::string(R"({"result-type":")") +
                                    ResultTypeName(detail.result_type) +
                                    R"(","failed-session-count":0})");
  }
}

// RFC 8460 section 4.4: additional-information is a URI.
TEST(ReportJson, WordsAreAReason) {
  FailureDetail detail;
  detail.additional_information = kTooManyDetails;
  EXPECT_EQ(DetailOf(detail),
            R"({"result-type":"validation-failure","failed-session-count":0,)"
            R"("failure-reason-code":)"
            R"("more distinct failure details than are kept"})");
  detail.additional_information = "https://example.org/ and more";
  detail.failure_reason_code = "code-7";
  EXPECT_EQ(DetailOf(detail),
            R"({"result-type":"validation-failure","failed-session-count":0,)"
            R"("failure-reason-code":)"
            R"("code-7: https://example.org/ and more"})");
}

TEST(ReportJson, IsAsciiWhateverIsInTheSpool) {
  std::vector<Outcome> outcomes;
  for (const char* text :
       {"\"\\/{}[]", "\x1b[2J\r\n", "gr\xc3\xbcn \xf0\x9f\x93\xa7", "\xff\xfe",
        "\xef\xbf\xbf\xf0\x9f\xbf\xbf", "\xed\xa0\x80"}) {
    Outcome outcome = DaneFailure("example.com", text);
    outcome.policy_string = {text, std::string(20000, 'A')};
    outcome.policy_domain = text;
    FailureDetail& detail = outcome.failure_details[0];
    detail.receiving_mx_hostname = detail.receiving_mx_helo = text;
    detail.sending_mta_ip = detail.receiving_ip = text;
    detail.additional_information = text;
    outcomes.push_back(outcome);
  }
  const std::string report = ReportOf(outcomes);
  for (char c : report) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  for (const char* not_i_json : {"\\uffff", "\\ud83f\\udfff", "\\u001b"})
    EXPECT_EQ(report.find(not_i_json), std::string::npos) << not_i_json;
}

TEST(ReportJson, NamesTheOrganizationInAnyScript) {
  DayTotals day;
  day.AddLine(LineOf(StsSuccess()));
  Submitter submitter = ExampleOrg();
  submitter.organization_name =
      "Gr\xc3\xbc\xc3\x9f"
      "e & \"Co\"\n";
  const std::string report = ReportOf(*day.Of("example.com"), submitter);
  EXPECT_NE(report.find(R"("organization-name":"Gr\u00fc\u00dfe & \"Co\" ")"),
            std::string::npos)
      << report;
}

TEST(ReportJson, CountsUpToWhatJsonCan) {
  Outcome outcome = DaneFailure();
  outcome.successful = outcome.failed = kMaxSessions;
  outcome.failure_details[0].failed_session_count = kMaxSessions;
  const std::string report = ReportOf({outcome, outcome});
  EXPECT_NE(report.find(R"("total-failure-session-count":9007199254740991})"),
            std::string::npos);
}

}  // namespace
}  // namespace postern
