#include "policy-daemon/our_entries.h"

#include <algorithm>

#include "common/text.h"

namespace postern {
namespace {

constexpr std::string_view kProxy = "proxy:";
constexpr std::string_view kSocketmap = "socketmap:";

// "unix:PATH" or "inet:HOST:PORT", and the map's name.
struct Socketmap {
  std::string_view socket, map;
};

std::optional<Socketmap> ParseSocketmap(std::string_view entry) {
  if (entry.starts_with(kProxy)) entry.remove_prefix(kProxy.size());
  if (!entry.starts_with(kSocketmap)) return std::nullopt;
  entry.remove_prefix(kSocketmap.size());
  const size_t colon = entry.rfind(':');
  if (colon == entry.npos) return std::nullopt;
  return Socketmap{entry.substr(0, colon), entry.substr(colon + 1)};
}

// The socket of a milter: the first word, within braces or without.
std::string_view MilterSocket(std::string_view entry) {
  const auto words = SplitList(entry, "{}, \t");
  return words.empty() ? std::string_view() : words.front();
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
  if (!socket.is_unix()) return socket.ToString();
  return "unix:" + PathForPostfix(socket.unix_path, postfix);
}

bool IsPlainWord(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return IsAsciiAlnum(c) ||
           std::string_view("._/:@+-[]").find(c) != std::string_view::npos;
  });
}

std::string_view MapNameOf(std::string_view entry) {
  const auto socketmap = ParseSocketmap(entry);
  return socketmap ? socketmap->map : std::string_view();
}

bool OurEntries::IsRecorded(std::string_view entry) const {
  return std::find(recorded_.begin(), recorded_.end(), entry) !=
         recorded_.end();
}

bool OurEntries::IsOneOf(const std::vector<ListenAddress>& sockets,
                         std::string_view name) const {
  constexpr std::string_view kUnix = "unix:";
  const bool is_unix = name.starts_with(kUnix);
  const std::string path(is_unix ? name.substr(kUnix.size()) : "");
  const auto address =
      is_unix ? std::nullopt : ListenAddress::Parse(std::string(name));
  const std::string queue = postfix_.queue_directory();
  return std::any_of(
      sockets.begin(), sockets.end(), [&](const ListenAddress& socket) {
        if (!is_unix) return address && socket == *address;
        // In a chroot, what begins with a slash begins there.
        return socket.unix_path == path || socket.unix_path == queue + path ||
               socket.unix_path == queue + "/" + path;
      });
}

bool OurEntries::IsOurMap(std::string_view entry) const {
  const auto socketmap = ParseSocketmap(entry);
  return IsRecorded(entry) ||
         (socketmap && IsOneOf(options_.policy.listen, socketmap->socket));
}

bool OurEntries::ReachesUs(std::string_view entry) const {
  const auto socketmap = ParseSocketmap(entry);
  if (!socketmap) return false;
  constexpr std::string_view kUnix = "unix:";
  if (!socketmap->socket.starts_with(kUnix))
    return IsOneOf(options_.policy.listen, socketmap->socket);
  const std::string path(socketmap->socket.substr(kUnix.size()));
  const std::string queue = postfix_.queue_directory();
  std::string whole = path;
  if (!path.starts_with('/'))
    whole = queue + "/" + path;
  else if (postfix_.smtp_is_chrooted())
    whole = queue + path;
  const auto& sockets = options_.policy.listen;
  return std::any_of(
      sockets.begin(), sockets.end(),
      [&](const ListenAddress& socket) { return socket.unix_path == whole; });
}

bool OurEntries::IsPeersMap(std::string_view entry) const {
  const std::string_view map = MapNameOf(entry);
  return !IsOurMap(entry) &&
         (map == "postfix" || map == "QUERY" || map == "QUERYwithTLSRPT");
}

bool OurEntries::IsOurMilter(std::string_view entry) const {
  return IsRecorded(entry) ||
         (options_.milter.listen &&
          IsOneOf({*options_.milter.listen}, MilterSocket(entry)));
}

bool OurEntries::IsOurTransportMap(std::string_view entry) const {
  return entry.starts_with("inline:{") &&
         entry.find(std::string("=") + kReportTransport) != entry.npos;
}

bool OurEntries::IsOurTlsrptSocket(const std::string& name) const {
  return !name.empty() && IsOneOf(options_.tlsrpt.listen, "unix:" + name);
}

}  // namespace postern
