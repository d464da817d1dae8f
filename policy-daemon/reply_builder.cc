#include "policy-daemon/reply_builder.h"

#include "policy-daemon/postfix_reply.h"
#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

Replies Same(std::string_view payload, ReplyKind kind) {
  const std::string netstring = EncodeNetstring(payload);
  return {{netstring, netstring}, kind};
}

Replies NotFound() { return Same(kNotFoundReply, ReplyKind::kNotFound); }

// `dane` leaves hosts without TLSA at `may`: under a higher site level it
// would lower the administrator's floor.
bool DaneIsEnough(SiteLevel site) {
  return site == SiteLevel::kNone || site == SiteLevel::kMay ||
         site == SiteLevel::kDane;
}

bool MayIsEnough(SiteLevel site) {
  return site == SiteLevel::kNone || site == SiteLevel::kMay;
}

Replies Secure(const Facts& facts) {
  const StsPolicy& policy = *facts.sts.policy;
  const std::string& domain = facts.key.domain;
  return {{EncodeNetstring(SecureReply(policy, domain, Dialect::kPolicy)),
           EncodeNetstring(SecureReply(policy, domain, Dialect::kTlsrpt))},
          ReplyKind::kSecure};
}

bool ReportsTesting(const Facts& facts, const ReplySettings& settings) {
  return settings.testing_reply_may && MayIsEnough(settings.site_level) &&
         facts.sts.policy && facts.sts.policy->mode == StsMode::kTesting;
}

}  // namespace

Replies BuildReplies(const Facts& facts, const Decision& decision,
                     const ReplySettings& settings) {
  switch (decision.verdict) {
    case Verdict::kTemp:
      return TempReplies(TempReason(facts, decision),
                         decision.row == Row::kMxFailed
                             ? ReplyKind::kTempMxLookup
                             : ReplyKind::kTempDaneUnknown);
    case Verdict::kSecure:
      return Secure(facts);
    case Verdict::kDaneOnly:
      return Same(kDaneOnlyReply, ReplyKind::kDaneOnly);
    case Verdict::kDane:
      if (!DaneIsEnough(settings.site_level)) return NotFound();
      return Same(kDaneReply, ReplyKind::kDane);
    case Verdict::kNotFound:
      break;
  }
  Replies replies = NotFound();
  if (ReportsTesting(facts, settings)) {
    replies.text[static_cast<size_t>(Dialect::kTlsrpt)] =
        EncodeNetstring(TestingReply(*facts.sts.policy, facts.key.domain));
  }
  return replies;
}

Replies TempReplies(std::string_view reason, ReplyKind kind) {
  return Same(TempReply(reason), kind);
}

std::string TempReason(const Facts& facts, const Decision& decision) {
  const std::string& domain = facts.key.domain;
  if (decision.row == Row::kMxFailed)
    return "MX lookup for " + domain + " failed: " + facts.mx.reason;
  for (const HostFacts& host : facts.hosts) {
    if (host.state == HostState::kUnknown)
      return domain + " enforces MTA-STS, and DANE of its MX host " +
             host.name + " is unknown: " + host.reason;
  }
  return domain + " has more MX hosts than are examined";
}

}  // namespace postern
