#include "policy-daemon/query_text.h"

#include <algorithm>
#include <cstdio>

#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include "common/text.h"

#include "policy-daemon/tlsa.h"

namespace postern {
namespace {

constexpr size_t kLabelWidth = 16;

const char* MxStateName(const MxFacts& mx) {
  if (mx.skipped) return "skipped";
  switch (mx.state) {
    case MxState::kPending:
      return "pending";
    case MxState::kFailed:
      return "failed";
    case MxState::kSecure:
      return "secure";
    case MxState::kInsecure:
      return "insecure";
  }
  return "";
}

const char* HostStateName(HostState state) {
  switch (state) {
    case HostState::kPending:
      return "pending";
    case HostState::kNoAddress:
      return "no-address";
    case HostState::kUsable:
      return "usable";
    case HostState::kUnusable:
      return "unusable";
    case HostState::kNone:
      return "none";
    case HostState::kUnknown:
      return "unknown";
  }
  return "";
}

const char* TxtName(StsTxt txt) {
  switch (txt) {
    case StsTxt::kPending:
      return "pending";
    case StsTxt::kAbsent:
      return "absent";
    case StsTxt::kInvalid:
      return "invalid";
    case StsTxt::kValid:
      return "valid";
    case StsTxt::kFailed:
      return "failed";
  }
  return "";
}

const char* FetchName(StsFetch fetch) {
  switch (fetch) {
    case StsFetch::kNone:
      return "none";
    case StsFetch::kPending:
      return "pending";
    case StsFetch::kDone:
      return "done";
    case StsFetch::kFailed:
      return "failed";
    case StsFetch::kSkipped:
      return "skipped";
    case StsFetch::kCrowded:
      return "crowded";
    case StsFetch::kOurs:
      return "ours";
  }
  return "";
}

// Why this row, in words.
std::string RowText(Row row) {
  switch (row) {
    case Row::kMxFailed:
      return "the MX lookup failed, so nothing can be decided safely";
    case Row::kNoHostsEnforce:
      return "no MX host can be found now, but MTA-STS is enforced";
    case Row::kNoHostsOther:
      return "there is no host to deliver to";
    case Row::kAllUsable:
      return "the MX set is secure and every host has usable TLSA records";
    case Row::kUsableOrUnknownEnforce:
      return "the hosts that could be examined have usable TLSA records";
    case Row::kUnknownEnforce:
      return "MTA-STS is enforced, and the DANE state of no host is known";
    case Row::kMixedEnforce:
      return "MTA-STS is enforced, and not every host has usable TLSA records";
    case Row::kInsecureEnforce:
      return "MTA-STS is enforced, and the MX set is not secured by DNSSEC";
    case Row::kUsableOrUnknownOther:
      return "no MTA-STS policy is enforced, and the hosts that could be "
             "examined have usable TLSA records";
    case Row::kUnknownOther:
      return "no MTA-STS policy is enforced, and the DANE state of no host is "
             "known";
    case Row::kSomeTlsaOther:
      return "some host has TLSA records or could not be examined: Postfix "
             "judges each host itself";
    case Row::kAllNoneEnforce:
      return "MTA-STS is enforced, and no host has TLSA records";
    case Row::kAllNoneOther:
      return "neither DANE nor an enforced MTA-STS policy: Postfix uses its "
             "own smtp_tls_security_level";
  }
  return "";
}

std::string MxText(const Facts& facts) {
  const MxFacts& mx = facts.mx;
  if (facts.key.is_host) return "none looked up: the key names a host";
  if (mx.skipped)
    return "not looked up: DANE is off (dane.enabled, policy.overrides, or no "
           "DNS resolver validates DNSSEC)";
  if (mx.state == MxState::kFailed) return "failed: " + Printable(mx.reason);
  std::string text = mx.state == MxState::kSecure
                         ? "secure (DNSSEC)"
                         : "insecure (not signed with DNSSEC)";
  if (mx.nxdomain) text += ", the domain does not exist";
  if (mx.null_mx) text += ", null MX: it takes no mail";
  if (mx.implicit) text += ", no MX records: the domain is its own host";
  if (mx.unexamined > 0)
    text += ", " + std::to_string(mx.unexamined) + " more hosts not examined";
  return text + ", TTL " + std::to_string(mx.ttl.count()) + " s";
}

std::string HostText(const HostFacts& host) {
  switch (host.state) {
    case HostState::kPending:
      return "not known yet";
    case HostState::kNoAddress:
      return "left out: " + Printable(host.reason);
    case HostState::kUsable:
      return "DANE: usable TLSA records at " + Printable(host.tlsa_base);
    case HostState::kUnusable:
      return "DANE: TLSA records at " + Printable(host.tlsa_base) +
             ", none usable";
    case HostState::kNone:
      return "no DANE" + (host.reason.empty() ? std::string(": no TLSA records")
                                              : ": " + Printable(host.reason));
    case HostState::kUnknown:
      return "unknown: " + Printable(host.reason);
  }
  return "";
}

std::string RecordText(const StsFacts& sts, const std::string& domain) {
  const std::string name = "_mta-sts." + domain;
  switch (sts.txt) {
    case StsTxt::kPending:
      return "no answer yet for " + name;
    case StsTxt::kAbsent:
      return "none at " + name;
    case StsTxt::kInvalid:
      return "invalid at " + name + ": " + Printable(sts.txt_reason);
    case StsTxt::kValid:
      return "id " + sts.id + " at " + name;
    case StsTxt::kFailed:
      return "lookup of " + name + " failed: " + Printable(sts.txt_reason);
  }
  return "";
}

std::string FetchText(const StsFacts& sts, const std::string& domain) {
  const std::string url =
      "https://mta-sts." + domain + "/.well-known/mta-sts.txt";
  switch (sts.fetch) {
    case StsFetch::kNone:
      return sts.policy ? "not due" : "not asked for";
    case StsFetch::kPending:
      return "no answer yet from " + url;
    case StsFetch::kDone:
      return "fetched from " + url;
    case StsFetch::kFailed:
      return "failed: " + Printable(sts.fetch_reason) + " (" + url + ")";
    case StsFetch::kSkipped:
      return "failed before, not tried again yet: " +
             Printable(sts.fetch_reason);
    case StsFetch::kCrowded:
      return "not tried: " + Printable(sts.fetch_reason);
    case StsFetch::kOurs:
      return "failed by trouble of this machine's: " +
             Printable(sts.fetch_reason);
  }
  return "";
}

class TextBuilder {
 public:
  void Line(std::string_view label, std::string_view text) {
    std::string left = "  " + std::string(label);
    left.resize(std::max(kLabelWidth + 2, left.size() + 1), ' ');
    text_ += left + std::string(text) + "\n";
  }
  void Raw(const std::string& line) { text_ += line + "\n"; }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

void AddHosts(const Facts& facts, TextBuilder& out) {
  size_t width = 0;
  for (const HostFacts& host : facts.hosts)
    width = std::max(width, host.name.size());
  width = std::min<size_t>(width, 40);
  for (const HostFacts& host : facts.hosts) {
    std::string name = Printable(host.name);
    name.resize(std::max(width, name.size()), ' ');
    out.Line("", name + "  " + HostText(host));
    for (const TlsaRecord& record : host.tlsa)
      out.Line("", "    " + Printable(ToString(record)) +
                       (IsUsable(record) ? "" : "  (not usable for SMTP)"));
    if (host.tlsa_left_out > 0)
      out.Line("", "    and " + std::to_string(host.tlsa_left_out) +
                       " more, too many or too large to be shown");
  }
}

void AddPolicy(const QueryResult& result, TextBuilder& out) {
  const StsFacts& sts = result.facts.sts;
  if (!sts.policy) return;
  const auto left = std::chrono::duration_cast<std::chrono::hours>(
      sts.expires_at - result.now);
  out.Line("MTA-STS policy",
           "mode " + std::string(StsModeName(sts.policy->mode)) + ", max_age " +
               std::to_string(sts.policy->max_age.count()) + " s, holds for " +
               std::to_string(left.count()) + " h" +
               (sts.remembered ? " (remembered)" : ""));
  for (const std::string& pattern : sts.policy->mx) {
    bool matched = false;
    for (const HostFacts& host : result.facts.hosts)
      matched |= MatchesMxPattern(host.name, pattern);
    out.Line("", "mx " + pattern + (matched ? "" : "  (no MX host matches)"));
  }
  for (const HostFacts& host : result.facts.hosts) {
    const auto& mx = sts.policy->mx;
    if (result.facts.mx.skipped || mx.empty() ||
        std::any_of(mx.begin(), mx.end(), [&](const std::string& pattern) {
          return MatchesMxPattern(host.name, pattern);
        }))
      continue;
    out.Line("", "warning: MX host " + Printable(host.name) +
                     " is not in the policy");
  }
}

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

void Member(Writer& writer, const char* key, const std::string& value) {
  writer.Key(key);
  // Remote bytes may be no UTF-8: printable ASCII is, always.
  const std::string safe = Printable(value, kMaxPolicyBytes * 2);
  writer.String(safe.c_str(), static_cast<rapidjson::SizeType>(safe.size()));
}
void Member(Writer& writer, const char* key, const char* value) {
  Member(writer, key, std::string(value));
}
void Member(Writer& writer, const char* key, bool value) {
  writer.Key(key);
  writer.Bool(value);
}
void Member(Writer& writer, const char* key, int64_t value) {
  writer.Key(key);
  writer.Int64(value);
}

void WriteHost(Writer& writer, const HostFacts& host) {
  writer.StartObject();
  Member(writer, "name", host.name);
  Member(writer, "state", HostStateName(host.state));
  if (!host.reason.empty()) Member(writer, "reason", host.reason);
  Member(writer, "ttl", int64_t{host.ttl.count()});
  if (!host.tlsa_base.empty()) Member(writer, "tlsa-base", host.tlsa_base);
  writer.Key("tlsa");
  writer.StartArray();
  for (const TlsaRecord& record : host.tlsa) {
    writer.StartObject();
    Member(writer, "record", ToString(record));
    Member(writer, "usable", IsUsable(record));
    writer.EndObject();
  }
  writer.EndArray();
  if (host.tlsa_left_out > 0)
    Member(writer, "tlsa-left-out", static_cast<int64_t>(host.tlsa_left_out));
  writer.EndObject();
}

void WriteMx(Writer& writer, const Facts& facts) {
  writer.Key("mx");
  writer.StartObject();
  Member(writer, "state", MxStateName(facts.mx));
  Member(writer, "nxdomain", facts.mx.nxdomain);
  Member(writer, "null-mx", facts.mx.null_mx);
  Member(writer, "implicit", facts.mx.implicit);
  if (!facts.mx.reason.empty()) Member(writer, "reason", facts.mx.reason);
  Member(writer, "ttl", int64_t{facts.mx.ttl.count()});
  writer.Key("hosts");
  writer.StartArray();
  for (const HostFacts& host : facts.hosts) WriteHost(writer, host);
  writer.EndArray();
  writer.EndObject();
}

void WriteSts(Writer& writer, const StsFacts& sts) {
  writer.Key("mta-sts");
  writer.StartObject();
  Member(writer, "record", sts.skipped ? "skipped" : TxtName(sts.txt));
  if (!sts.id.empty()) Member(writer, "id", sts.id);
  if (!sts.txt_reason.empty()) Member(writer, "record-reason", sts.txt_reason);
  Member(writer, "fetch", FetchName(sts.fetch));
  if (!sts.fetch_reason.empty())
    Member(writer, "fetch-reason", sts.fetch_reason);
  if (sts.policy) {
    writer.Key("policy");
    writer.StartObject();
    Member(writer, "mode", std::string(StsModeName(sts.policy->mode)));
    Member(writer, "max-age", int64_t{sts.policy->max_age.count()});
    Member(writer, "remembered", sts.remembered);
    Member(writer, "expires-at",
           int64_t{sts.expires_at.time_since_epoch().count()});
    writer.Key("mx");
    writer.StartArray();
    for (const std::string& pattern : sts.policy->mx)
      writer.String(pattern.c_str());
    writer.EndArray();
    writer.EndObject();
  }
  writer.EndObject();
}

std::string OverrideReason(const OverrideResult& result) {
  return "policy.overrides says so: " + Printable(result.file, 200) +
         ", line " + std::to_string(result.line);
}

}  // namespace

std::string QueryAsText(const QueryResult& result) {
  const Facts& facts = result.facts;
  TextBuilder out;
  out.Raw(facts.key.ToString());
  out.Line("Postfix gets", result.reply);
  if (result.tlsrpt_reply != result.reply)
    out.Line("  with TLSRPT", result.tlsrpt_reply);
  out.Line("because", RowText(result.decision.row));
  out.Raw("");
  out.Line("MX", MxText(facts));
  if (!facts.mx.skipped) AddHosts(facts, out);
  if (facts.sts.skipped) {
    out.Line("MTA-STS", "not looked up: off by policy.overrides");
  } else {
    out.Line("MTA-STS record", RecordText(facts.sts, facts.key.domain));
    out.Line("MTA-STS file", FetchText(facts.sts, facts.key.domain));
  }
  AddPolicy(result, out);
  if (!result.resolver_validates)
    out.Line("warning",
             "no DNS resolver validates DNSSEC (and is trusted): DANE cannot "
             "be judged; see dns.server and dns.trust_ad");
  return out.Take();
}

std::string QueryAsJson(const QueryResult& result) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.SetIndent(' ', 2);
  writer.StartObject();
  Member(writer, "key", result.facts.key.ToString());
  Member(writer, "reply", result.reply);
  Member(writer, "reply-tlsrpt", result.tlsrpt_reply);
  Member(writer, "because", RowText(result.decision.row));
  Member(writer, "resolver-validates", result.resolver_validates);
  WriteMx(writer, result.facts);
  WriteSts(writer, result.facts.sts);
  writer.EndObject();
  return std::string(buffer.GetString()) + "\n";
}

std::string OverrideAsText(const OverrideResult& result) {
  TextBuilder out;
  out.Raw(result.key);
  out.Line("Postfix gets", result.reply);
  out.Line("because", OverrideReason(result));
  return out.Take();
}

std::string OverrideAsJson(const OverrideResult& result) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.SetIndent(' ', 2);
  writer.StartObject();
  Member(writer, "key", result.key);
  Member(writer, "reply", result.reply);
  Member(writer, "reply-tlsrpt", result.reply);
  Member(writer, "because", OverrideReason(result));
  writer.EndObject();
  return std::string(buffer.GetString()) + "\n";
}

bool HasProblem(const Facts& facts) {
  const StsFacts& sts = facts.sts;
  return facts.mx.state == MxState::kFailed || sts.txt == StsTxt::kInvalid ||
         sts.txt == StsTxt::kFailed || sts.fetch == StsFetch::kFailed ||
         sts.fetch == StsFetch::kSkipped ||
         std::any_of(facts.hosts.begin(), facts.hosts.end(),
                     [](const HostFacts& host) {
                       return host.state == HostState::kUnusable ||
                              host.state == HostState::kUnknown;
                     });
}

}  // namespace postern
