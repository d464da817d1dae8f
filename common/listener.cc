#include "common/listener.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

namespace postern {
namespace {

namespace asio = boost::asio;

// Survives a thousand clients that connect at once (the kernel caps it at
// net.core.somaxconn, by default the same).
constexpr int kBacklog = 4096;

// It may be bound before the network has its address (DHCP, at boot), and,
// where it is of all addresses, IPv4 comes to it, too, whatever the system's
// default. Best effort.
void SetFree(int fd, const ListenAddress& address) {
  const int on = 1, off = 0;
  const bool v6 = address.address.v6;
  setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
             v6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof on);
  if (v6 && address.is_any())
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
}

int SocketOption(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) return -1;
  return value;
}

// nullopt: no stream socket that listens on a unix path, IPv4 or IPv6.
std::optional<ListenAddress> AddressOf(int fd) {
  if (SocketOption(fd, SO_TYPE) != SOCK_STREAM ||
      SocketOption(fd, SO_ACCEPTCONN) != 1)
    return std::nullopt;
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0)
    return std::nullopt;
  ListenAddress address;
  if (name.ss_family == AF_UNIX) {
    const auto& local = reinterpret_cast<const sockaddr_un&>(name);
    const size_t length = size - offsetof(sockaddr_un, sun_path);
    address.unix_path.assign(local.sun_path, strnlen(local.sun_path, length));
    if (address.unix_path.empty()) return std::nullopt;  // abstract
  } else if (name.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
    std::memcpy(address.address.bytes.data(), &v4.sin_addr, 4);
    address.port = ntohs(v4.sin_port);
  } else if (name.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name);
    address.address.v6 = true;
    std::memcpy(address.address.bytes.data(), &v6.sin6_addr, 16);
    address.port = ntohs(v6.sin6_port);
  } else {
    return std::nullopt;
  }
  return address;
}

}  // namespace

asio::generic::stream_protocol::endpoint EndpointOf(
    const ListenAddress& listen) {
  if (listen.is_unix())
    return asio::local::stream_protocol::endpoint(listen.unix_path);
  if (listen.address.v6)
    return asio::ip::tcp::endpoint(asio::ip::address_v6(listen.address.bytes),
                                   listen.port);
  asio::ip::address_v4::bytes_type v4;
  std::copy_n(listen.address.bytes.begin(), v4.size(), v4.begin());
  return asio::ip::tcp::endpoint(asio::ip::address_v4(v4), listen.port);
}

Result<Listener> Listener::Open(asio::io_context& loop,
                                const ListenAddress& address,
                                const SocketFile::Mode& mode) {
  auto acceptor = std::make_shared<Acceptor>(loop);
  const auto open = [&]() -> Status {
    const auto endpoint = EndpointOf(address);
    boost::system::error_code error;
    acceptor->open(endpoint.protocol(), error);
    if (!error && !address.is_unix()) {
      acceptor->set_option(asio::socket_base::reuse_address(true), error);
      SetFree(acceptor->native_handle(), address);
    }
    if (!error) acceptor->bind(endpoint, error);
    if (!error) acceptor->listen(kBacklog, error);
    if (!error) return Done{};
    return Error{
        "cannot listen on " + address.ToString() + ": " + error.message() +
        (address.is_unix() ? " (does the folder exist, may I write?)" : "")};
  };
  if (!address.is_unix()) {
    const Status opened = open();
    if (!opened) return opened.error();
    return Listener(std::move(acceptor), address, SocketFile());
  }
  auto file = SocketFile::Make(address.unix_path, SOCK_STREAM, mode, open);
  if (!file) return file.error();
  return Listener(std::move(acceptor), address, std::move(*file));
}

Result<Listener> Listener::Adopt(asio::io_context& loop, int fd) {
  const std::string what = "inherited socket " + std::to_string(fd);
  const auto address = AddressOf(fd);
  if (!address)
    return Error{what +
                 " is not a listening stream socket, unix or TCP "
                 "(ListenStream= with Accept=no)"};
  auto acceptor = std::make_shared<Acceptor>(loop);
  boost::system::error_code error;
  acceptor->assign(EndpointOf(*address).protocol(), fd, error);
  if (error) return Error{"cannot use " + what + ": " + error.message()};
  return Listener(std::move(acceptor), *address, SocketFile());
}

Listener::Listener(std::shared_ptr<Acceptor> acceptor, ListenAddress address,
                   SocketFile file)
    : acceptor_(std::move(acceptor)),
      address_(std::move(address)),
      file_(std::move(file)) {}

Listener::~Listener() { Close(); }

void Listener::Close() {
  if (!acceptor_) return;
  // While the socket is open, no other daemon's file can have its inode.
  file_.Remove();
  boost::system::error_code ignored;
  acceptor_->close(ignored);
  acceptor_.reset();
}

}  // namespace postern
