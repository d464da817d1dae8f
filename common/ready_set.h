// ReadySet: an epoll set of one's own, which Asio watches as one descriptor.
//
// Why: Asio looks at each descriptor for itself. It reads once more than there
// is to read, or asks epoll again, for every request and every DNS query; for
// short exchanges over many descriptors that is a fifth of all their cost
// (docs/performance.md). Here a look covers all that are ready.
//
// Contract: loop thread only. Level-triggered: what is not read is told of
// again. A descriptor that is closed is removed by that.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <sys/epoll.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace postern {

class ReadySet {
 public:
  // `id` is the owner's name for a descriptor. It may have been removed since
  // the look that found it ready; so an id is never used twice. `events` are
  // epoll's. It must not throw: nothing would be told of any more.
  using OnReady = std::function<void(uint64_t id, uint32_t events)>;

  // Tells of at most `at_once` descriptors in one of the loop's rounds; the
  // loop outlives the set. Throws std::system_error.
  ReadySet(boost::asio::io_context& loop, size_t at_once, OnReady on_ready);
  ReadySet(const ReadySet&) = delete;
  ReadySet& operator=(const ReadySet&) = delete;

  // `events`: EPOLLIN, EPOLLOUT. False: the kernel has no room for more.
  // Errors and hang-ups are told of, asked for or not.
  bool Add(int fd, uint32_t events, uint64_t id);
  void Change(int fd, uint32_t events, uint64_t id);
  void Remove(int fd);

 private:
  void Wait();
  void Look();

  boost::asio::posix::stream_descriptor epoll_;
  OnReady on_ready_;
  std::vector<epoll_event> ready_;
};

}  // namespace postern
