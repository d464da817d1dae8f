#include "tests/bench/endpoint.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

constexpr int kBacklog = 4096;  // Linux's default net.core.somaxconn

struct Address {
  sockaddr_storage storage = {};
  socklen_t length = 0;
  int family = AF_UNSPEC;

  const sockaddr* Get() const {
    return reinterpret_cast<const sockaddr*>(&storage);
  }
};

Address UnixAddress(const std::string& path) {
  sockaddr_un unix_address = {};
  if (path.empty() || path.size() >= sizeof(unix_address.sun_path)) {
    DieUsage("bad unix socket path: " + path);
  }
  unix_address.sun_family = AF_UNIX;
  std::memcpy(unix_address.sun_path, path.data(), path.size());
  Address address;
  std::memcpy(&address.storage, &unix_address, sizeof(unix_address));
  address.length = sizeof(unix_address);
  address.family = AF_UNIX;
  return address;
}

Address InetAddress(const std::string& host, const std::string& port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) DieUsage(host + ":" + port + ": " + gai_strerror(error));
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  address.family = found->ai_family;
  freeaddrinfo(found);
  return address;
}

Address ParseEndpoint(const std::string& endpoint) {
  if (endpoint.starts_with("unix:")) return UnixAddress(endpoint.substr(5));
  size_t colon = endpoint.rfind(':');
  if (!endpoint.starts_with("inet:") || colon < 5) {
    DieUsage("not unix:PATH or inet:HOST:PORT: " + endpoint);
  }
  std::string host = endpoint.substr(5, colon - 5);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  return InetAddress(host, endpoint.substr(colon + 1));
}

void SetNoDelay(int fd, int family) {
  int on = 1;
  if (family != AF_UNIX) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
}

}  // namespace

void DieErrno(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

void DieUsage(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(2);
}

int Listen(const std::string& endpoint) {
  Address address = ParseEndpoint(endpoint);
  if (address.family == AF_UNIX) unlink(endpoint.c_str() + 5);
  int fd = socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) DieErrno("socket");
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  SetNoDelay(fd, address.family);  // accepted sockets inherit it
  if (bind(fd, address.Get(), address.length) < 0 || listen(fd, kBacklog) < 0) {
    DieErrno("listen on " + endpoint);
  }
  return fd;
}

int Connect(const std::string& endpoint) {
  Address address = ParseEndpoint(endpoint);
  int fd = socket(address.family, SOCK_STREAM, 0);
  if (fd < 0) DieErrno("socket");
  if (connect(fd, address.Get(), address.length) < 0) {
    DieErrno("connect to " + endpoint);
  }
  SetNoDelay(fd, address.family);
  if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) DieErrno("fcntl");
  return fd;
}

void RaiseFileLimit() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}
