#include "common/getdns_loop.h"

#include <sys/socket.h>

#include <boost/asio/post.hpp>

namespace postern {
namespace {

constexpr uint64_t kForever = UINT64_MAX;
// Each costs as much as dozens of known answers, which are not to wait for
// all that has come: what is left is ready again in the loop's next round.
constexpr size_t kAtOnce = 8;

bool IsDatagramSocket(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
         type == SOCK_DGRAM;
}

}  // namespace

// One scheduled event, from Schedule() to Clear().
struct GetdnsLoop::Watch {
  uint64_t id = 0;
  getdns_eventloop_event* event = nullptr;
  int fd = -1;  // in sockets_; -1: not
  std::unique_ptr<Timer> timer;
};

GetdnsLoop::GetdnsLoop(boost::asio::io_context& loop, Clock& clock)
    : loop_(loop),
      clock_(clock),
      sockets_(loop, kAtOnce,
               [this](uint64_t id, uint32_t events) { Call(id, events); }),
      vmt_{Nothing, Schedule, Clear, Nothing, NoRun},
      table_{{&vmt_}, this} {}

GetdnsLoop::~GetdnsLoop() = default;

getdns_return_t GetdnsLoop::Schedule(getdns_eventloop* loop, int fd,
                                     uint64_t timeout_ms,
                                     getdns_eventloop_event* event) noexcept {
  try {
    GetdnsLoop* self = reinterpret_cast<Table*>(loop)->self;
    return self->Add(fd, event, timeout_ms) ? GETDNS_RETURN_GOOD
                                            : GETDNS_RETURN_GENERIC_ERROR;
  } catch (...) {
    return GETDNS_RETURN_MEMORY_ERROR;
  }
}

bool GetdnsLoop::Add(int fd, getdns_eventloop_event* event,
                     uint64_t timeout_ms) {
  auto watch = std::make_unique<Watch>();
  const uint64_t id = watch->id = next_id_++;
  watch->event = event;
  if (fd >= 0 && event->write_cb && !event->read_cb && IsDatagramSocket(fd)) {
    // A datagram can be sent at once; no need to ask the kernel whether.
    boost::asio::post(loop_, [this, id] {
      if (const Watch* ready = Find(id))
        ready->event->write_cb(ready->event->userarg);
    });
  } else if (fd >= 0 && (event->read_cb || event->write_cb)) {
    const uint32_t wanted =
        (event->read_cb ? EPOLLIN : 0u) | (event->write_cb ? EPOLLOUT : 0u);
    if (!sockets_.Add(fd, wanted, id)) return false;
    watch->fd = fd;
  }
  if (timeout_ms != kForever && event->timeout_cb) {
    watch->timer = clock_.CallAt(
        clock_.Now() + std::chrono::milliseconds(timeout_ms), [this, id] {
          if (const Watch* due = Find(id))
            due->event->timeout_cb(due->event->userarg);
        });
  }
  event->ev = watch.get();
  watches_[id] = std::move(watch);
  return true;
}

getdns_return_t GetdnsLoop::Clear(getdns_eventloop* loop,
                                  getdns_eventloop_event* event) noexcept {
  GetdnsLoop* self = reinterpret_cast<Table*>(loop)->self;
  auto* watch = static_cast<Watch*>(std::exchange(event->ev, nullptr));
  if (!watch) return GETDNS_RETURN_GOOD;
  if (watch->fd >= 0) self->sockets_.Remove(watch->fd);
  self->watches_.erase(watch->id);
  return GETDNS_RETURN_GOOD;
}

void GetdnsLoop::Nothing(getdns_eventloop*) noexcept {}
void GetdnsLoop::NoRun(getdns_eventloop*, int) noexcept {}

GetdnsLoop::Watch* GetdnsLoop::Find(uint64_t id) {
  const auto found = watches_.find(id);
  return found == watches_.end() ? nullptr : found->second.get();
}

void GetdnsLoop::Call(uint64_t id, uint32_t events) {
  // Errors and hang-ups are for whoever waits to find out.
  constexpr uint32_t kBroken = EPOLLERR | EPOLLHUP;
  if (const Watch* watch = Find(id);
      watch && watch->event->read_cb && events & (EPOLLIN | kBroken))
    watch->event->read_cb(watch->event->userarg);
  if (const Watch* watch = Find(id);
      watch && watch->event->write_cb && events & (EPOLLOUT | kBroken))
    watch->event->write_cb(watch->event->userarg);
}

}  // namespace postern
