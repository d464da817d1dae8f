#include "common/dns_transport.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/dns_wire.h"
#include "common/file_descriptor.h"

namespace postern {
namespace {

using End = DnsExchange::End;

// Each costs as much as dozens of known answers, which are not to wait for
// all that has come: what is left is ready again in the loop's next round.
constexpr size_t kAtOnce = 8;
// Descriptors that are left to others: a sixteenth of the limit, within these.
constexpr rlim_t kMinReserve = 8;
constexpr rlim_t kMaxReserve = 256;

DnsExchange Ended(End end, std::string reason) {
  return {end, {}, std::move(reason)};
}

DnsExchange NoSocket(int error) {
  return Ended(
      End::kNoSocket,
      std::string("this machine has no socket left to ask DNS with: ") +
          std::strerror(error));
}

bool IsWantOfRoom(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM || error == ENOSPC;
}

DnsExchange Broken(const char* what, int error) {
  if (IsWantOfRoom(error)) return NoSocket(error);
  return Ended(End::kUnreachable,
               std::string(what) + ": " + std::strerror(error));
}

// The kernel gives the lowest number that is free, so a high one says that
// nearly all below are in use. Asked each time: prlimit(1) may change it.
bool IsOfTheLast(int fd) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return false;
  const rlim_t reserve =
      std::clamp(limit.rlim_cur / 16, kMinReserve, kMaxReserve);
  return static_cast<rlim_t>(fd) + reserve >= limit.rlim_cur;
}

socklen_t ToSockaddr(const AddressAndPort& server, sockaddr_storage& storage) {
  const IpAddress& ip = server.address;
  if (ip.v6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(server.port);
    std::copy_n(ip.bytes.begin(), 16, v6.sin6_addr.s6_addr);
    return sizeof v6;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(server.port);
  std::memcpy(&v4.sin_addr, ip.bytes.data(), 4);
  return sizeof v4;
}

// RFC 5452 section 9.2: an id that nobody can guess.
void SetRandomId(std::string& query) {
  if (getrandom(query.data(), 2, 0) != 2) std::abort();  // never: two bytes
}

bool IsNotYet(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

// A socket, and the wait for it.
class DnsTransport::Socket {
 public:
  Socket(DnsTransport& transport, FileDescriptor fd)
      : transport_(transport), fd_(std::move(fd)), id_(transport.next_id_++) {}
  // Closing takes the descriptor out of the set.
  ~Socket() { transport_.waiting_.erase(id_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_.get(); }

  // False: the kernel has no room to watch it (errno).
  bool Watch(uint32_t events) {
    const uint32_t once = events | EPOLLONESHOT;
    if (!std::exchange(watched_, true))
      return transport_.sockets_.Add(fd(), once, id_);
    transport_.sockets_.Change(fd(), once, id_);
    return true;
  }

  // After Watch(). False: the deadline came first.
  Awaitable<bool> WaitUntil(SteadyTime deadline) {
    Event ready(transport_.executor_, transport_.clock_);
    transport_.waiting_[id_] = &ready;
    const bool is_ready = co_await ready.WaitUntil(deadline);
    transport_.waiting_.erase(id_);
    co_return is_ready;
  }

 private:
  DnsTransport& transport_;
  FileDescriptor fd_;
  const uint64_t id_;
  bool watched_ = false;
};

DnsTransport::DnsTransport(boost::asio::io_context& loop, Clock& clock)
    : executor_(loop.get_executor()),
      clock_(clock),
      sockets_(loop, kAtOnce, [this](uint64_t id, uint32_t) {
        const auto found = waiting_.find(id);
        if (found != waiting_.end()) found->second->Set();
      }) {}

Awaitable<DnsExchange> DnsTransport::Ask(AddressAndPort server,
                                         DnsProtocol protocol,
                                         std::string query,
                                         SteadyTime deadline) {
  DnsExchange exchange =
      co_await Exchange(server, protocol, std::move(query), deadline);
  // What fails before the first wait fails after a turn of the loop.
  if (exchange.end != End::kReply)
    co_await boost::asio::post(executor_, boost::asio::use_awaitable);
  co_return exchange;
}

Awaitable<DnsExchange> DnsTransport::Exchange(AddressAndPort server,
                                              DnsProtocol protocol,
                                              std::string query,
                                              SteadyTime deadline) {
  const bool udp = protocol == DnsProtocol::kUdp;
  sockaddr_storage address{};
  const socklen_t size = ToSockaddr(server, address);
  FileDescriptor fd(socket(
      address.ss_family,
      (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) co_return Broken("socket", errno);
  if (IsOfTheLast(fd.get())) co_return NoSocket(EMFILE);
  // Connected, a datagram socket hears of closed ports, and takes nothing from
  // other addresses.
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) !=
          0 &&
      errno != EINPROGRESS)
    co_return Broken("connect", errno);
  SetRandomId(query);
  Socket socket(*this, std::move(fd));
  if (udp) co_return co_await ByUdp(socket, std::move(query), deadline);
  co_return co_await ByTcp(socket, std::move(query), deadline);
}

Awaitable<DnsExchange> DnsTransport::ByUdp(Socket& socket, std::string query,
                                           SteadyTime deadline) {
  bool strange = false;  // something came that is no reply to the question
  for (SteadyTime resend{}; clock_.Now() < deadline;) {
    if (clock_.Now() >= resend) {
      resend = clock_.Now() + kResendAfter;
      if (send(socket.fd(), query.data(), query.size(), MSG_NOSIGNAL) < 0 &&
          !IsNotYet(errno))
        co_return Broken("send", errno);
    }
    if (!socket.Watch(EPOLLIN)) co_return Broken("epoll", errno);
    if (!co_await socket.WaitUntil(std::min(deadline, resend))) continue;
    const ssize_t size = recv(socket.fd(), buffer_.data(), buffer_.size(), 0);
    if (size < 0 && IsNotYet(errno)) continue;
    if (size < 0) co_return Broken("receive", errno);
    const std::string_view message(buffer_.data(), static_cast<size_t>(size));
    if (IsReplyTo(query, message))
      co_return DnsExchange{End::kReply, std::string(message), {}};
    strange = true;
  }
  co_return Ended(End::kSilence, strange
                                     ? "what came was no answer to the question"
                                     : "no answer");
}

// RFC 7766 section 8: two bytes with the size before each message.
Awaitable<DnsExchange> DnsTransport::ByTcp(Socket& socket, std::string query,
                                           SteadyTime deadline) {
  if (!socket.Watch(EPOLLOUT)) co_return Broken("epoll", errno);
  if (!co_await socket.WaitUntil(deadline))
    co_return Ended(End::kSilence, "no connection over TCP");
  int error = 0;
  socklen_t error_size = sizeof error;
  getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &error_size);
  if (error != 0) co_return Broken("connect over TCP", error);
  const std::string sent = {static_cast<char>(query.size() >> 8),
                            static_cast<char>(query.size() & 0xff)};
  const std::string whole = sent + query;
  // A new connection has room for some hundred bytes.
  if (send(socket.fd(), whole.data(), whole.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(whole.size()))
    co_return Broken("send over TCP", errno);
  std::string received;
  for (;;) {
    socket.Watch(EPOLLIN);
    if (!co_await socket.WaitUntil(deadline))
      co_return Ended(End::kSilence, "no answer over TCP");
    const ssize_t size = recv(socket.fd(), buffer_.data(), buffer_.size(), 0);
    if (size < 0 && IsNotYet(errno)) continue;
    if (size < 0) co_return Broken("receive over TCP", errno);
    if (size == 0)
      co_return Ended(End::kUnreachable,
                      "it closes the connection over TCP without an answer");
    received.append(buffer_.data(), static_cast<size_t>(size));
    if (received.size() < 2) continue;
    const size_t wanted = static_cast<size_t>(static_cast<uint8_t>(received[0]))
                              << 8 |
                          static_cast<uint8_t>(received[1]);
    if (received.size() < 2 + wanted) continue;
    std::string message = received.substr(2, wanted);
    if (!IsReplyTo(query, message))
      co_return Ended(End::kUnreachable,
                      "what came over TCP was no answer to the question");
    co_return DnsExchange{End::kReply, std::move(message), {}};
  }
}

}  // namespace postern
