// The event loop that getdns runs on: its extension table over a ReadySet.
//
// Why not a descriptor of Asio for each socket: getdns opens one a query and
// schedules it twice, and Asio's bookkeeping (6 epoll_ctl and 2 ioctl a query)
// cost as much as the query. Here it is 2 epoll_ctl; docs/performance.md has
// the figures.
#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <getdns/getdns.h>
#include <getdns/getdns_extra.h>

#include "common/clock.h"
#include "common/ready_set.h"

namespace postern {

class GetdnsLoop {
 public:
  // `loop` and `clock` outlive this; this outlives the contexts that use it.
  GetdnsLoop(boost::asio::io_context& loop, Clock& clock);
  ~GetdnsLoop();
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

  bool Add(int fd, getdns_eventloop_event* event, uint64_t timeout_ms);
  // The watch if it still stands: a callback may have cleared any other.
  Watch* Find(uint64_t id);
  void Call(uint64_t id, uint32_t events);

  boost::asio::io_context& loop_;
  Clock& clock_;
  ReadySet sockets_;
  boost::unordered_flat_map<uint64_t, std::unique_ptr<Watch>> watches_;
  uint64_t next_id_ = 1;
  getdns_eventloop_vmt vmt_;
  Table table_;
};

}  // namespace postern
