#include "common/option_table.h"

#include <chrono>
#include <map>
#include <optional>

#include "common/text.h"

namespace postern {
namespace {

bool Assign(bool& target, const std::string& text) {
  if (text != "yes" && text != "no") return false;
  target = text == "yes";
  return true;
}

template <class T, class U>
bool Assign(T& target, const std::optional<U>& value) {
  if (value) target = static_cast<T>(*value);
  return value.has_value();
}

template <class T>
bool AssignUint(T& target, const std::string& text, uint64_t min,
                uint64_t max) {
  const auto value = ParseUint(text, max);
  return value && *value >= min && Assign(target, value);
}

template <class T>
std::optional<T> Choose(const std::map<std::string, T>& choices,
                        const std::string& text) {
  const auto found = choices.find(text);
  return found == choices.end() ? std::nullopt : std::optional(found->second);
}

// Rounds nothing: a bound outside [min, max] does not fit.
template <class Duration>
bool AssignDuration(Duration& target, const std::string& text, Duration min,
                    Duration max) {
  const auto value = ParseDuration(text);
  if (!value || *value < min || *value > max) return false;
  target = std::chrono::duration_cast<Duration>(*value);
  return target == *value;
}

std::optional<uint32_t> ParseMode(const std::string& text) {
  uint32_t mode = 0;
  if (text.size() < 3 || text.size() > 4) return std::nullopt;
  for (char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    mode = mode * 8 + static_cast<uint32_t>(c - '0');
  }
  return mode > 0777 ? std::nullopt : std::optional(mode);
}

const std::map<std::string, SiteLevel>& SiteLevels() {
  static const std::map<std::string, SiteLevel> levels = {
      {"none", SiteLevel::kNone},
      {"may", SiteLevel::kMay},
      {"encrypt", SiteLevel::kEncrypt},
      {"dane", SiteLevel::kDane},
      {"dane-only", SiteLevel::kDaneOnly},
      {"fingerprint", SiteLevel::kFingerprint},
      {"verify", SiteLevel::kVerify},
      {"secure", SiteLevel::kSecure}};
  return levels;
}

const std::map<std::string, LogLevel>& LogLevels() {
  static const std::map<std::string, LogLevel> levels = {
      {"debug", LogLevel::kDebug},
      {"info", LogLevel::kInfo},
      {"warn", LogLevel::kWarn},
      {"error", LogLevel::kError}};
  return levels;
}

using std::chrono::milliseconds;

}  // namespace

const std::vector<OptionSpec>& Specs() {
  static const std::vector<OptionSpec> specs = {
      {"policy.listen", "unix:/var/spool/postfix/postern/policy.sock",
       "unix:PATH (up to 107 bytes) or inet:ADDRESS:PORT",
       "where Postfix asks (socketmap)", true,
       [](Options& o, const std::string& text) {
         const auto listen = ListenAddress::Parse(text);
         if (listen) o.policy.listen.push_back(*listen);
         return listen.has_value();
       }},
      // Postfix gives up after 100 s and may then take a late answer for the
      // next question's: stay far below.
      {"policy.answer_timeout", "8s", "a duration from 1s to 60s",
       "after this long the answer is made of what is known, else TEMP;\n"
       "the lookup goes on",
       false,
       [](Options& o, const std::string& text) {
         return AssignDuration(o.policy.answer_timeout, text,
                               milliseconds(1000), milliseconds(60000));
       }},
      {"policy.max_lookups", "1000", "a number from 1 to 100000",
       "lookups in flight (those that only wait for a policy file do not\n"
       "count); beyond it, TEMP",
       false,
       [](Options& o, const std::string& text) {
         return AssignUint(o.policy.max_lookups, text, 1, 100000);
       }},
      {"policy.max_connections", "16384", "a number from 1 to 1000000",
       "connections; beyond it, the longest idle one is closed", false,
       [](Options& o, const std::string& text) {
         return AssignUint(o.policy.max_connections, text, 1, 1000000);
       }},
      {"policy.testing_reply", "off", "off or may",
       "answer for MTA-STS mode testing: off (as without policy), or may with\n"
       "TLSRPT attributes (Postfix >= 3.10; it then reports false successes)",
       false,
       [](Options& o, const std::string& text) {
         return Assign(o.policy.testing_reply_may,
                       Choose<bool>({{"off", false}, {"may", true}}, text));
       }},
      {"policy.mixed_reply", "secure", "secure or dane-only",
       "answer where MTA-STS is enforced and only some MX hosts have TLSA",
       false,
       [](Options& o, const std::string& text) {
         return Assign(
             o.policy.mixed_reply_dane_only,
             Choose<bool>({{"secure", false}, {"dane-only", true}}, text));
       }},
      {"policy.site_level", "may", "a Postfix TLS security level",
       "your smtp_tls_security_level; no answer lowers it", false,
       [](Options& o, const std::string& text) {
         return Assign(o.policy.site_level, ParseSiteLevel(text));
       }},
      {"policy.socket_group", "", "a group's name",
       "group of the unix sockets (default: postfix where it exists)", false,
       [](Options& o, const std::string& text) {
         o.policy.socket_group = text;
         return true;
       }},
      {"policy.socket_mode", "0660", "an octal mode such as 0660",
       "mode of the unix sockets", false,
       [](Options& o, const std::string& text) {
         return Assign(o.policy.socket_mode, ParseMode(text));
       }},
      {"policy.metrics_listen", "", "unix:PATH or inet:ADDRESS:PORT",
       "Prometheus metrics over HTTP, e.g. inet:127.0.0.1:9474 (default: none)",
       false,
       [](Options& o, const std::string& text) {
         o.policy.metrics_listen = ListenAddress::Parse(text);
         return o.policy.metrics_listen.has_value();
       }},
      {"policy.overrides", "", "a file",
       "your own word on single destinations, one a line: DOMAIN off, or a\n"
       "TLS level with its attributes, or sts-off, dane-off (default: none;\n"
       "see docs/operations.md)",
       false,
       [](Options& o, const std::string& text) {
         o.policy.overrides = text;
         return true;
       }},
      {"run.user", "", "a user's name",
       "user to run as once the sockets are open (default: as started)", false,
       [](Options& o, const std::string& text) {
         o.run.user = text;
         return true;
       }},
      {"run.group", "", "a group's name",
       "group to run as (default: the user's)", false,
       [](Options& o, const std::string& text) {
         o.run.group = text;
         return true;
       }},
      {"cache.directory", "/var/lib/postern", "a folder",
       "where MTA-STS policies are remembered (policies.db); it is made if\n"
       "its parent exists",
       false,
       [](Options& o, const std::string& text) {
         o.cache.directory = text;
         return !text.empty() && text.front() == '/';
       }},
      {"cache.max_entries", "1000000", "a number from 100 to 100000000",
       "answers kept in memory; also MTA-STS policies remembered", false,
       [](Options& o, const std::string& text) {
         return AssignUint(o.cache.max_entries, text, 100, 100000000);
       }},
      {"cache.max_bytes", "256MiB", "a size from 1MiB",
       "memory for answers, e.g. 256MiB; also the size of policies.db", false,
       [](Options& o, const std::string& text) {
         const auto size = ParseSize(text);
         return size && *size >= 1 << 20 && Assign(o.cache.max_bytes, size);
       }},
      {"dane.enabled", "yes", "yes or no",
       "no: for a Postfix without smtp_dns_support_level=dnssec", false,
       [](Options& o, const std::string& text) {
         return Assign(o.dane.enabled, text);
       }},
      {"dns.server", "", "ADDRESS, ADDRESS:PORT or [IPV6]:PORT",
       "validating resolver (default: /etc/resolv.conf)", true,
       [](Options& o, const std::string& text) {
         const auto server = AddressAndPort::Parse(text, 53);
         if (server) o.dns.servers.push_back(*server);
         return server.has_value();
       }},
      {"dns.timeout", "5s", "a duration from 500ms to 30s",
       "for one DNS query with its repeats", false,
       [](Options& o, const std::string& text) {
         return AssignDuration(o.dns.timeout, text, milliseconds(500),
                               milliseconds(30000));
       }},
      {"dns.trust_ad", "auto", "auto, yes or no",
       "whose DNSSEC validation to believe; auto: resolvers on this machine",
       false,
       [](Options& o, const std::string& text) {
         return Assign(o.dns.trust_ad,
                       Choose<TrustAd>({{"auto", TrustAd::kAuto},
                                        {"yes", TrustAd::kYes},
                                        {"no", TrustAd::kNo}},
                                       text));
       }},
      {"sts.ca_file", "", "a file of PEM certificates",
       "authorities for policy hosts (default: the system's)", false,
       [](Options& o, const std::string& text) {
         o.sts.ca_file = text;
         return true;
       }},
      {"sts.port", "443", "a port", "HTTPS port of policy hosts", false,
       [](Options& o, const std::string& text) {
         return AssignUint(o.sts.port, text, 1, 65535);
       }},
      {"sts.fetch_timeout", "60s", "a duration from 1s to 5m",
       "for one policy fetch; it never holds an answer longer than\n"
       "answer_timeout",
       false,
       [](Options& o, const std::string& text) {
         return AssignDuration(o.sts.fetch_timeout, text, Seconds(1),
                               Seconds(300));
       }},
      {"sts.max_fetches", "1000", "a number from 1 to 100000",
       "policy fetches in flight", false,
       [](Options& o, const std::string& text) {
         return AssignUint(o.sts.max_fetches, text, 1, 100000);
       }},
      {"sts.allow_private", "no", "no, yes, or prefixes such as 10.0.0.0/8",
       "non-global addresses of policy hosts that may be contacted", false,
       [](Options& o, const std::string& text) {
         return Assign(o.sts.allow_private, ParseAddressFilter(text));
       }},
      {"sts.max_bytes", "128MiB", "a size from 1MiB",
       "memory for MTA-STS policies remembered; when full, policies that were\n"
       "never enforced or used on one day only make room",
       false,
       [](Options& o, const std::string& text) {
         const auto size = ParseSize(text);
         return size && *size >= 1 << 20 && Assign(o.sts.max_bytes, size);
       }},
      {"sts.proxy", "", "HOST:PORT",
       "an HTTP proxy (CONNECT) for policy files and https reports, where\n"
       "HTTPS goes out by no other way (default: none)",
       false,
       [](Options& o, const std::string& text) {
         o.sts.proxy = text;
         return !text.empty();
       }},
      {"milter.listen", "", "unix:PATH or inet:ADDRESS:PORT",
       "a milter that looks destinations up when a recipient is accepted\n"
       "(default: none; see docs/operations.md for main.cf)",
       false,
       [](Options& o, const std::string& text) {
         o.milter.listen = ListenAddress::Parse(text);
         return o.milter.listen.has_value();
       }},
      {"tlsrpt.listen", "unix:/var/spool/postfix/postern/tlsrpt.sock",
       "unix:PATH (up to 107 bytes), or none",
       "where Postfix >= 3.10 tells how sessions went\n"
       "(smtp_tlsrpt_socket_name)",
       true,
       [](Options& o, const std::string& text) {
         if (text == "none") return true;
         const auto listen = ListenAddress::Parse(text);
         if (!listen || !listen->is_unix()) return false;
         o.tlsrpt.listen.push_back(*listen);
         return true;
       }},
      {"tlsrpt.maillog", "", "the path of a file, or journal",
       "Postfix's log, for Postfix < 3.10, which tells of no sessions\n"
       "otherwise: a file, or journal for systemd's (see docs/maillog.md);\n"
       "replaces tlsrpt.listen (default: none)",
       false,
       [](Options& o, const std::string& text) {
         o.tlsrpt.maillog = text;
         return text == kSystemdJournal || text.starts_with('/');
       }},
      {"spool.directory", "/var/spool/postern", "a folder",
       "where outcomes are written, a file a UTC day in its folder outcomes;\n"
       "it is made if its parent exists; further ones: folders of other\n"
       "machines, which postern-report reads, too",
       true,
       [](Options& o, const std::string& text) {
         if (o.spool.directory.empty())
           o.spool.directory = text;
         else
           o.spool.others.push_back(text);
         return text.starts_with('/');
       }},
      {"spool.keep_days", "10", "a number from 1 to 3650",
       "days that are kept beside today", false,
       [](Options& o, const std::string& text) {
         return AssignUint(o.spool.keep_days, text, 1, 3650);
       }},
      {"spool.max_bytes", "1GiB", "a size from 1MiB",
       "a day's outcomes on disk; beyond it they are counted, not written",
       false,
       [](Options& o, const std::string& text) {
         const auto size = ParseSize(text);
         return size && *size >= 1 << 20 && Assign(o.spool.max_bytes, size);
       }},
      {"spool.min_free", "", "a size, or 0",
       "free space that is left to others on the spool's disk (default: 5 %\n"
       "of it or 1 GiB, the smaller)",
       false,
       [](Options& o, const std::string& text) {
         o.spool.min_free = ParseSize(text);
         return o.spool.min_free.has_value();
       }},
      {"report.organization_name", "", "a name",
       "who reports, for people (default: the domain of contact_info)", false,
       [](Options& o, const std::string& text) {
         o.report.organization_name = text;
         return !text.empty();
       }},
      {"report.contact_info", "", "an address such as tls@example.org",
       "where domain owners may ask; its domain is the reports' submitter\n"
       "(default: postmaster at this host's domain)",
       false,
       [](Options& o, const std::string& text) {
         o.report.contact_info = text;
         return !text.empty();
       }},
      {"report.sender_address", "", "an address",
       "From and envelope sender of reports, where bounces come home\n"
       "(default: contact_info)",
       false,
       [](Options& o, const std::string& text) {
         o.report.sender_address = text;
         return !text.empty();
       }},
      {"report.instance", "", "any text",
       "tells machines of one organization apart (default: the host's name)",
       false,
       [](Options& o, const std::string& text) {
         o.report.instance = text;
         return !text.empty();
       }},
      {"report.queue_directory", "/var/lib/postern-report", "a folder",
       "where reports wait; what 0.1.0 left in the folder reports of\n"
       "spool.directory is taken over",
       false,
       [](Options& o, const std::string& text) {
         o.report.queue_directory = text;
         return text.starts_with('/');
       }},
      {"report.user", "", "a user's name",
       "user that postern-report runs as (default: postern-report, if "
       "run.user\n"
       "is set and there is such a user; else run.user)",
       false,
       [](Options& o, const std::string& text) {
         o.report.user = text;
         return true;
       }},
      {"report.max_per_target", "100", "a number from 1 to 1000000",
       "reports a day for one address or https host", false,
       [](Options& o, const std::string& text) {
         return AssignUint(o.report.max_per_target, text, 1, 1000000);
       }},
      {"report.sendmail", "/usr/sbin/sendmail", "the path of a program",
       "takes mails as sendmail -i -f SENDER -- ADDRESS does", false,
       [](Options& o, const std::string& text) {
         o.report.sendmail = text;
         return text.starts_with('/');
       }},
      {"report.jitter", "4h", "a duration from 0 to 20h",
       "the reports of a day are spread over this time after 00:05 UTC", false,
       [](Options& o, const std::string& text) {
         return AssignDuration(o.report.jitter, text, Seconds(0),
                               Seconds(20 * 3600));
       }},
      {"report.retry_for", "24h", "a duration from 1m to 7d",
       "after its first try, a delivery is given up after this long", false,
       [](Options& o, const std::string& text) {
         return AssignDuration(o.report.retry_for, text, Seconds(60),
                               Seconds(7 * 86400));
       }},
      {"report.failures_only", "no", "yes or no",
       "yes: no report where all sessions were fine", false,
       [](Options& o, const std::string& text) {
         return Assign(o.report.failures_only, text);
       }},
      {"report.subtract_own", "auto", "auto, yes or no",
       "whether our own report mails count among the sessions, and are taken\n"
       "off; auto: no where postconf tells of a Postfix from 3.10.4 on, which\n"
       "tells nothing of them",
       false,
       [](Options& o, const std::string& text) {
         o.report.subtract_own.reset();
         return text == "auto" ||
                Assign(o.report.subtract_own,
                       Choose<bool>({{"yes", true}, {"no", false}}, text));
       }},
      {"report.suppress", "", "a file",
       "domains and addresses that get no reports, one a line (default: none;\n"
       "see docs/operations.md)",
       false,
       [](Options& o, const std::string& text) {
         o.report.suppress = text;
         return text.starts_with('/');
       }},
      {"report.https", "yes", "yes or no",
       "whether reports are posted to https destinations", false,
       [](Options& o, const std::string& text) {
         return Assign(o.report.https, text);
       }},
      {"report.ca_file", "", "a file of PEM certificates",
       "authorities for https destinations (default: the system's)", false,
       [](Options& o, const std::string& text) {
         o.report.ca_file = text;
         return true;
       }},
      {"report.allow_private", "no", "no, yes, or prefixes such as 10.0.0.0/8",
       "non-global addresses that reports may be posted to", false,
       [](Options& o, const std::string& text) {
         return Assign(o.report.allow_private, ParseAddressFilter(text));
       }},
      {"report.dkim_domain", "", "a domain",
       "that signs (default: the domain of sender_address)", false,
       [](Options& o, const std::string& text) {
         o.report.dkim_domain = text;
         return !text.empty();
       }},
      {"report.dkim_selector", "", "a name such as tlsrpt2026",
       "where the key's public half is: SELECTOR._domainkey.DOMAIN;\n"
       "one for each dkim_key (default: none)",
       true,
       [](Options& o, const std::string& text) {
         o.report.dkim_selectors.push_back(text);
         return !text.empty();
       }},
      {"report.dkim_key", "", "a file with a private key in PEM",
       "signs the mails (RSA or Ed25519), e.g. one of each (default: none)",
       true,
       [](Options& o, const std::string& text) {
         o.report.dkim_keys.push_back(text);
         return text.starts_with('/');
       }},
      {"report.metrics_listen", "", "unix:PATH or inet:ADDRESS:PORT",
       "metrics of postern-report, e.g. inet:127.0.0.1:9475 (default: none)",
       false,
       [](Options& o, const std::string& text) {
         o.report.metrics_listen = ListenAddress::Parse(text);
         return o.report.metrics_listen.has_value();
       }},
      {"log.level", "info", "debug, info, warn or error", "what is logged",
       false,
       [](Options& o, const std::string& text) {
         return Assign(o.log.level, Choose(LogLevels(), text));
       }},
  };
  return specs;
}

std::optional<SiteLevel> ParseSiteLevel(const std::string& name) {
  return Choose(SiteLevels(), name);
}

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  static const std::map<std::string, uint64_t> units = {
      {"ms", 1},          {"", 1000},         {"s", 1000},
      {"m", 60 * 1000},   {"min", 60 * 1000}, {"h", 3600 * 1000},
      {"d", 86400 * 1000}};
  const size_t digits =
      std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = ParseUint(text.substr(0, digits), 1000000000);
  const auto unit = Choose(units, std::string(TrimBlanks(text.substr(digits))));
  if (!number || !unit) return std::nullopt;
  return std::chrono::milliseconds(*number * *unit);
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  static const std::map<std::string, uint64_t> units = {
      {"", 1},         {"b", 1},         {"k", 1 << 10}, {"kib", 1 << 10},
      {"m", 1 << 20},  {"mib", 1 << 20}, {"g", 1 << 30}, {"gib", 1 << 30},
      {"kb", 1 << 10}, {"mb", 1 << 20},  {"gb", 1 << 30}};
  const size_t digits =
      std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = ParseUint(text.substr(0, digits), uint64_t{1} << 33);
  const auto unit =
      Choose(units, ToLowerAscii(TrimBlanks(text.substr(digits))));
  if (!number || !unit) return std::nullopt;
  return *number * *unit;
}

std::optional<AddressFilter> ParseAddressFilter(std::string_view text) {
  AddressFilter filter;
  if (text == "no") return filter;
  if (text == "yes") {
    filter.allow_all = true;
    return filter;
  }
  for (std::string_view part : SplitList(text, ", ")) {
    const auto prefix = IpPrefix::Parse(part);
    if (!prefix) return std::nullopt;
    filter.allowed.push_back(*prefix);
  }
  if (filter.allowed.empty()) return std::nullopt;
  return filter;
}

}  // namespace postern
