#include "policy-daemon/reply_builder.h"

#include "policy-daemon/postfix_reply.h"
#include "policy-daemon/socketmap.h"
#include "policy-daemon/tlsa.h"

namespace postern {
namespace {

using Demand = AnsweredPolicy::Demand;

Replies Same(std::string_view payload, ReplyKind kind) {
  const std::string netstring = EncodeNetstring(payload);
  return {{netstring, netstring}, kind, nullptr};
}

Replies NotFound() { return Same(kNotFoundReply, ReplyKind::kNotFound); }

bool MayIsEnough(SiteLevel site) {
  return site == SiteLevel::kNone || site == SiteLevel::kMay;
}

Replies Secure(const Facts& facts) {
  const StsPolicy& policy = *facts.sts.policy;
  const std::string& domain = facts.key.domain;
  return {{EncodeNetstring(SecureReply(policy, domain, Dialect::kPolicy)),
           EncodeNetstring(SecureReply(policy, domain, Dialect::kTlsrpt))},
          ReplyKind::kSecure,
          nullptr};
}

bool ReportsTesting(const Facts& facts, const ReplySettings& settings) {
  return settings.testing_reply_may && MayIsEnough(settings.site_level) &&
         facts.sts.policy && facts.sts.policy->mode == StsMode::kTesting;
}

AnsweredPolicy::Host HostOf(const HostFacts& facts) {
  using Tlsa = AnsweredPolicy::Host::Tlsa;
  AnsweredPolicy::Host host;
  host.name = facts.name;
  if (facts.state == HostState::kNone) host.has_tlsa = Tlsa::kNone;
  if (facts.state != HostState::kUsable && facts.state != HostState::kUnusable)
    return host;
  host.has_tlsa = Tlsa::kSome;
  host.tlsa_base = facts.tlsa_base;
  host.tlsa = TlsaStrings(facts.tlsa);
  return host;
}

// `kind` is no TEMP.
AnsweredPolicyPtr PolicyOf(const Facts& facts, ReplyKind kind) {
  AnsweredPolicy policy;
  policy.domain = facts.key.domain;
  if (kind == ReplyKind::kSecure) {
    policy.demand = Demand::kAuthentication;
    policy.policy_type = PolicyType::kSts;
    policy.policy_domain = facts.key.domain;
    policy.policy_string = PolicyStrings(*facts.sts.policy);
    policy.mx_host = facts.sts.policy->mx;
  } else if (kind == ReplyKind::kDaneOnly) {
    policy.demand = Demand::kAuthentication;
    policy.policy_type = PolicyType::kTlsa;
  } else if (kind == ReplyKind::kDane) {
    policy.demand = Demand::kDane;
  }
  for (const HostFacts& host : facts.hosts)
    policy.hosts.push_back(HostOf(host));
  policy.all_hosts = !facts.mx.skipped && facts.mx.unexamined == 0;
  BoundAnsweredPolicy(policy);
  return std::make_shared<const AnsweredPolicy>(std::move(policy));
}

Replies BuildTexts(const Facts& facts, const Decision& decision,
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

}  // namespace

bool DaneIsEnough(SiteLevel site) {
  return site == SiteLevel::kNone || site == SiteLevel::kMay ||
         site == SiteLevel::kDane;
}

Replies BuildReplies(const Facts& facts, const Decision& decision,
                     const ReplySettings& settings) {
  Replies replies = BuildTexts(facts, decision, settings);
  if (settings.with_policy && !replies.policy)
    replies.policy = PolicyOf(facts, replies.kind);
  return replies;
}

Replies TempReplies(std::string_view reason, ReplyKind kind) {
  static const AnsweredPolicyPtr later = [] {
    AnsweredPolicy policy;
    policy.demand = Demand::kLater;
    return std::make_shared<const AnsweredPolicy>(std::move(policy));
  }();
  Replies replies = Same(TempReply(reason), kind);
  replies.policy = later;
  return replies;
}

std::string TempReason(const Facts& facts, const Decision& decision) {
  const std::string& domain = facts.key.domain;
  if (decision.row == Row::kMxFailed)
    return "MX lookup for " + domain + " failed: " + facts.mx.reason;
  const std::string begin = decision.row == Row::kUnknownOther
                                ? "DANE of the MX host "
                                : domain +
                                      " enforces MTA-STS, and DANE of its MX "
                                      "host ";
  for (const HostFacts& host : facts.hosts) {
    if (host.state == HostState::kUnknown)
      return begin + host.name + " is unknown: " + host.reason;
  }
  return domain + " has more MX hosts than are examined";
}

}  // namespace postern
