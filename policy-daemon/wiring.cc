#include "policy-daemon/wiring.h"

#include <utility>

#include "common/text.h"

#include "policy-daemon/our_entries.h"
#include "policy-daemon/postfix_traps.h"
#include "policy-daemon/setting_list.h"

namespace postern {
namespace {

constexpr char kPolicyMaps[] = "smtp_tls_policy_maps";

class Planner {
 public:
  Planner(const PostfixSettings& postfix, const Options& options,
          const std::vector<std::string>& recorded)
      : postfix_(postfix),
        options_(options),
        ours_(options, postfix, recorded),
        tells_(postfix.version >= kTellsOfSessions) {}

  WiringPlan Plan() && {
    if (postfix_.version < kKnowsServername) {
      Warn("Postfix " + postfix_.version_text +
           " is too old: it does not know servername= (3.4), and mail to "
           "every domain with MTA-STS would wait; nothing is changed");
      return std::move(plan_);
    }
    if (const std::string old = postfix_.Effective("smtp_tls_per_site");
        !old.empty()) {
      Warn("smtp_tls_per_site = " + old +
           " would be ignored once smtp_tls_policy_maps is set: move what it "
           "says into a table of smtp_tls_policy_maps and take it out; nothing "
           "is changed until then");
      return std::move(plan_);
    }
    PlanLevels();
    PlanAuthorities();
    PlanPolicyMaps();
    PlanOutcomes();
    PlanMilter();
    PlanTlsproxy();
    LookAtReports();
    PlanReportMail();
    LookAtOthers();
    LookForTraps();
    return std::move(plan_);
  }

 private:
  void Warn(std::string text) { plan_.warnings.push_back(std::move(text)); }
  void Note(std::string text) { plan_.notes.push_back(std::move(text)); }

  std::string Raw(const std::string& name) const {
    return postfix_.Explicit(name).value_or("");
  }

  void Set(const std::string& name, const std::string& value, std::string why,
           std::string entry = "") {
    plan_.changes.push_back({Change::File::kMainCf, name,
                             postfix_.Explicit(name), value, std::move(entry),
                             std::move(why)});
  }

  void AddService(const std::string& name, const std::string& line,
                  std::string why) {
    plan_.changes.push_back({Change::File::kMasterCf, name, std::nullopt, line,
                             "", std::move(why)});
  }

  // The chroot field that a service of ours shares with smtp(8).
  std::string Chroot() const {
    const PostfixService* smtp = postfix_.Service("smtp/unix");
    return smtp ? smtp->chroot : "-";
  }

  bool CanReach(const ListenAddress& socket) const {
    return !socket.is_unix() || !postfix_.smtp_is_chrooted() ||
           socket.unix_path.starts_with(postfix_.queue_directory() + "/");
  }

  // Warns where main.cf cannot name it, or smtp(8) cannot reach it.
  bool IsUsable(const ListenAddress& socket, const char* key) {
    if (!CanReach(socket))
      Warn("smtp(8) runs chrooted in " + postfix_.queue_directory() +
           " and cannot reach " + socket.unix_path + "; put " + key +
           " below that folder");
    const bool plain = IsPlainWord(socket.ToString());
    if (!plain)
      Warn(std::string(key) + ": " + socket.ToString() +
           " has characters that main.cf takes for its own; choose another "
           "path");
    return plain;
  }

  void PlanLevels() {
    const std::string level = postfix_.Effective("smtp_tls_security_level");
    // Of old, and stronger than what we would set.
    const bool enforces = postfix_.Effective("smtp_enforce_tls") == "yes";
    if (level.empty() && enforces)
      Warn(
          "smtp_enforce_tls = yes is an old word for smtp_tls_security_level = "
          "encrypt, or verify: write that, and set policy.site_level to it");
    else if (level.empty() || level == "none")
      Set("smtp_tls_security_level", "may",
          "without it, mail to domains without a policy goes out in clear "
          "text, "
          "and TLSRPT is off");
    // Our `dane` leaves hosts without TLSA at `may`, as Postfix's own does.
    if (const auto site = ParseSiteLevel(level);
        site && *site > SiteLevel::kMay && *site != SiteLevel::kDane &&
        *site != options_.policy.site_level)
      Warn("smtp_tls_security_level is " + level +
           ", but policy.site_level is not: an answer could lower it; set "
           "policy.site_level = " +
           level);
    // Who does without DNS would find mail routed in another way.
    if (options_.dane.enabled &&
        postfix_.Effective("disable_dns_lookups") != "yes" &&
        postfix_.Effective("smtp_dns_support_level") != "dnssec")
      Set("smtp_dns_support_level", "dnssec",
          "else dane falls back to may, and dane-only holds mail (or set "
          "dane.enabled = no)");
    // Older Postfix takes the global level `may` as its word on hosts whose MX
    // records are not signed, and then ignores our `dane` for them.
    if (options_.dane.enabled && !tells_ &&
        postfix_.Effective("smtp_tls_dane_insecure_mx_policy") != "dane")
      Set("smtp_tls_dane_insecure_mx_policy", "dane",
          "else this Postfix ignores DANE where the MX records are not signed");
    const std::string loglevel = postfix_.Effective("smtp_tls_loglevel");
    if (loglevel.empty() || loglevel == "0")
      Set("smtp_tls_loglevel", "1", "the log then tells how each session went");
  }

  void PlanAuthorities() {
    const bool has_path = !postfix_.Effective("smtp_tls_CApath").empty();
    if (!postfix_.Effective("smtp_tls_CAfile").empty() ||
        (has_path && !postfix_.smtp_is_chrooted()))
      return;
    const std::string& file = postfix_.system_ca_file;
    if (file.empty())
      Warn(
          "smtp_tls_CAfile is empty, and this machine has no file of "
          "authorities: every delivery under MTA-STS would fail; install "
          "ca-certificates, and run setup again");
    else
      Set("smtp_tls_CAfile", file,
          has_path
              ? "smtp(8) is chrooted: smtp_tls_CApath is read inside the "
                "chroot, smtp_tls_CAfile before it"
              : "without authorities, every delivery under MTA-STS fails with "
                "\"untrusted issuer\"");
  }

  void PlanPolicyMaps() {
    const ListenAddress* socket = SocketFor(options_.policy.listen, postfix_);
    if (!socket || !IsUsable(*socket, "policy.listen")) return;
    const std::string entry = "socketmap:" + NameForPostfix(*socket, postfix_) +
                              (tells_ ? ":policy-tlsrpt" : ":policy");
    const std::string raw = Raw(kPolicyMaps);
    const std::string effective = postfix_.Effective(kPolicyMaps);
    LookAtWayOfAsking(effective);
    const auto is_ours = [this](std::string_view one) {
      return ours_.IsOurMap(one);
    };
    const auto is_peers = [this](std::string_view one) {
      return ours_.IsPeersMap(one);
    };
    if (HasEntry(effective, is_peers) && !HasEntry(raw, is_peers))
      Warn(
          "smtp_tls_policy_maps asks another MTA-STS daemon by way of another "
          "parameter; take it out there");
    if (HasEntry(effective, is_ours) && !HasEntry(raw, is_ours)) {
      if (!AsksRightly(effective))
        Warn(
            "smtp_tls_policy_maps names our socket by way of another "
            "parameter; write " +
            entry + " there");
      return;
    }
    const bool has_peers = HasEntry(raw, is_peers);
    if (!has_peers && AsksRightly(raw)) return;
    const IsEntry is_old = [&](std::string_view one) {
      return is_ours(one) || is_peers(one);
    };
    Set(kPolicyMaps,
        HasEntry(raw, is_old) ? Replaced(raw, is_old, entry)
                              : Appended(raw, entry),
        WhyPolicyMaps(raw, is_peers, HasEntry(raw, is_old)), entry);
  }

  // Is our socket there, once, within reach, and in a dialect that this Postfix
  // is to have? Another name of the map is as good.
  bool AsksRightly(const std::string& list) const {
    size_t asked = 0;
    for (std::string_view one : EntriesOf(list)) {
      if (!ours_.IsOurMap(one)) continue;
      const std::string_view map = Socketmap::Parse(one)->map;
      const bool with_tlsrpt =
          map == "policy-tlsrpt" || map == "QUERYwithTLSRPT";
      if (with_tlsrpt != tells_ || !ours_.ReachesUs(one)) return false;
      ++asked;
    }
    return asked == 1;
  }

  std::string WhyPolicyMaps(const std::string& raw, const IsEntry& is_peers,
                            bool has_old) const {
    for (std::string_view one : EntriesOf(raw))
      if (is_peers(one))
        return "in the place of " + std::string(one) +
               ", another MTA-STS daemon";
    if (has_old)
      return tells_ ? "this socket, in the dialect of Postfix 3.10 and later"
                    : "this socket, and no attributes that Postfix before "
                      "3.10 would not know";
    return EntriesOf(raw).empty()
               ? "asks postern-policy about each destination"
               : "asks postern-policy, where nothing before it has an answer";
  }

  void LookAtWayOfAsking(const std::string& effective) {
    bool by_inet = false;
    bool by_unix = false;
    for (std::string_view one : EntriesOf(effective)) {
      if (!ours_.IsOurMap(one)) continue;
      if (one.starts_with("proxy:"))
        Warn(
            "smtp_tls_policy_maps asks through proxy:, where one slow answer "
            "holds all that ask; take proxy: out");
      by_inet = by_inet || one.starts_with("socketmap:inet:");
      by_unix = by_unix || one.starts_with("socketmap:unix:");
    }
    if (!options_.tlsrpt.maillog.empty() && by_inet && !by_unix)
      Warn(
          "smtp_tls_policy_maps asks by inet:, and tlsrpt.maillog needs to "
          "know which process asks: only socketmap:unix: tells");
  }

  // How Postfix is to tell of its sessions: by itself, or by its log.
  void PlanOutcomes() {
    if (!options_.tlsrpt.maillog.empty()) {
      if (tells_)
        Warn("Postfix " + postfix_.version_text +
             " tells of its sessions by itself, and better than its log: take "
             "tlsrpt.maillog out");
      return;
    }
    const ListenAddress* socket = SocketFor(options_.tlsrpt.listen, postfix_);
    if (!tells_)
      Note("Postfix " + postfix_.version_text +
           " tells of no sessions; for outcomes set tlsrpt.maillog = journal, "
           "or the path of its log");
    if (!tells_ || !socket || !IsUsable(*socket, "tlsrpt.listen")) return;
    if (postfix_.Effective("smtp_tlsrpt_enable") != "yes")
      Set("smtp_tlsrpt_enable", "yes", "Postfix then tells how sessions went");
    const std::string now = postfix_.Effective("smtp_tlsrpt_socket_name");
    if (!ours_.IsOurTlsrptSocket(now))
      Set("smtp_tlsrpt_socket_name",
          PathForPostfix(socket->unix_path, postfix_),
          now.empty() ? "where postern-policy listens for that"
                      : "where postern-policy listens, instead of another",
          PathForPostfix(socket->unix_path, postfix_));
  }

  // Whatever happens to us, mail goes on.
  void PlanMilter() {
    const auto& socket = options_.milter.listen;
    const std::string raw = Raw("smtpd_milters");
    const IsEntry is_ours = [this](std::string_view one) {
      return ours_.IsOurMilter(one);
    };
    const bool has_old = HasEntry(raw, is_ours);
    if (!socket && has_old)
      Note(
          "smtpd_milters names postern-policy, but milter.listen is unset: "
          "mail waits some seconds for it; set it, or take our entry out");
    if (!socket || !IsPlainWord(socket->ToString())) return;
    const auto is_it = [this](std::string_view one) {
      return ours_.IsMilterNow(one);
    };
    if (HasEntry(postfix_.Effective("smtpd_milters"), is_it)) return;
    const std::string entry =
        "{ " + NameForPostfix(*socket, postfix_) +
        ", default_action=accept, connect_timeout=2s, command_timeout=2s }";
    Set("smtpd_milters",
        has_old ? Replaced(raw, is_ours, entry) : Appended(raw, entry),
        "looks destinations up while mail is still coming in", entry);
  }

  void PlanTlsproxy() {
    if (postfix_.Service("tlsproxy/unix")) return;
    bool reuses = postfix_.Effective("smtp_tls_connection_reuse") == "yes";
    for (const PostfixService& service : postfix_.services) {
      const auto found = service.overrides.find("smtp_tls_connection_reuse");
      reuses = reuses ||
               (found != service.overrides.end() && found->second == "yes");
    }
    if (reuses)
      AddService(
          "tlsproxy/unix", "tlsproxy unix - - " + Chroot() + " - 0 tlsproxy",
          "smtp_tls_connection_reuse = yes needs it: else every delivery "
          "with TLS waits");
  }

  // Nobody reports in a name that was made up.
  void LookAtReports() {
    if (!options_.report.contact_info.empty()) return;
    const std::string domain = postfix_.Effective("mydomain");
    const bool has_domain = domain.find('.') != domain.npos;
    Note(
        "no TLS reports are sent until you say who reports: write contact_info "
        "= tlsrpt@" +
        (has_domain ? domain : "your domain") +
        ", or another mailbox that somebody reads, below [report] in "
        "postern.conf, and restart postern-report");
  }

  // A mail cannot say TLS-Required: no to an older Postfix. A report about
  // failures must not fail for the same reason.
  void PlanReportMail() {
    if (tells_) return;
    const std::string sender = ReportSender(options_);
    if (sender.empty() || sender.starts_with("postmaster@")) {
      Note(
          "reports by mail are held by the policies that they tell of: set "
          "report.sender_address to an address that sends nothing else, and "
          "run setup again for a transport of their own");
      return;
    }
    if (!IsPlainWord(sender) || sender.find('@') == sender.npos ||
        sender.find(':') != sender.npos) {
      Note("report.sender_address: main.cf cannot name " + sender +
           ", so its mail gets no transport of its own");
      return;
    }
    if (!postfix_.Service(kReportService))
      AddService(kReportService,
                 "postern-reports unix - - " + Chroot() +
                     " - - smtp -o smtp_tls_security_level=may"
                     " -o smtp_tls_policy_maps=",
                 "reports about failures must not fail for the same reason");
    constexpr char kMaps[] = "sender_dependent_default_transport_maps";
    const std::string entry = TransportMapFor(sender);
    const std::string raw = Raw(kMaps);
    const auto is_it = [&](std::string_view one) { return one == entry; };
    if (HasEntry(raw, is_it)) return;
    const IsEntry is_ours = [this](std::string_view one) {
      return ours_.IsOurTransportMap(one);
    };
    // The first answer counts.
    Set(kMaps,
        HasEntry(raw, is_ours) ? Replaced(raw, is_ours, entry)
                               : Prepended(raw, entry),
        "mail by " + sender + " goes out by that transport", entry);
  }

  void LookForTraps() {
    const auto warn = [this](const std::vector<std::string>& traps) {
      for (const std::string& trap : traps) Warn(trap);
    };
    if (options_.dane.enabled) warn(DaneTraps(postfix_));
    warn(AuthorityTraps(postfix_));
    warn(SrvTraps(postfix_));
    warn(MaillogTraps(postfix_, options_));
  }

  void LookAtOthers() {
    for (const PostfixService& service : postfix_.services) {
      const auto maps = service.overrides.find(kPolicyMaps);
      if (service.name != kReportService && maps != service.overrides.end())
        Warn("master.cf: " + service.name +
             " has a smtp_tls_policy_maps of "
             "its own (" +
             maps->second + "), to which nothing here applies");
    }
    if (const std::string relay = postfix_.Effective("relayhost");
        !relay.empty())
      Note("relayhost is " + relay +
           ": Postfix asks about that host alone, and reports are about it");
  }

  const PostfixSettings& postfix_;
  const Options& options_;
  const OurEntries ours_;
  const bool tells_;
  WiringPlan plan_;
};

}  // namespace

WiringPlan PlanWiring(const PostfixSettings& postfix, const Options& options,
                      const std::vector<std::string>& recorded) {
  return Planner(postfix, options, recorded).Plan();
}

}  // namespace postern
