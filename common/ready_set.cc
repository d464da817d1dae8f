#include "common/ready_set.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace postern {

ReadySet::ReadySet(boost::asio::io_context& loop, size_t at_once,
                   OnReady on_ready)
    : epoll_(loop), on_ready_(std::move(on_ready)), ready_(at_once) {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0)
    throw std::system_error(errno, std::generic_category(), "epoll_create1");
  epoll_.assign(fd);
  Wait();
}

bool ReadySet::Add(int fd, uint32_t events, uint64_t id) {
  epoll_event wanted{.events = events, .data = {.u64 = id}};
  return epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, fd, &wanted) == 0;
}

void ReadySet::Change(int fd, uint32_t events, uint64_t id) {
  epoll_event wanted{.events = events, .data = {.u64 = id}};
  epoll_ctl(epoll_.native_handle(), EPOLL_CTL_MOD, fd, &wanted);
}

void ReadySet::Remove(int fd) {
  epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, fd, nullptr);
}

void ReadySet::Wait() {
  epoll_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                    [this](boost::system::error_code error) {
                      // Closed: the set goes.
                      if (error) return;
                      Look();
                      Wait();
                    });
}

void ReadySet::Look() {
  const int count = epoll_wait(epoll_.native_handle(), ready_.data(),
                               static_cast<int>(ready_.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& one = ready_[static_cast<size_t>(i)];
    on_ready_(one.data.u64, one.events);
  }
}

}  // namespace postern
