// What has to change in main.cf and master.cf for this Postfix to ask us, and
// what stands in the way (pure): from settings and options to a plan.
//
// It knows the traps: of an answer that a Postfix does not understand, all mail
// to a domain waits; a table that fails ends the search, so others come first;
// a chroot hides sockets and certificates.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/options.h"

#include "policy-daemon/postfix_settings.h"

namespace postern {

struct Change {
  enum class File { kMainCf, kMasterCf };

  File file = File::kMainCf;
  std::string name;  // "smtp_tls_loglevel"; "tlsproxy/unix" of master.cf
  // nullopt: it does not stand there. Of master.cf, the whole line.
  std::optional<std::string> before, after;
  std::string entry;  // ours in a setting that is a list; "": it is no list
  std::string why;

  friend bool operator==(const Change&, const Change&) = default;
};

struct WiringPlan {
  std::vector<std::string> warnings;  // for the administrator to mend
  std::vector<std::string> notes;     // what could be, and need not
  std::vector<Change> changes;
};

// `recorded`: entries of lists that an earlier setup has written.
// REQUIRES: postfix.is_there().
WiringPlan PlanWiring(const PostfixSettings& postfix, const Options& options,
                      const std::vector<std::string>& recorded);

}  // namespace postern
