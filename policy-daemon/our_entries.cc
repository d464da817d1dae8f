#include "policy-daemon/our_entries.h"

#include <algorithm>

#include "common/text.h"

namespace postern {
namespace {

constexpr std::string_view kProxy = "proxy:";
constexpr std::string_view kSocketmap = "socketmap:";
constexpr std::string_view kUnix = "unix:";

// The socket of a milter: the first word, within braces or without.
std::string_view MilterSocket(std::string_view entry) {
  const auto words = SplitList(entry, "{}, \t");
  return words.empty() ? std::string_view() : words.front();
}

// The socket that main.cf calls so.
std::optional<ListenAddress> SocketNamed(std::string_view name,
                                         const std::string& queue_directory) {
  if (!name.starts_with(kUnix)) return ListenAddress::Parse(std::string(name));
  const std::string path(name.substr(kUnix.size()));
  ListenAddress socket;
  socket.unix_path =
      path.starts_with('/') ? path : queue_directory + "/" + path;
  return socket;
}

}  // namespace

const ListenAddress* SocketFor(const std::vector<ListenAddress>& sockets,
                               const PostfixSettings& postfix) {
  for (const ListenAddress& socket : sockets)
    if (socket.unix_path.starts_with(postfix.queue_directory() + "/"))
      return &socket;
  return sockets.empty() ? nullptr : &sockets.front();
}

std::string PathForPostfix(const std::string& path,
                           const PostfixSettings& postfix) {
  const std::string folder = postfix.queue_directory() + "/";
  return folder != "/" && path.starts_with(folder) ? path.substr(folder.size())
                                                   : path;
}

std::string NameForPostfix(const ListenAddress& socket,
                           const PostfixSettings& postfix) {
  ListenAddress asked = socket;
  if (socket.is_any()) {
    const std::string protocols = postfix.Effective("inet_protocols");
    const bool v6_alone = socket.address.v6 && protocols == "ipv6";
    asked.address = *IpAddress::Parse(v6_alone ? "::1" : "127.0.0.1");
  }
  if (!socket.is_unix()) return asked.ToString();
  return "unix:" + PathForPostfix(socket.unix_path, postfix);
}

bool IsPlainWord(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return IsAsciiAlnum(c) ||
           std::string_view("._/:@+-[]").find(c) != std::string_view::npos;
  });
}

std::optional<Socketmap> Socketmap::Parse(std::string_view entry) {
  if (entry.starts_with(kProxy)) entry.remove_prefix(kProxy.size());
  if (!entry.starts_with(kSocketmap)) return std::nullopt;
  entry.remove_prefix(kSocketmap.size());
  const size_t colon = entry.rfind(':');
  if (colon == entry.npos) return std::nullopt;
  return Socketmap{entry.substr(0, colon), entry.substr(colon + 1)};
}

std::string ReportSender(const Options& options) {
  return ToLowerAscii(options.report.sender_address.empty()
                          ? options.report.contact_info
                          : options.report.sender_address);
}

std::string TransportMapFor(const std::string& sender) {
  return "inline:{" + sender + "=" + kReportTransport + "}";
}

OurEntries::OurEntries(const Options& options, const PostfixSettings& postfix,
                       std::vector<std::string> recorded)
    : options_(options),
      postfix_(postfix),
      recorded_(std::move(recorded)),
      policy_sockets_(options.policy.listen) {
  if (options.milter.listen) milter_sockets_.push_back(*options.milter.listen);
  const std::string queue = postfix.queue_directory();
  for (const std::string& entry : recorded_) {
    const auto socketmap = Socketmap::Parse(entry);
    auto& sockets = socketmap ? policy_sockets_ : milter_sockets_;
    if (auto socket = SocketNamed(
            socketmap ? socketmap->socket : MilterSocket(entry), queue))
      sockets.push_back(std::move(*socket));
  }
}

bool OurEntries::IsRecorded(std::string_view entry) const {
  return std::find(recorded_.begin(), recorded_.end(), entry) !=
         recorded_.end();
}

bool OurEntries::IsOneOf(const std::vector<ListenAddress>& sockets,
                         std::string_view name) const {
  const bool is_unix = name.starts_with(kUnix);
  const std::string path(is_unix ? name.substr(kUnix.size()) : "");
  const auto address =
      is_unix ? std::nullopt : ListenAddress::Parse(std::string(name));
  const std::string queue = postfix_.queue_directory();
  return std::any_of(
      sockets.begin(), sockets.end(), [&](const ListenAddress& socket) {
        if (!is_unix) return address && socket.IsReachedAt(*address);
        // In a chroot, what begins with a slash begins there.
        return socket.unix_path == path || socket.unix_path == queue + path ||
               socket.unix_path == queue + "/" + path;
      });
}

bool OurEntries::IsOurMap(std::string_view entry) const {
  const auto socketmap = Socketmap::Parse(entry);
  return socketmap && IsOneOf(policy_sockets_, socketmap->socket);
}

bool OurEntries::MayBeOneOf(const std::vector<ListenAddress>& sockets,
                            std::string_view name) const {
  if (IsOneOf(sockets, name)) return true;
  if (name.starts_with(kUnix)) return false;
  const std::string port(name.substr(std::min(name.rfind(':'), name.size())));
  const bool is_address =
      ListenAddress::Parse(name) && !name.starts_with("inet:localhost:");
  return std::any_of(
      sockets.begin(), sockets.end(), [&](const ListenAddress& socket) {
        return !socket.is_unix() && (socket.is_any() || !is_address) &&
               ":" + std::to_string(socket.port) == port;
      });
}

bool OurEntries::AsksUs(std::string_view text) const {
  for (;;) {
    const size_t at = text.find(kSocketmap);
    if (at == text.npos) return false;
    text.remove_prefix(at);
    const auto map =
        Socketmap::Parse(text.substr(0, text.find_first_of(", \t\r\n{}")));
    if (map && MayBeOneOf(policy_sockets_, map->socket)) return true;
    text.remove_prefix(kSocketmap.size());
  }
}

bool OurEntries::ReachesUs(std::string_view entry) const {
  const auto socketmap = Socketmap::Parse(entry);
  if (!socketmap) return false;
  if (!socketmap->socket.starts_with(kUnix))
    return IsOneOf(options_.policy.listen, socketmap->socket);
  const std::string path(socketmap->socket.substr(kUnix.size()));
  const std::string queue = postfix_.queue_directory();
  const auto is_ours = [&](const std::string& whole) {
    const auto& sockets = options_.policy.listen;
    return std::any_of(
        sockets.begin(), sockets.end(),
        [&](const ListenAddress& socket) { return socket.unix_path == whole; });
  };
  if (!path.starts_with('/')) return is_ours(queue + "/" + path);
  return (!postfix_.smtp_is_chrooted() || is_ours(queue + path)) &&
         (!postfix_.smtp_is_outside() || is_ours(path));
}

bool OurEntries::IsPeersMap(std::string_view entry) const {
  const auto socketmap = Socketmap::Parse(entry);
  return socketmap && !IsOurMap(entry) &&
         (socketmap->map == "postfix" || socketmap->map == "QUERY" ||
          socketmap->map == "QUERYwithTLSRPT");
}

bool OurEntries::IsOurMilter(std::string_view entry) const {
  return IsOneOf(milter_sockets_, MilterSocket(entry));
}

bool OurEntries::MayBeOurMilter(std::string_view entry) const {
  return MayBeOneOf(milter_sockets_, MilterSocket(entry));
}

bool OurEntries::IsMilterNow(std::string_view entry) const {
  return options_.milter.listen &&
         IsOneOf({*options_.milter.listen}, MilterSocket(entry));
}

bool OurEntries::IsOurTransportMap(std::string_view entry) const {
  return IsRecorded(entry) || entry == TransportMapFor(ReportSender(options_));
}

bool OurEntries::IsOurTlsrptSocket(const std::string& name) const {
  return !name.empty() &&
         (IsRecorded(name) || IsOneOf(options_.tlsrpt.listen, "unix:" + name));
}

}  // namespace postern
