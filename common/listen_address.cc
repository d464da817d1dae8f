#include "common/listen_address.h"

#include <algorithm>

#include "common/text.h"

namespace postern {
namespace {

// The path must fit sockaddr_un with its final NUL; Postfix aborts above.
constexpr size_t kMaxUnixPath = 107;

std::string Bracketed(const IpAddress& address) {
  return address.v6 ? "[" + address.ToString() + "]" : address.ToString();
}

}  // namespace

std::optional<ListenAddress> ListenAddress::Parse(std::string_view text) {
  ListenAddress listen;
  if (text.starts_with("unix:")) {
    text.remove_prefix(5);
    if (text.empty() || text.size() > kMaxUnixPath) return std::nullopt;
    listen.unix_path = text;
    return listen;
  }
  if (!text.starts_with("inet:")) return std::nullopt;
  text.remove_prefix(5);
  std::string host_port(text);
  constexpr std::string_view kLocalhost = "localhost:";
  if (text.starts_with(kLocalhost))
    host_port = "127.0.0.1:" + std::string(text.substr(kLocalhost.size()));
  const auto parsed = AddressAndPort::Parse(host_port, 0);
  if (!parsed || parsed->port == 0) return std::nullopt;
  listen.address = parsed->address;
  listen.port = parsed->port;
  return listen;
}

std::string ListenAddress::ToString() const {
  if (is_unix()) return "unix:" + unix_path;
  return "inet:" + Bracketed(address) + ":" + std::to_string(port);
}

bool ListenAddress::is_any() const {
  const auto is_zero = [](uint8_t byte) { return byte == 0; };
  const auto& bytes = address.bytes;
  return !is_unix() && std::all_of(bytes.begin(), bytes.end(), is_zero);
}

bool ListenAddress::IsReachedAt(const ListenAddress& asked) const {
  if (asked == *this) return true;
  return is_any() && !asked.is_unix() && asked.port == port &&
         (address.v6 || !asked.address.v6) &&
         (asked.is_any() || asked.address.IsLoopback());
}

std::optional<AddressAndPort> AddressAndPort::Parse(std::string_view text,
                                                    uint16_t default_port) {
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!port.empty() && !port.starts_with(':')) return std::nullopt;
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':'));
  }
  const auto address = IpAddress::Parse(host);
  if (!address) return std::nullopt;
  if (port.empty()) return AddressAndPort{*address, default_port};
  const auto number = ParseUint(port.substr(1), 65535);
  if (!number || *number == 0) return std::nullopt;
  return AddressAndPort{*address, static_cast<uint16_t>(*number)};
}

std::string AddressAndPort::ToString() const {
  return Bracketed(address) + ":" + std::to_string(port);
}

}  // namespace postern
