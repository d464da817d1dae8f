// The event loop that getdns runs on: Asio, by getdns's extension table.
//
// Debian's ready-made extension libraries are for other loops, so this
// implements schedule and clear. getdns closes a descriptor right after it
// has cleared the event; Asio has let go of it by then.
#pragma once

#include <boost/asio/io_context.hpp>
#include <getdns/getdns.h>
#include <getdns/getdns_extra.h>

namespace postern {

class GetdnsLoop {
 public:
  // `loop` outlives this; this outlives the contexts that use it.
  explicit GetdnsLoop(boost::asio::io_context& loop);
  GetdnsLoop(const GetdnsLoop&) = delete;
  GetdnsLoop& operator=(const GetdnsLoop&) = delete;

  getdns_eventloop* eventloop() { return &table_.base; }

 private:
  // getdns hands `base` back to the callbacks; `self` follows it in memory.
  struct Table {
    getdns_eventloop base;
    GetdnsLoop* self;
  };
  struct Watch;

  static getdns_return_t Schedule(getdns_eventloop* loop, int fd,
                                  uint64_t timeout_ms,
                                  getdns_eventloop_event* event) noexcept;
  static getdns_return_t Clear(getdns_eventloop* loop,
                               getdns_eventloop_event* event) noexcept;
  static void Nothing(getdns_eventloop* loop) noexcept;
  static void NoRun(getdns_eventloop* loop, int blocking) noexcept;

  boost::asio::io_context& loop_;
  getdns_eventloop_vmt vmt_;
  Table table_;
};

}  // namespace postern
