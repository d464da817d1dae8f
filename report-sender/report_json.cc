#include "report-sender/report_json.h"

#include <algorithm>

#include "common/clean_text.h"
#include "common/json_text.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kMaxOrganizationName = 1000;

bool IsWebUri(std::string_view text) {
  return (text.starts_with("https://") || text.starts_with("http://")) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c > 0x20 && c < 0x7f; });
}

void PutDetail(const FailureDetail& detail, JsonText& out) {
  // RFC 8460 section 4.4: additional-information is a URI. Where the spool has
  // words in it, they go with the reason, which is text.
  std::string uri = detail.additional_information;
  std::string reason = detail.failure_reason_code;
  if (!IsWebUri(uri)) {
    if (!reason.empty() && !uri.empty()) reason += ": ";
    reason += uri;
    uri.clear();
  }
  out.Put(R"({"result-type":")", ResultTypeName(detail.result_type));
  out.PutIfKnown(R"(,"sending-mta-ip":")", detail.sending_mta_ip);
  out.PutIfKnown(R"(,"receiving-mx-hostname":")", detail.receiving_mx_hostname);
  out.PutIfKnown(R"(,"receiving-mx-helo":")", detail.receiving_mx_helo);
  out.PutIfKnown(R"(,"receiving-ip":")", detail.receiving_ip);
  out.Put(R"(,"failed-session-count":)", detail.failed_session_count);
  out.PutIfKnown(R"(,"additional-information":")", uri);
  out.PutIfKnown(R"(,"failure-reason-code":")", reason);
  out.Put("}");
}

// RFC 8460 section 4: what is a list is one even of one, or of none.
void PutPolicy(const PolicyTotals& policy, JsonText& out) {
  out.Put(R"({"policy":{"policy-type":")", PolicyTypeName(policy.type));
  out.PutList(R"(,"policy-string":[)", policy.strings);
  out.Put(R"(,"policy-domain":")", policy.domain);
  // A list by erratum 6241, and in every report seen.
  out.PutList(R"(,"mx-host":[)", policy.mx_hosts);
  out.Put(R"(},"summary":{"total-successful-session-count":)",
          policy.successful);
  out.Put(R"(,"total-failure-session-count":)", policy.failed);
  out.PutList(R"(},"failure-details":[)", policy.details,
              [&](const FailureDetail& detail) { PutDetail(detail, out); });
  out.Put("}");
}

}  // namespace

std::string ReportJson(const DomainTotals& totals, Day day,
                       const Submitter& submitter) {
  std::string json;
  {
    JsonText out(json);
    out.Put(R"({"organization-name":")",
            CleanText(submitter.organization_name, kMaxOrganizationName));
    out.Put(R"(,"date-range":{"start-datetime":")", FormatUtc(DayBegin(day)));
    out.Put(R"(,"end-datetime":")", FormatUtc(DayEnd(day)));
    out.Put(R"(},"contact-info":")", submitter.contact_info);
    out.Put(R"(,"report-id":")", ReportId(day, totals.domain, submitter));
    out.PutList(R"(,"policies":[)", totals.policies,
                [&](const PolicyTotals& policy) { PutPolicy(policy, out); });
    out.Put("}");
  }
  return json;
}

}  // namespace postern
