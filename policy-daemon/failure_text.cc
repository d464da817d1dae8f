#include "policy-daemon/failure_text.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "common/text.h"
#include "common/utc.h"

namespace postern {
namespace {

enum Column { kTime, kDomain, kHost, kResult, kFailed, kSource, kReason };

const FailureRow kHead = {"TIME (UTC)", "DOMAIN", "MX HOST [ADDRESS]",
                          "RESULT",     "FAILED", "SOURCE",
                          "REASON"};
// Where a table begins without rows.
constexpr std::array<size_t, kFailureColumns> kUsualWidths = {20, 24, 40, 25,
                                                              6,  7,  6};
// Rows that wait for the columns' widths.
constexpr size_t kGathered = 1000;

// A cell's longest text.
constexpr size_t kMaxName = 40;
constexpr size_t kMaxAddress = 45;
constexpr size_t kMaxReason = 100;

constexpr char kNotTold[] = "(not told)";

struct Explanation {
  const char* name;
  const char* text;  // lines of at most 76 characters
};

// The kinds that are no result type by themselves.
enum Kind : size_t {
  kMxHostMismatch = static_cast<size_t>(ResultType::kDaneRequired) + 1,
  kHandshakeFailure,
  kOwnAnchorsUnusable,
  kUnknownCode,
  kNoDetail,
  kNoneFailed,
};

// First the result types of RFC 8460 section 4.3 in their order.
constexpr Explanation kExplanations[] = {
    {"starttls-not-supported",
     "The MX host did not offer STARTTLS where encryption is demanded. Its\n"
     "operator must switch it on; or somebody on the way strips the offer."},
    {"certificate-host-mismatch",
     "The MX host's certificate is for other names than the policy demands.\n"
     "Its operator must install one for the right name; or, if MX records and\n"
     "policy have moved apart, the domain's owner must correct them."},
    {"certificate-not-trusted",
     "The MX host's certificate comes from no authority that we trust, or "
     "does\n"
     "not fit its TLSA records. Its operator must act; where many domains are\n"
     "concerned, we must: see smtp_tls_CAfile."},
    {"certificate-expired",
     "The MX host's certificate has expired. Its operator must renew it; "
     "where\n"
     "many domains are concerned, look at this machine's clock."},
    {"validation-failure",
     "TLS with the MX host failed a check: the reason says which. Its "
     "operator\n"
     "must act (a self-signed certificate, an incomplete chain); where many\n"
     "domains are concerned, we must: see smtp_tls_CAfile and the clock."},
    {"sts-policy-fetch-error",
     "The domain announces MTA-STS, but its policy file did not come from\n"
     "https://mta-sts.DOMAIN/. The domain's owner must mend that; where many\n"
     "domains are concerned, we must: see outgoing HTTPS and the resolver. A\n"
     "policy that is remembered stays in force."},
    {"sts-policy-invalid",
     "The domain's MTA-STS policy file is no valid policy (RFC 8461). The\n"
     "domain's owner must correct it. A policy that is remembered stays in\n"
     "force."},
    {"sts-webpki-invalid",
     "The certificate of the policy host mta-sts.DOMAIN is not valid. The\n"
     "domain's owner must renew it; where many domains are concerned, we "
     "must:\n"
     "see sts.ca_file and the clock. A policy that is remembered stays in\n"
     "force."},
    {"tlsa-invalid",
     "None of the MX host's TLSA records can be used for mail, so DANE cannot\n"
     "protect it. Its operator must publish records of usage 2 or 3 (RFC "
     "7672)\n"
     "that fit."},
    {"dnssec-invalid",
     "DNS answers about the domain or its MX host failed DNSSEC validation. "
     "The\n"
     "owner of the zone must mend its signatures; where many domains are\n"
     "concerned, we must: see the resolver's trust anchor and the clock."},
    {"dane-required",
     "We demand DANE here (dane-only in smtp_tls_policy_maps or in\n"
     "policy.overrides), and the MX host has no TLSA records secured by "
     "DNSSEC.\n"
     "Its operator must publish them, or we must demand less."},
    {"validation-failure, mx-host-mismatch",
     "The domain's MTA-STS policy does not name this MX host, so no mail goes\n"
     "there. The domain's owner must add it to the policy file (and change "
     "the\n"
     "record's id), or take it out of the MX records; if they do not know it,\n"
     "somebody may be forging the domain's DNS."},
    {"validation-failure, tls-handshake-failure",
     "The TLS handshake broke off: no version or cipher in common, or trouble "
     "on\n"
     "the way. The MX operator must look into it; where many domains are\n"
     "concerned, we must: see smtp_tls_protocols, smtp_tls_ciphers, a "
     "firewall."},
    {"validation-failure, all-...-unusable",
     "The fingerprints or trust anchors that we gave Postfix for this\n"
     "destination cannot be used. We must correct them: match or tafile in\n"
     "smtp_tls_policy_maps or in policy.overrides."},
    {"validation-failure, code-...",
     "A kind of failure that this version does not know. Postfix's log of "
     "that\n"
     "time says more."},
    {kNotTold,
     "Sessions failed, and it was not told why. Postfix's log of that time "
     "says\n"
     "more."},
    {"FAILED none",
     "This was found, but no session failed for it: mail went out all the "
     "same,\n"
     "or waits for another reason."},
};
static_assert(std::size(kExplanations) == kNoneFailed + 1);
static_assert(std::size(kExplanations) <= FailureSummary::kMaxKinds);

size_t KindOf(const FailureDetail& detail) {
  const std::string_view reason = detail.failure_reason_code;
  if (detail.result_type != ResultType::kValidationFailure)
    return static_cast<size_t>(detail.result_type);
  if (reason == "mx-host-mismatch") return kMxHostMismatch;
  if (reason == "tls-handshake-failure") return kHandshakeFailure;
  if (reason == "all-fingerprints-unusable" ||
      reason == "all-trust-anchors-unusable")
    return kOwnAnchorsUnusable;
  if (reason.starts_with("code-")) return kUnknownCode;
  return static_cast<size_t>(detail.result_type);
}

uint64_t FailedFor(const Outcome& outcome, const FailureDetail& detail) {
  return outcome.failed > 0 ? detail.failed_session_count : 0;
}

std::string Cut(std::string_view text, size_t width) {
  std::string cell = Printable(text, width);
  // Longer by Printable's own dots.
  if (cell.size() > width) cell.replace(width - 3, cell.npos, "...");
  return cell;
}

// A name's end says whose it is.
std::string CutName(const std::string& name) {
  if (name.size() <= kMaxName) return Cut(name, kMaxName);
  return Cut("..." + name.substr(name.size() - (kMaxName - 3)), kMaxName);
}

// "mx.example.com [192.0.2.1]", as Postfix's log has it.
std::string HostCell(const Outcome& outcome, const FailureDetail& detail) {
  std::string cell = CutName(detail.receiving_mx_hostname);
  if (cell.empty() && outcome.policy_type == PolicyType::kTlsa)
    cell = CutName(outcome.policy_domain);
  if (!detail.receiving_ip.empty())
    cell += (cell.empty() ? "[" : " [") +
            Cut(detail.receiving_ip, kMaxAddress) + "]";
  return cell.empty() ? "-" : cell;
}

std::string ReasonCell(const FailureDetail& detail) {
  std::string text = detail.failure_reason_code;
  if (!detail.additional_information.empty())
    text += (text.empty() ? "" : "; ") + detail.additional_information;
  return text.empty() ? "-" : Cut(text, kMaxReason);
}

std::string CountCell(uint64_t failed) {
  return failed > 0 ? std::to_string(failed) : "none";
}

FailureRow RowOf(const Outcome& outcome, const FailureDetail& detail) {
  return {FormatUtc(outcome.at),
          CutName(outcome.domain),
          HostCell(outcome, detail),
          ResultTypeName(detail.result_type),
          CountCell(FailedFor(outcome, detail)),
          OutcomeSourceName(outcome.source),
          ReasonCell(detail)};
}

template <class Widths>
void Widen(Widths& widths, const FailureRow& row) {
  for (size_t i = 0; i < row.size(); ++i)
    widths[i] = std::max(widths[i], row[i].size());
}

template <class Widths>
void AppendLine(const FailureRow& row, const Widths& widths,
                std::string& text) {
  for (size_t i = 0; i < kReason; ++i) {
    const std::string blanks(widths[i] - row[i].size(), ' ');
    text += i == kFailed ? blanks + row[i] : row[i] + blanks;
    text += "  ";
  }
  text += row[kReason] + "\n";
}

std::string Sessions(uint64_t count) {
  if (count == 0) return "No session";
  return std::to_string(count) + (count == 1 ? " session" : " sessions");
}

}  // namespace

bool IsFailure(const Outcome& outcome) {
  return outcome.failed > 0 || !outcome.failure_details.empty();
}

std::vector<FailureRow> FailureRows(const Outcome& outcome) {
  std::vector<FailureRow> rows;
  for (const FailureDetail& detail : outcome.failure_details)
    rows.push_back(RowOf(outcome, detail));
  if (rows.empty()) {
    FailureRow& row = rows.emplace_back(RowOf(outcome, {}));
    row[kResult] = kNotTold;
    row[kFailed] = CountCell(outcome.failed);
  }
  return rows;
}

std::string FailureTable::Add(FailureRow row) {
  waiting_.push_back(std::move(row));
  return started_ || waiting_.size() >= kGathered ? Flush() : "";
}

std::string FailureTable::Flush() {
  std::string text;
  if (!started_ && waiting_.empty()) widths_ = kUsualWidths;
  if (!started_) Widen(widths_, kHead);
  for (const FailureRow& row : waiting_) Widen(widths_, row);
  if (!std::exchange(started_, true)) AppendLine(kHead, widths_, text);
  for (const FailureRow& row : waiting_) AppendLine(row, widths_, text);
  waiting_.clear();
  return text;
}

void FailureSummary::Add(const Outcome& outcome) {
  failed_ += outcome.failed;
  successful_ += outcome.successful;
  for (const FailureDetail& detail : outcome.failure_details) {
    kinds_.set(KindOf(detail));
    if (FailedFor(outcome, detail) == 0) kinds_.set(kNoneFailed);
  }
  if (outcome.failed > 0 && outcome.failure_details.empty())
    kinds_.set(kNoDetail);
}

std::string FailureSummary::Explanations() const {
  std::string text;
  for (size_t kind = 0; kind < std::size(kExplanations); ++kind) {
    if (!kinds_.test(kind)) continue;
    const Explanation& explanation = kExplanations[kind];
    text += explanation.name + std::string("\n    ");
    for (const char c : std::string_view(explanation.text)) {
      text += c;
      if (c == '\n') text += "    ";
    }
    text += '\n';
  }
  return text;
}

std::string FailureSummary::Totals(const std::string& where) const {
  if (failed_ == 0 && successful_ == 0 && kinds_.none())
    return "No failures, and no session at all, " + where +
           ".\nPostfix 3.10 and later tells of sessions (smtp_tlsrpt_enable = "
           "yes) with domains\nthat want reports: those with a record at "
           "_smtp._tls.DOMAIN. Of older ones,\ntlsrpt.maillog reads the log.\n";
  if (failed_ == 0 && kinds_.none())
    return "No failures " + where + "; " + Sessions(successful_) +
           " went well.\n";
  return Sessions(failed_) + " failed, " +
         (successful_ == 0 ? "none" : std::to_string(successful_)) +
         " went well, " + where + ".\n";
}

}  // namespace postern
