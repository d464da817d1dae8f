#include "report-sender/report_text.h"

#include <algorithm>

#include "common/text.h"

namespace postern {
namespace {

// What is worth reading; the rest is counted.
constexpr size_t kMaxPolicies = 10;
constexpr size_t kMaxDetails = 10;
constexpr size_t kMaxReason = 100;
constexpr size_t kMaxDomain = 255;

std::string InWords(ResultType type) {
  switch (type) {
    case ResultType::kStarttlsNotSupported:
      return "the server did not offer STARTTLS";
    case ResultType::kCertificateHostMismatch:
      return "the server's certificate is for another name";
    case ResultType::kCertificateNotTrusted:
      return "the server's certificate is not from a trusted authority";
    case ResultType::kCertificateExpired:
      return "the server's certificate has expired";
    case ResultType::kValidationFailure:
      return "the session did not meet the policy";
    case ResultType::kStsPolicyFetchError:
      return "the MTA-STS policy could not be fetched";
    case ResultType::kStsPolicyInvalid:
      return "the MTA-STS policy is malformed";
    case ResultType::kStsWebpkiInvalid:
      return "the certificate of the MTA-STS policy's web server is bad";
    case ResultType::kTlsaInvalid:
      return "no TLSA record is usable";
    case ResultType::kDnssecInvalid:
      return "DNS answers could not be validated by DNSSEC";
    case ResultType::kDaneRequired:
      return "DANE is required, but there is no usable TLSA record";
  }
  return "";
}

std::string PolicyName(const PolicyTotals& policy) {
  switch (policy.type) {
    case PolicyType::kTlsa:
      return "DANE, TLSA records of " + Printable(policy.domain, kMaxDomain);
    case PolicyType::kSts:
      return "MTA-STS, policy of " + Printable(policy.domain, kMaxDomain);
    case PolicyType::kNoPolicyFound:
      break;
  }
  return "No policy (neither DANE nor MTA-STS)";
}

std::string Sessions(uint64_t successful, uint64_t failed) {
  return std::to_string(successful) +
         (successful == 1 ? " session" : " sessions") + " went well, " +
         std::to_string(failed) + " failed";
}

std::string Place(const FailureDetail& detail) {
  const std::string host = Printable(detail.receiving_mx_hostname, kMaxDomain);
  const std::string address = Printable(detail.receiving_ip);
  if (host.empty() && address.empty()) return "";
  if (host.empty() || address.empty()) return " at " + host + address;
  return " at " + host + " (" + address + ")";
}

void AppendDetail(const FailureDetail& detail, std::string& out) {
  out += "    " + std::to_string(detail.failed_session_count) + " failed" +
         Place(detail) + ":\n      " + InWords(detail.result_type) +
         "\n      [" + ResultTypeName(detail.result_type);
  std::string reason = detail.failure_reason_code;
  if (reason.empty()) reason = detail.additional_information;
  if (!reason.empty()) out += ": " + Printable(reason, kMaxReason);
  out += "]\n";
}

// The greatest first.
template <class Item, class Weight>
std::vector<const Item*> Greatest(const std::vector<Item>& items,
                                  Weight weight) {
  std::vector<const Item*> sorted;
  for (const Item& item : items) sorted.push_back(&item);
  std::stable_sort(
      sorted.begin(), sorted.end(),
      [&](const Item* a, const Item* b) { return weight(*a) > weight(*b); });
  return sorted;
}

void AppendPolicy(const PolicyTotals& policy, std::string& out) {
  out += "\n  " + PolicyName(policy) + ":\n  " +
         Sessions(policy.successful, policy.failed) + "\n";
  const auto details = Greatest(policy.details, [](const FailureDetail& one) {
    return one.failed_session_count;
  });
  for (size_t i = 0; i < std::min(details.size(), kMaxDetails); ++i)
    AppendDetail(*details[i], out);
  if (details.size() > kMaxDetails)
    out += "    and " + std::to_string(details.size() - kMaxDetails) +
           " more kinds of failure\n";
}

}  // namespace

std::string ReportText(const DomainTotals& totals, Day day,
                       const Submitter& submitter) {
  uint64_t successful = 0;
  uint64_t failed = 0;
  for (const PolicyTotals& policy : totals.policies) {
    successful += policy.successful;
    failed += policy.failed;
  }
  std::string out =
      "This is a report about the encryption of mail to\n" +
      Printable(totals.domain, kMaxDomain) +
      "\n(SMTP TLS Reporting, RFC 8460). You get it because the domain's DNS\n"
      "record _smtp._tls asks for it.\n\n";
  out += "Day:   " + FormatDay(day) + " (UTC)\n";
  out += "From:  " + Printable(submitter.domain, kMaxDomain) + "\n";
  out += "Total: " + Sessions(successful, failed) + "\n";
  const auto policies = Greatest(
      totals.policies, [](const PolicyTotals& one) { return one.failed; });
  for (size_t i = 0; i < std::min(policies.size(), kMaxPolicies); ++i)
    AppendPolicy(*policies[i], out);
  if (policies.size() > kMaxPolicies)
    out += "\n  and " + std::to_string(policies.size() - kMaxPolicies) +
           " more policies\n";
  out +=
      "\nThe attached file says it all, for programs (JSON, compressed by "
      "gzip).\n\nQuestions: " +
      Printable(submitter.contact_info, kMaxDomain) + "\n";
  return out;
}

}  // namespace postern
