#include "policy-daemon/check_config.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "common/getdns_resolver.h"
#include "common/loop_clock.h"
#include "common/metrics.h"
#include "common/text.h"

#include "policy-daemon/configuration.h"

namespace postern {
namespace {

constexpr char kSystemCaFile[] = "/etc/ssl/certs/ca-certificates.crt";

// The output of a fixed command; no word of it comes from outside.
std::string OutputOf(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>/dev/null").c_str(), "re");
  if (!pipe) return output;
  std::array<char, 4096> buffer{};
  while (size_t bytes = fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), bytes);
  pclose(pipe);
  return output;
}

// "name = value" lines.
std::map<std::string, std::string> ParsePostconf(const std::string& text) {
  std::map<std::string, std::string> settings;
  for (std::string_view line : SplitList(text, "\n")) {
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    settings[std::string(TrimBlanks(line.substr(0, equals)))] =
        TrimBlanks(line.substr(equals + 1));
  }
  return settings;
}

PostfixSettings ReadPostfix() {
  auto settings = ParsePostconf(
      OutputOf("postconf -x mail_version queue_directory smtp_tls_CAfile "
               "smtp_tls_CApath smtp_tls_security_level smtp_dns_support_level "
               "smtp_tls_dane_insecure_mx_policy smtp_tls_policy_maps "
               "smtp_tls_loglevel"));
  PostfixSettings postfix;
  postfix.version = settings["mail_version"];
  postfix.queue_directory = settings["queue_directory"];
  postfix.ca_file = settings["smtp_tls_CAfile"];
  postfix.ca_path = settings["smtp_tls_CApath"];
  postfix.security_level = settings["smtp_tls_security_level"];
  postfix.dns_support_level = settings["smtp_dns_support_level"];
  postfix.insecure_mx_policy = settings["smtp_tls_dane_insecure_mx_policy"];
  postfix.policy_maps = settings["smtp_tls_policy_maps"];
  postfix.loglevel = settings["smtp_tls_loglevel"];
  const auto chroot = ParsePostconf(OutputOf("postconf -F smtp/unix/chroot"));
  const auto field = chroot.find("smtp/unix/chroot");
  postfix.smtp_is_chrooted = field != chroot.end() && field->second == "y";
  return postfix;
}

// (major, minor) of "3.10.4-20260101"; (0, 0) if it is not a version.
std::pair<uint64_t, uint64_t> VersionOf(const std::string& text) {
  const auto parts = SplitList(text, ".-");
  if (parts.size() < 2) return {0, 0};
  return {ParseUint(parts[0], 1000).value_or(0),
          ParseUint(parts[1], 1000).value_or(0)};
}

// Relative to the queue directory it works in a chroot and outside.
std::string PathForPostfix(std::string path,
                           const std::string& queue_directory) {
  if (!queue_directory.empty() && path.starts_with(queue_directory + "/"))
    path.erase(0, queue_directory.size() + 1);
  return path;
}

// The socket as main.cf names it.
std::string SocketForPostfix(const ListenAddress& listen,
                             const std::string& queue_directory) {
  if (!listen.is_unix()) return listen.ToString();
  return "unix:" + PathForPostfix(listen.unix_path, queue_directory);
}

Awaitable<void> ProbeAll(GetdnsResolver& resolver,
                         boost::asio::io_context& loop) {
  co_await resolver.Probe();
  loop.stop();
}

// Each is asked alone.
std::vector<std::string> ServersThatDoNotValidate(
    const std::vector<AddressAndPort>& servers) {
  std::vector<std::string> bad;
  for (const AddressAndPort& server : servers) {
    // Postfix believes the AD bit of whatever its resolv.conf names.
    const Options::Dns dns{{server}, std::chrono::seconds(5), TrustAd::kYes};
    // Kept: getdns may still hold an idle timer on the loop.
    auto* loop = new boost::asio::io_context(1);
    auto* clock = new LoopClock(*loop);
    auto* metrics = new Metrics;
    auto resolver = GetdnsResolver::Create(*loop, *clock, dns, *metrics);
    if (!resolver) continue;
    Spawn(loop->get_executor(), ProbeAll(**resolver, *loop));
    loop->run();
    if (!(*resolver)->KnownToValidate()) bad.push_back(server.ToString());
    static_cast<void>(resolver->release());
  }
  return bad;
}

void CheckResolvConf(const std::string& path,
                     std::vector<std::string>& warnings) {
  const auto servers = ReadResolvConf(path);
  if (servers.empty()) {
    warnings.push_back(path + " names no DNS server");
    return;
  }
  for (const std::string& server : ServersThatDoNotValidate(servers))
    warnings.push_back(
        "Postfix's DNS server " + server + " (" + path +
        ") does not validate DNSSEC: every dane-only answer would defer mail. "
        "Run a validating resolver (unbound) on 127.0.0.1, or set "
        "dane.enabled = no");
}

// serve makes the folder's last part, as root.
void CheckCacheDirectory(const std::string& path,
                         std::vector<std::string>& warnings) {
  const std::filesystem::path folder(path);
  std::error_code none;
  if (std::filesystem::is_directory(folder, none) ||
      (!std::filesystem::exists(folder, none) &&
       std::filesystem::is_directory(folder.parent_path(), none)))
    return;
  warnings.push_back("cache.directory: " + path +
                     " is no folder and cannot be made: policies would be "
                     "forgotten at every restart");
}

// For smtpd_milters: whatever happens to us, mail goes on.
std::string MilterSetting(const ListenAddress& listen,
                          const std::string& queue_directory) {
  return "smtpd_milters = { " + SocketForPostfix(listen, queue_directory) +
         ", default_action=accept, connect_timeout=2s, command_timeout=2s }";
}

// How Postfix is to tell of its sessions: by itself, or by its log.
void AdviseOutcomes(const PostfixSettings& postfix, const Options& options,
                    bool tells, MainCfAdvice& advice) {
  const Options::Tlsrpt& tlsrpt = options.tlsrpt;
  if (tells && !tlsrpt.listen.empty()) {
    advice.lines.push_back("smtp_tlsrpt_enable = yes");
    advice.lines.push_back("smtp_tlsrpt_socket_name = " +
                           PathForPostfix(tlsrpt.listen.front().unix_path,
                                          postfix.queue_directory));
  }
  if (tlsrpt.maillog.empty()) {
    if (!tells && !postfix.version.empty())
      advice.notes.push_back(
          "Postfix " + postfix.version +
          " tells of no sessions; for outcomes set tlsrpt.maillog = journal, "
          "or the path of its log");
    return;
  }
  if (tells)
    advice.warnings.push_back(
        "Postfix " + postfix.version +
        " tells of its sessions by itself, and better than its log: take "
        "tlsrpt.maillog out");
  if (postfix.version.empty()) return;
  if (postfix.loglevel.empty() || postfix.loglevel == "0")
    advice.warnings.push_back(
        "smtp_tls_loglevel is 0: the log that tlsrpt.maillog names says "
        "nothing of TLS");
  const auto asks_by = [&](const char* map) {
    return postfix.policy_maps.find(map) != std::string::npos;
  };
  if (asks_by("proxy:socketmap:") ||
      (asks_by("socketmap:inet:") && !asks_by("socketmap:unix:")))
    advice.warnings.push_back(
        "smtp_tls_policy_maps asks by inet: or proxy:, and tlsrpt.maillog "
        "needs to know which process asks: only socketmap:unix: tells");
}

}  // namespace

MainCfAdvice AdviseMainCf(const PostfixSettings& postfix,
                          const Options& options) {
  MainCfAdvice advice;
  const auto version = VersionOf(postfix.version);
  const bool tlsrpt = version >= std::pair<uint64_t, uint64_t>(3, 10);
  auto& lines = advice.lines;
  auto& warnings = advice.warnings;
  if (!postfix.version.empty() && version < std::pair<uint64_t, uint64_t>(3, 4))
    warnings.push_back("Postfix " + postfix.version +
                       " is too old: it does not know servername= (3.4)");
  if (postfix.security_level.empty() || postfix.security_level == "none") {
    warnings.push_back(
        "smtp_tls_security_level is empty: mail to domains without a policy "
        "goes out in clear text, and TLSRPT is off");
    lines.push_back("smtp_tls_security_level = may");
  }
  // Our `dane` leaves hosts without TLSA at `may`, as Postfix's own does.
  if (const auto level = ParseSiteLevel(postfix.security_level);
      level && *level > SiteLevel::kMay && *level != SiteLevel::kDane &&
      *level != options.policy.site_level)
    warnings.push_back("smtp_tls_security_level is " + postfix.security_level +
                       ", but policy.site_level is not: an answer could lower "
                       "it; set policy.site_level = " +
                       postfix.security_level);
  if (options.dane.enabled && postfix.dns_support_level != "dnssec") {
    warnings.push_back(
        "smtp_dns_support_level is not dnssec: dane falls back to may, and "
        "dane-only defers mail (or set dane.enabled = no)");
    lines.push_back("smtp_dns_support_level = dnssec");
  }
  // Older Postfix takes the global level `may` as its word on hosts whose MX
  // records are not signed, and then ignores our `dane` for them.
  if (options.dane.enabled && !tlsrpt && postfix.insecure_mx_policy != "dane")
    lines.push_back("smtp_tls_dane_insecure_mx_policy = dane");
  if (postfix.ca_file.empty() && postfix.ca_path.empty()) {
    warnings.push_back(
        "smtp_tls_CAfile is empty: every delivery under MTA-STS would fail "
        "with \"untrusted issuer\"");
    lines.push_back(std::string("smtp_tls_CAfile = ") + kSystemCaFile);
  } else if (postfix.ca_file.empty() && postfix.smtp_is_chrooted) {
    warnings.push_back(
        "smtp(8) runs chrooted and smtp_tls_CApath is read inside the chroot; "
        "smtp_tls_CAfile is read before it");
    lines.push_back(std::string("smtp_tls_CAfile = ") + kSystemCaFile);
  }
  for (const ListenAddress& listen : options.policy.listen) {
    if (listen.is_unix() && postfix.smtp_is_chrooted &&
        !listen.unix_path.starts_with(postfix.queue_directory + "/"))
      warnings.push_back("smtp(8) runs chrooted in " + postfix.queue_directory +
                         " and cannot reach " + listen.unix_path +
                         "; put policy.listen below that folder");
  }
  if (!options.policy.listen.empty())
    lines.push_back("smtp_tls_policy_maps = socketmap:" +
                    SocketForPostfix(options.policy.listen.front(),
                                     postfix.queue_directory) +
                    (tlsrpt ? ":policy-tlsrpt" : ":policy"));
  if (postfix.policy_maps.find("socketmap:") == std::string::npos)
    warnings.push_back("smtp_tls_policy_maps does not ask postern-policy yet");
  if (options.milter.listen)
    lines.push_back(
        MilterSetting(*options.milter.listen, postfix.queue_directory));
  AdviseOutcomes(postfix, options, tlsrpt, advice);
  lines.push_back("smtp_tls_loglevel = 1");
  return advice;
}

int CheckConfig(const CommandLine& line) {
  const auto configuration = LoadConfiguration(line.options);
  if (!configuration) {
    std::fprintf(stderr, "postern-policy: %s\n",
                 configuration.error().message.c_str());
    return 2;
  }
  const std::string& user = line.options.run.user;
  const std::string& group = line.options.policy.socket_group;
  if ((!user.empty() && !getpwnam(user.c_str())) ||
      (!group.empty() && !getgrnam(group.c_str()))) {
    std::fprintf(stderr,
                 "postern-policy: run.user or policy.socket_group names "
                 "nobody on this machine\n");
    return 2;
  }
  std::printf("configuration: %s: fine\n", line.config_file.empty()
                                               ? "(embedded defaults)"
                                               : line.config_file.c_str());
  const PostfixSettings postfix = ReadPostfix();
  std::vector<std::string> warnings;
  if (postfix.version.empty()) {
    warnings.push_back(
        "no Postfix found (postconf does not run); the lines below are for "
        "Postfix < 3.10");
  } else {
    std::printf("postfix: version %s, smtp(8) %s\n",
                Printable(postfix.version).c_str(),
                postfix.smtp_is_chrooted ? "chrooted" : "not chrooted");
  }
  CheckCacheDirectory(line.options.cache.directory, warnings);
  const MainCfAdvice advice = AdviseMainCf(postfix, line.options);
  warnings.insert(warnings.end(), advice.warnings.begin(),
                  advice.warnings.end());
  if (line.options.dane.enabled) {
    CheckResolvConf("/etc/resolv.conf", warnings);
    const std::string copy = postfix.queue_directory + "/etc/resolv.conf";
    std::error_code none;
    if (postfix.smtp_is_chrooted && std::filesystem::exists(copy, none))
      CheckResolvConf(copy, warnings);
  }
  for (const std::string& warning : warnings)
    std::printf("warning: %s\n", Printable(warning, 500).c_str());
  for (const std::string& note : advice.notes)
    std::printf("note: %s\n", Printable(note, 500).c_str());
  std::printf("\nmain.cf:\n");
  for (const std::string& one : advice.lines)
    std::printf("  %s\n", Printable(one, 500).c_str());
  std::fflush(stdout);
  std::_Exit(warnings.empty() ? 0 : 1);
}

}  // namespace postern
