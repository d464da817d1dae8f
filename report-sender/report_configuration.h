// What the report sender takes from files, at start and at every reload: the
// options, with their defaults worked out, and what they name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/beast_https.h"
#include "common/options.h"

#include "report-sender/dkim.h"
#include "report-sender/own_domains.h"
#include "report-sender/report_queue.h"
#include "report-sender/suppressions.h"

namespace postern {

struct ReportConfiguration {
  Options options;  // with the DNS servers of /etc/resolv.conf if it names none
  Identity identity;
  // "": reports may be sent. Else why not, and what to do; the identity then
  // names nobody, and is good for a preview.
  std::string not_sending;
  // Where no report from outside goes. Has a memory of what was asked.
  std::shared_ptr<OwnDomains> own_domains = std::make_shared<OwnDomains>();
  std::vector<DkimSigner> signers;
  Suppressions suppressions;
  std::shared_ptr<BeastHttps::Trust> trust;
  // What Postfix rewrites behind our signatures: parameters of main.cf.
  std::vector<std::string> rewriters;
  // May our own mails be among the sessions that Postfix tells of?
  bool subtract_own = true;

  // The folders that hold the day files.
  std::vector<std::string> Spools() const;
  std::string QueuePath() const;
};

using ReportConfigurationPtr = std::shared_ptr<const ReportConfiguration>;

// Blocks. `host`: this machine's name, "mx1.example.org". The Error names the
// key, and what to do.
Result<ReportConfigurationPtr> LoadReportConfiguration(Options options,
                                                       const std::string& host);

// The name that this machine gives itself, with its domain where it has one.
// Blocks.
std::string HostName();

}  // namespace postern
