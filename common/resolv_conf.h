// The DNS servers of /etc/resolv.conf, where dns.server names none.
#pragma once

#include <string>
#include <vector>

#include "common/listen_address.h"
#include "common/options.h"
#include "common/result.h"

namespace postern {

inline constexpr char kResolvConf[] = "/etc/resolv.conf";

// The name servers of a resolv.conf, in order: the first three, as the C
// library and so Postfix take them (MAXNS). Empty if the file cannot be read,
// is no regular file, or names none. Reads at most 64 KiB of a local file,
// never waits for a pipe: short enough for the loop thread.
std::vector<AddressAndPort> ReadResolvConf(const std::string& path);

// dns.server, or else what `resolv_conf` names. The Error says what to do where
// there is none.
Result<std::vector<AddressAndPort>> DnsServersOf(
    const Options::Dns& options, const std::string& resolv_conf = kResolvConf);

}  // namespace postern
