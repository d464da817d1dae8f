#include "report-sender/report_json.h"

#include <algorithm>

#include "common/clean_text.h"
#include "common/json_text.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kMaxOrganizationName = 1000;

// `name` with what stands around it: ,"policy-domain":
void Append(std::string_view name, std::string_view value, std::string& out) {
  out += name;
  AppendJsonString(value, out);
}

void AppendIfKnown(std::string_view name, std::string_view value,
                   std::string& out) {
  if (!value.empty()) Append(name, value, out);
}

void Append(std::string_view name, uint64_t sessions, std::string& out) {
  out.append(name).append(std::to_string(sessions));
}

// RFC 8460 section 4: a list even of one, or of none.
template <class Items, class AppendItem>
void AppendList(std::string_view name, const Items& items, std::string& out,
                AppendItem append) {
  out.append(name).push_back('[');
  for (const auto& item : items) {
    if (&item != &items.front()) out += ',';
    append(item, out);
  }
  out += ']';
}

bool IsWebUri(std::string_view text) {
  return (text.starts_with("https://") || text.starts_with("http://")) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c > 0x20 && c < 0x7f; });
}

void AppendDetail(const FailureDetail& detail, std::string& out) {
  // RFC 8460 section 4.4: additional-information is a URI. Where the spool has
  // words in it, they go with the reason, which is text.
  std::string uri = detail.additional_information;
  std::string reason = detail.failure_reason_code;
  if (!IsWebUri(uri)) {
    if (!reason.empty() && !uri.empty()) reason += ": ";
    reason += uri;
    uri.clear();
  }
  Append(R"({"result-type":)", ResultTypeName(detail.result_type), out);
  AppendIfKnown(R"(,"sending-mta-ip":)", detail.sending_mta_ip, out);
  AppendIfKnown(R"(,"receiving-mx-hostname":)", detail.receiving_mx_hostname,
                out);
  AppendIfKnown(R"(,"receiving-mx-helo":)", detail.receiving_mx_helo, out);
  AppendIfKnown(R"(,"receiving-ip":)", detail.receiving_ip, out);
  Append(R"(,"failed-session-count":)", detail.failed_session_count, out);
  AppendIfKnown(R"(,"additional-information":)", uri, out);
  AppendIfKnown(R"(,"failure-reason-code":)", reason, out);
  out += '}';
}

void AppendPolicy(const PolicyTotals& policy, std::string& out) {
  Append(R"({"policy":{"policy-type":)", PolicyTypeName(policy.type), out);
  AppendList(R"(,"policy-string":)", policy.strings, out, AppendJsonString);
  Append(R"(,"policy-domain":)", policy.domain, out);
  // A list by erratum 6241, and in every report seen.
  AppendList(R"(,"mx-host":)", policy.mx_hosts, out, AppendJsonString);
  Append(R"(},"summary":{"total-successful-session-count":)", policy.successful,
         out);
  Append(R"(,"total-failure-session-count":)", policy.failed, out);
  AppendList(R"(},"failure-details":)", policy.details, out, AppendDetail);
  out += '}';
}

}  // namespace

std::string ReportJson(const DomainTotals& totals, Day day,
                       const Submitter& submitter) {
  std::string out;
  Append(R"({"organization-name":)",
         CleanText(submitter.organization_name, kMaxOrganizationName), out);
  Append(R"(,"date-range":{"start-datetime":)", FormatUtc(DayBegin(day)), out);
  Append(R"(,"end-datetime":)", FormatUtc(DayEnd(day)), out);
  Append(R"(},"contact-info":)", submitter.contact_info, out);
  Append(R"(,"report-id":)", ReportId(day, totals.domain, submitter), out);
  AppendList(R"(,"policies":)", totals.policies, out, AppendPolicy);
  out += '}';
  return out;
}

}  // namespace postern
