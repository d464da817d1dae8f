#include "report-sender/report_configuration.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <netdb.h>
#include <unistd.h>

#include "common/domain_name.h"
#include "common/postfix_version.h"
#include "common/public_suffix.h"
#include "common/resolv_conf.h"
#include "common/run_program.h"
#include "common/text.h"

#include "report-sender/postfix_beside.h"

namespace postern {
namespace {

constexpr std::streamsize kMaxKeyBytes = 65536;
// Who has not said who he is (RFC 2606: nobody is that).
constexpr char kNobody[] = "contact-info-is-not-set@example.invalid";

// An address as we take it of others, too.
Result<std::string> Address(const std::string& key, const std::string& text) {
  auto destination = ParseDestination("mailto:" + text);
  if (!destination)
    return Error{key + " cannot be '" + Printable(text) +
                 "': " + destination.error().message};
  return std::get<MailAddress>(*destination).address;
}

std::string DomainPart(const std::string& address) {
  return address.substr(address.rfind('@') + 1);
}

// Names that are nobody's mail domain: of RFC 6761, RFC 6762, RFC 8375, RFC
// 9476 and those that networks use inside. (Names of documentation and tests,
// such as example.org and mail.test, are taken: they are whole domains of their
// own, and no mail to them arrives anywhere.)
bool IsSpecialUse(const std::string& domain) {
  static constexpr std::array<std::string_view, 14> kNames = {
      "localhost", "localdomain", "local", "internal", "intranet",
      "private",   "corp",        "home",  "lan",      "arpa",
      "invalid",   "onion",       "alt",   "workgroup"};
  const std::string_view last =
      std::string_view(domain).substr(domain.rfind('.') + 1);
  return std::find(kNames.begin(), kNames.end(), last) != kNames.end();
}

// An address of ours, whose domain answers for it.
Result<std::string> OurAddress(const std::string& key,
                               const std::string& text) {
  auto address = Address(key, text);
  if (!address) return address;
  const std::string domain = DomainPart(*address);
  const bool is_special = IsSpecialUse(domain);
  if (is_special || IsPublicSuffix(domain))
    return Error{key + " cannot be '" + Printable(text) + "': " + domain +
                 (is_special ? " is a name for inside a network"
                             : " is a public suffix, not a domain of yours") +
                 "; set it to an address that people can write to, such as "
                 "tlsrpt@ and your mail domain"};
  return address;
}

Result<Identity> IdentityOf(const Options::Report& report,
                            const std::string& host) {
  Identity identity;
  Submitter& submitter = identity.submitter;
  std::string contact = kNobody;
  if (!report.contact_info.empty()) {
    auto address = OurAddress("report.contact_info", report.contact_info);
    if (!address) return address.error();
    contact = std::move(*address);
  }
  submitter.contact_info = contact;
  submitter.domain = DomainPart(contact);
  submitter.organization_name = report.organization_name.empty()
                                    ? submitter.domain
                                    : report.organization_name;
  submitter.instance = report.instance.empty() ? host : report.instance;
  identity.sender = contact;
  if (!report.sender_address.empty()) {
    auto sender = OurAddress("report.sender_address", report.sender_address);
    if (!sender) return sender.error();
    identity.sender = std::move(*sender);
  }
  return identity;
}

Result<DkimKey> ReadKey(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string pem(kMaxKeyBytes, '\0');
  file.read(pem.data(), kMaxKeyBytes);
  if (!file.is_open() || file.bad())
    return Error{"cannot read report.dkim_key " + path + ": " +
                 std::strerror(errno) +
                 "; report.user must be able to read it"};
  pem.resize(static_cast<size_t>(file.gcount()));
  auto key = DkimKey::FromPem(pem);
  if (!key)
    return Error{"report.dkim_key " + path + ": " + key.error().message};
  return key;
}

Result<std::vector<DkimSigner>> Signers(const Options::Report& report,
                                        const Identity& identity) {
  std::vector<DkimSigner> signers;
  if (report.dkim_keys.size() != report.dkim_selectors.size())
    return Error{
        "report.dkim_selector must be given once for each "
        "report.dkim_key, in the same order"};
  const std::string given = report.dkim_domain.empty()
                                ? DomainPart(identity.sender)
                                : report.dkim_domain;
  const auto domain = NormalizeDomain(given);
  if (!domain)
    return Error{"report.dkim_domain cannot be '" + Printable(given) + "'"};
  for (size_t i = 0; i < report.dkim_keys.size(); ++i) {
    const auto selector = NormalizeDomain(report.dkim_selectors[i]);
    if (!selector)
      return Error{"report.dkim_selector cannot be '" +
                   Printable(report.dkim_selectors[i]) + "'"};
    auto key = ReadKey(report.dkim_keys[i]);
    if (!key) return key.error();
    signers.push_back({*domain, *selector, std::move(*key)});
  }
  return signers;
}

// By the Postfix whose sendmail takes our mails. Where it is unknown, they may
// count.
bool SubtractsOwn(const Options& options, const PostfixBeside& postfix,
                  const std::string& sender) {
  if (options.report.subtract_own) return *options.report.subtract_own;
  const auto version = postfix.Version();
  if (version && *version >= kLeavesOurReportsOut) return false;
  // In log mode, a session without a question for a policy is not told.
  return options.tlsrpt.maillog.empty() || !postfix.AsksNoPolicyFor(sender);
}

std::shared_ptr<OwnDomains> OwnDomainsOf(const Identity& identity,
                                         const std::string& host,
                                         const PostfixBeside& postfix) {
  auto own = std::make_shared<OwnDomains>(
      [postfix](const std::string& table, const std::string& key) {
        return postfix.Has(table, key);
      });
  own->Add(identity.submitter.domain);
  own->Add(DomainPart(identity.sender));
  own->Add(host);
  for (const char* parameter : {"mydestination", "virtual_alias_domains",
                                "virtual_mailbox_domains", "relay_domains"})
    own->AddList(postfix.Value(parameter));
  return own;
}

}  // namespace

std::vector<std::string> ReportConfiguration::Spools() const {
  std::vector<std::string> spools = {options.spool.directory + "/outcomes"};
  for (const std::string& other : options.spool.others)
    spools.push_back(other + "/outcomes");
  return spools;
}

std::string ReportConfiguration::QueuePath() const {
  return options.report.queue_directory + "/reports.db";
}

Result<ReportConfigurationPtr> LoadReportConfiguration(
    Options options, const std::string& host) {
  auto configuration = std::make_shared<ReportConfiguration>();
  const auto servers = DnsServersOf(options.dns);
  if (!servers) return servers.error();
  auto identity = IdentityOf(options.report, host);
  if (!identity) return identity.error();
  configuration->identity = std::move(*identity);
  if (options.report.contact_info.empty())
    configuration->not_sending =
        "report.contact_info is not set: set it to an address that the domains "
        "that get reports can write to, such as tlsrpt@ and your mail domain "
        "(a mailbox that somebody reads)";
  auto signers = Signers(options.report, configuration->identity);
  if (!signers) return signers.error();
  configuration->signers = std::move(*signers);
  auto suppressions = LoadSuppressions(options.report.suppress);
  if (!suppressions) return suppressions.error();
  configuration->suppressions = std::move(*suppressions);
  auto trust = BeastHttps::LoadTrust(options.report.ca_file, "report.ca_file");
  if (!trust) return trust.error();
  configuration->trust = std::move(*trust);
  const PostfixBeside postfix(options.report.sendmail);
  const std::string& sender = configuration->identity.sender;
  configuration->subtract_own = SubtractsOwn(options, postfix, sender);
  configuration->own_domains =
      OwnDomainsOf(configuration->identity, host, postfix);
  if (!configuration->signers.empty())
    configuration->rewriters = postfix.RewritersOf(sender);
  configuration->options = std::move(options);
  return ReportConfigurationPtr(std::move(configuration));
}

std::string HostName() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  std::string name = host.data();
  if (name.find('.') != name.npos) return name;
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return name;
  if (found->ai_canonname) name = found->ai_canonname;
  freeaddrinfo(found);
  return name;
}

}  // namespace postern
