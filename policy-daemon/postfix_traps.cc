#include "policy-daemon/postfix_traps.h"

#include <algorithm>
#include <functional>

#include "common/postfix_version.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr PostfixVersion kTrustAnchorDigests{3, 6, 0};
constexpr char kDaneEffect[] =
    ": Postfix's DANE code gives up, takes dane for may, and holds all mail to "
    "hosts whose answer is dane-only; ";

// Where a value counts: in main.cf, or in a service of smtp(8).
struct Place {
  std::string name;  // "smtp_host_lookup = native", and whose
  std::string value;
};

bool IsSmtp(const PostfixService& service) {
  return service.command == "smtp" && service.name != "postern-reports/unix";
}

// The values of a setting that smtp(8) goes by.
std::vector<Place> PlacesOf(const PostfixSettings& postfix,
                            const std::string& name) {
  std::vector<Place> places;
  const std::string value = postfix.Effective(name);
  places.push_back({name + " = " + value, value});
  for (const PostfixService& service : postfix.services) {
    const auto found = service.overrides.find(name);
    if (IsSmtp(service) && found != service.overrides.end())
      places.push_back({"master.cf: " + service.name + " has " + name + " = " +
                            found->second,
                        found->second});
  }
  return places;
}

bool Lists(std::string_view list, std::string_view word) {
  for (std::string_view one : SplitList(list, ", \t"))
    if (ToLowerAscii(one) == word) return true;
  return false;
}

}  // namespace

std::vector<std::string> DaneTraps(const PostfixSettings& postfix) {
  struct Trap {
    const char* setting;
    std::function<bool(const std::string& value)> is_sprung;
    const char* remedy;
  };
  const auto is_yes = [](const std::string& value) { return value == "yes"; };
  const std::vector<Trap> traps = {
      {"smtp_host_lookup",
       [](const std::string& value) {
         return !value.empty() && !Lists(value, "dns");
       },
       "take it out, or add dns to it"},
      {"disable_dns_lookups", is_yes, "take it out"},
      {"ignore_mx_lookup_error", is_yes, "take it out"},
      {"smtp_dns_resolver_options",
       [](const std::string& value) {
         return Lists(value, "res_defnames") || Lists(value, "res_dnsrch");
       },
       "take res_defnames and res_dnsrch out"}};
  std::vector<std::string> warnings;
  const auto warn = [&](const Place& place, const std::string& remedy) {
    warnings.push_back(place.name + kDaneEffect + remedy +
                       ", or set dane.enabled = no");
  };
  for (const Trap& trap : traps)
    for (const Place& place : PlacesOf(postfix, trap.setting))
      if (trap.is_sprung(place.value)) warn(place, trap.remedy);
  // Of main.cf it is set by setup.
  const auto levels = PlacesOf(postfix, "smtp_dns_support_level");
  for (auto place = levels.begin() + 1; place != levels.end(); ++place)
    if (place->value != "dnssec") warn(*place, "write dnssec there");
  for (const Place& place : PlacesOf(postfix, "tls_dane_digests"))
    if (!place.value.empty() &&
        (!Lists(place.value, "sha256") || !Lists(place.value, "sha512")))
      warnings.push_back(
          place.name +
          ": Postfix then cannot use TLSA records with the other digests, and "
          "holds mail to hosts that have no more; write sha512 sha256");
  if (postfix.version < kTrustAnchorDigests)
    for (const Place& place :
         PlacesOf(postfix, "tls_dane_trust_anchor_digest_enable"))
      if (place.value == "no")
        warnings.push_back(
            place.name +
            ": Postfix then cannot use TLSA records of usage 2, and holds mail "
            "to hosts that have no others; take it out");
  // Since 3.10 its default is dane.
  if (postfix.version >= kTellsOfSessions)
    for (const Place& place :
         PlacesOf(postfix, "smtp_tls_dane_insecure_mx_policy"))
      if (!place.value.empty() && place.value != "dane")
        warnings.push_back(
            place.name +
            ": Postfix then ignores DANE where the MX records are not signed; "
            "take it out");
  return warnings;
}

std::vector<std::string> AuthorityTraps(const PostfixSettings& postfix) {
  // What stands beside the file.
  const bool has_more = !postfix.smtp_is_chrooted() &&
                        (!postfix.Effective("smtp_tls_CApath").empty() ||
                         postfix.Effective("tls_append_default_CA") == "yes");
  std::vector<std::string> warnings;
  if (has_more) return warnings;
  for (const Place& place : PlacesOf(postfix, "smtp_tls_CAfile")) {
    const auto found = postfix.ca_files.find(place.value);
    if (found == postfix.ca_files.end()) continue;
    const PostfixSettings::CaFile& file = found->second;
    if (!file.is_there)
      warnings.push_back(place.name +
                         ": there is no such file: every delivery under "
                         "MTA-STS would wait; name " +
                         postfix.system_ca_file);
    else if (file.missing * 2 > postfix.system_authorities)
      warnings.push_back(
          place.name + ": it lacks " + std::to_string(file.missing) +
          " of the " + std::to_string(postfix.system_authorities) +
          " authorities that this machine trusts: mail under MTA-STS to hosts "
          "with certificates of these would wait; name " +
          postfix.system_ca_file + ", or add its content to that file");
  }
  return warnings;
}

std::vector<std::string> SrvTraps(const PostfixSettings& postfix) {
  std::vector<std::string> warnings;
  for (const Place& place : PlacesOf(postfix, "use_srv_lookup")) {
    if (place.value.empty()) continue;
    const std::string relay = postfix.Effective("relayhost");
    const bool is_relay =
        !relay.empty() && relay.front() != '[' && relay.find(':') != relay.npos;
    warnings.push_back(
        place.name +
        ": hosts that SRV records name are not those of MX records and MTA-STS "
        "policies: all mail to a DOMAIN:SERVICE that is looked up so would "
        "wait if the domain enforces MTA-STS; write a line \"" +
        (is_relay ? relay : "DOMAIN:SERVICE") +
        " off\" (or a level, such as encrypt) into policy.overrides");
  }
  return warnings;
}

std::vector<std::string> MaillogTraps(const PostfixSettings& postfix,
                                      const Options& options) {
  const std::string& maillog = options.tlsrpt.maillog;
  if (maillog.empty()) return {};
  std::vector<std::string> warnings;
  const std::string own = postfix.Effective("maillog_file");
  if (!own.empty() && own != maillog)
    warnings.push_back(
        "tlsrpt.maillog is " + maillog +
        ", but Postfix writes its log into maillog_file = " + own +
        ": no session is seen; set tlsrpt.maillog = " + own);
  const std::string format = postfix.Effective("info_log_address_format");
  if (!format.empty() && format != "external")
    warnings.push_back("info_log_address_format = " + format +
                       ": sessions of some recipients cannot be told; take it "
                       "out");
  return warnings;
}

}  // namespace postern
