// What in Postfix's settings would turn our answers against mail (pure).
//
// Each trap is something that Postfix accepts in silence, and that makes it
// read an answer of ours in another way than we mean it: mail waits, or goes
// out with less than the domain demands. One sentence a trap: the setting, what
// happens, the remedy.
#pragma once

#include <string>
#include <vector>

#include "common/options.h"

#include "policy-daemon/postfix_settings.h"

namespace postern {

// Settings with which Postfix's DANE code gives up: it takes dane for may, and
// holds mail where it is told dane-only (dane_init() in smtp_tls_policy.c, the
// same from Postfix 3.4 to 3.12). Those of main.cf and of smtp(8)'s services in
// master.cf; without smtp_dns_support_level of main.cf, which setup changes.
std::vector<std::string> DaneTraps(const PostfixSettings& postfix);

// Files of authorities that lack what the machine trusts: MX hosts that the
// rest of the world takes for genuine would fail under MTA-STS.
std::vector<std::string> AuthorityTraps(const PostfixSettings& postfix);

// SRV records (Postfix 3.8) lead to hosts that no MTA-STS policy names.
std::vector<std::string> SrvTraps(const PostfixSettings& postfix);

// Sessions that tlsrpt.maillog would not see.
std::vector<std::string> MaillogTraps(const PostfixSettings& postfix,
                                      const Options& options);

}  // namespace postern
