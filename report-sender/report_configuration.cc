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
#include "common/resolv_conf.h"
#include "common/run_program.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr std::streamsize kMaxKeyBytes = 65536;
// It takes 20 ms.
constexpr std::chrono::seconds kVersionPatience{2};

// As Postfix's mydomain: without the first label, where two are left.
std::string DomainOf(const std::string& host) {
  const size_t dot = host.find('.');
  if (dot == host.npos || host.find('.', dot + 1) == host.npos) return host;
  return host.substr(dot + 1);
}

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

Result<Identity> IdentityOf(const Options::Report& report,
                            const std::string& host) {
  Identity identity;
  Submitter& submitter = identity.submitter;
  std::string contact = report.contact_info;
  if (contact.empty()) {
    const auto domain = NormalizeDomain(DomainOf(host));
    if (!domain || domain->find('.') == domain->npos)
      return Error{"report.contact_info is not set, and this host's name, '" +
                   Printable(host) +
                   "', has no domain to make one of; set it, e.g. "
                   "tlsrpt@example.org"};
    contact = "postmaster@" + *domain;
  }
  const auto address = Address("report.contact_info", contact);
  if (!address) return address.error();
  submitter.contact_info = *address;
  submitter.domain = DomainPart(*address);
  submitter.organization_name = report.organization_name.empty()
                                    ? submitter.domain
                                    : report.organization_name;
  submitter.instance = report.instance.empty() ? host : report.instance;
  identity.sender = *address;
  if (!report.sender_address.empty()) {
    const auto sender = Address("report.sender_address", report.sender_address);
    if (!sender) return sender.error();
    identity.sender = *sender;
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
bool SubtractsOwn(const Options::Report& report) {
  if (report.subtract_own) return *report.subtract_own;
  const std::string& sendmail = report.sendmail;
  const std::string beside =
      sendmail.substr(0, sendmail.rfind('/') + 1) + "postconf";
  const bool is_beside = access(beside.c_str(), X_OK) == 0;
  ProgramLimits limits;
  limits.patience = kVersionPatience;
  // The default is what it is, and to ask for it takes no main.cf.
  const auto version = OutputOf(
      {is_beside ? beside : "postconf", "-d", "-h", "mail_version"}, limits);
  const auto parsed = version ? PostfixVersion::Parse(*version) : std::nullopt;
  return !parsed || *parsed < kLeavesOurReportsOut;
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
  auto signers = Signers(options.report, configuration->identity);
  if (!signers) return signers.error();
  configuration->signers = std::move(*signers);
  auto suppressions = LoadSuppressions(options.report.suppress);
  if (!suppressions) return suppressions.error();
  configuration->suppressions = std::move(*suppressions);
  auto trust = BeastHttps::LoadTrust(options.report.ca_file, "report.ca_file");
  if (!trust) return trust.error();
  configuration->trust = std::move(*trust);
  configuration->subtract_own = SubtractsOwn(options.report);
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
