// One DNS question to one server, over one socket of its own, which is closed
// when the answer is there or the time is over.
//
// Why not getdns's own transport: it opens a socket for every repeat, calls
// itself without end where the kernel gives it no socket (getdns 1.6), and
// takes a closed port for silence.
//
// What goes wrong here is a value: a socket that cannot be had ends this
// question and nothing else. A socket is refused also where few descriptors are
// left of RLIMIT_NOFILE, so that files and clients still find some.
//
// Loop thread only. The transport outlives every question.
#pragma once

#include <array>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/event.h"
#include "common/listen_address.h"
#include "common/ready_set.h"

namespace postern {

enum class DnsProtocol { kUdp, kTcp };

struct DnsExchange {
  enum class End {
    kReply,        // `message` is the reply to the question
    kSilence,      // nothing came that is a reply to it
    kUnreachable,  // nobody listens there, no route, the connection broke
    kNoSocket,     // this machine has no descriptor or buffer left
  };
  End end = End::kSilence;
  std::string message;  // kReply: at most 65,535 bytes, tied to the question
  std::string reason;   // else: why, for a person
};

class DnsTransport {
 public:
  // `loop` and `clock` outlive this.
  DnsTransport(boost::asio::io_context& loop, Clock& clock);

  // Sends `query` (EncodeDnsQuery) with an id of chance, and waits until
  // `deadline`. Over UDP it is sent again every kResendAfter: a datagram can
  // get lost. What is no reply to it is passed over. Never returns without
  // having been suspended, so a caller may ask again in a loop.
  Awaitable<DnsExchange> Ask(AddressAndPort server, DnsProtocol protocol,
                             std::string query, SteadyTime deadline);

  // Long enough for a resolver that has the answer at hand, short enough to
  // repeat several times within dns.timeout.
  static constexpr std::chrono::milliseconds kResendAfter{1200};

 private:
  class Socket;

  Awaitable<DnsExchange> Exchange(AddressAndPort server, DnsProtocol protocol,
                                  std::string query, SteadyTime deadline);
  Awaitable<DnsExchange> ByUdp(Socket& socket, std::string query,
                               SteadyTime deadline);
  Awaitable<DnsExchange> ByTcp(Socket& socket, std::string query,
                               SteadyTime deadline);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  ReadySet sockets_;
  // Who waits for a socket, by the id that sockets_ knows it by.
  boost::unordered_flat_map<uint64_t, Event*> waiting_;
  uint64_t next_id_ = 1;
  std::array<char, 65536> buffer_;  // for one recv(2)
};

}  // namespace postern
