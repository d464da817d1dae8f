// What of ours stands in Postfix's settings, and what of another MTA-STS daemon
// (pure): the names by which Postfix knows our sockets, and how to tell our
// entries from others'.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/options.h"

#include "policy-daemon/postfix_settings.h"

namespace postern {

// The transport for report mail where a mail cannot ask for no TLS policy.
inline constexpr char kReportService[] = "postern-reports/unix";
inline constexpr char kReportTransport[] = "postern-reports:";

// Of our sockets the one for this Postfix: that below its queue directory, or
// the first. nullptr: there is none.
const ListenAddress* SocketFor(const std::vector<ListenAddress>& sockets,
                               const PostfixSettings& postfix);

// As main.cf names a path: relative to the queue directory where it can be, so
// that it works in a chroot and outside.
std::string PathForPostfix(const std::string& path,
                           const PostfixSettings& postfix);
// "unix:postern/policy.sock", "inet:127.0.0.1:8461".
std::string NameForPostfix(const ListenAddress& socket,
                           const PostfixSettings& postfix);

// Does main.cf take it as it is, without a word of syntax in it?
bool IsPlainWord(std::string_view text);

// A map that asks by socket, also behind "proxy:".
struct Socketmap {
  std::string_view socket;  // "unix:PATH" or "inet:HOST:PORT"
  std::string_view map;

  static std::optional<Socketmap> Parse(std::string_view entry);
};

// Who report mail is by; "": nobody is named.
std::string ReportSender(const Options& options);
// The entry of sender_dependent_default_transport_maps for that.
std::string TransportMapFor(const std::string& sender);

class OurEntries {
 public:
  // `recorded`: entries that were written by an earlier setup. Their sockets
  // are ours, too.
  OurEntries(const Options& options, const PostfixSettings& postfix,
             std::vector<std::string> recorded);

  // Of smtp_tls_policy_maps: "socketmap:" of one of our sockets.
  bool IsOurMap(std::string_view entry) const;
  // Is such an entry somewhere in a text, also within "unionmap:{...}"? One
  // that may be ours counts, too: a host's name, or any address where ours is a
  // socket of all addresses, with our port.
  bool AsksUs(std::string_view text) const;
  // Does smtp(8) come to a socket of ours by that entry? In a chroot, what
  // begins with a slash begins there.
  bool ReachesUs(std::string_view entry) const;
  // Of smtp_tls_policy_maps: another MTA-STS daemon's.
  bool IsPeersMap(std::string_view entry) const;
  // Of smtpd_milters.
  bool IsOurMilter(std::string_view entry) const;
  // Or may it be, as AsksUs counts?
  bool MayBeOurMilter(std::string_view entry) const;
  // And at the socket where we listen now?
  bool IsMilterNow(std::string_view entry) const;
  // Of sender_dependent_default_transport_maps: as setup writes it, and nothing
  // added to it.
  bool IsOurTransportMap(std::string_view entry) const;
  bool IsOurTlsrptSocket(const std::string& name) const;

 private:
  bool IsRecorded(std::string_view entry) const;
  bool MayBeOneOf(const std::vector<ListenAddress>& sockets,
                  std::string_view name) const;
  bool IsOneOf(const std::vector<ListenAddress>& sockets,
               std::string_view name) const;

  const Options& options_;
  const PostfixSettings& postfix_;
  const std::vector<std::string> recorded_;
  std::vector<ListenAddress> policy_sockets_, milter_sockets_;
};

}  // namespace postern
