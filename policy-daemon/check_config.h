// `postern-policy check-config`: is this machine ready, and what belongs into
// main.cf?
//
// Reads the configuration (that it could be read is the first check), asks
// postconf(1) for Postfix's settings and its version, and asks each resolver
// of Postfix's own resolv.conf whether it validates: where one does not,
// every `dane-only` answer would defer mail.
#pragma once

#include <string>
#include <vector>

#include "common/options.h"

namespace postern {

// What postconf(1) says; empty strings where it does not know a setting.
struct PostfixSettings {
  std::string version;          // "3.7.11"; empty: no Postfix here
  std::string queue_directory;  // /var/spool/postfix
  std::string ca_file, ca_path;
  std::string security_level;
  std::string dns_support_level;
  std::string insecure_mx_policy;
  std::string policy_maps;
  std::string loglevel;
  bool smtp_is_chrooted = false;
};

// Pure: the advice for these settings.
struct MainCfAdvice {
  std::vector<std::string> warnings;
  std::vector<std::string> notes;  // what could be, and need not
  std::vector<std::string> lines;  // for main.cf
};
MainCfAdvice AdviseMainCf(const PostfixSettings& postfix,
                          const Options& options);

// Returns the exit code: 0 ready, 1 with warnings, 2 a bad configuration.
int CheckConfig(const CommandLine& line);

}  // namespace postern
