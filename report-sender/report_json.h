// The report about a domain, to the letter of RFC 8460 section 4.4:
//
//   {"organization-name":"Example","date-range":{
//    "start-datetime":"2026-11-22T00:00:00Z",
//    "end-datetime":"2026-11-22T23:59:59Z"},"contact-info":"tls@example.org",
//    "report-id":"...@example.org","policies":[{"policy":{"policy-type":"sts",
//    "policy-string":["version: STSv1","mode: enforce"],
//    "policy-domain":"example.com","mx-host":["mx.example.com"]},"summary":{
//    "total-successful-session-count":3,"total-failure-session-count":0},
//    "failure-details":[]}]}
//
// docs/report.schema.json says the same to programs. What the RFC leaves open
// is written so that no reader that we know trips over it: lists are there when
// they are empty, other values are left out when they are not known, nothing is
// null or "", all of it is printable ASCII without blanks between tokens. The
// same totals give the same bytes.
//
// Pure.
#pragma once

#include <string>

#include "report-sender/day_totals.h"
#include "report-sender/report_id.h"

namespace postern {

std::string ReportJson(const DomainTotals& totals, Day day,
                       const Submitter& submitter);

}  // namespace postern
