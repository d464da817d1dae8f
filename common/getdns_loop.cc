#include "common/getdns_loop.h"

#include <memory>
#include <optional>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace postern {
namespace {

constexpr uint64_t kForever = UINT64_MAX;

using Descriptor = boost::asio::posix::stream_descriptor;

}  // namespace

// One scheduled event. Handlers hold it weakly: once getdns has cleared the
// event, none of its callbacks may run.
struct GetdnsLoop::Watch : std::enable_shared_from_this<Watch> {
  Watch(boost::asio::io_context& loop, getdns_eventloop_event* e)
      : event(e), timer(loop) {}

  void Wait(Descriptor::wait_type type, getdns_eventloop_callback callback) {
    descriptor->async_wait(type, [weak = weak_from_this(), type,
                                  callback](boost::system::error_code error) {
      const auto self = weak.lock();
      if (error || !self || !self->event) return;
      callback(self->event->userarg);
      // Level-triggered until cleared, as getdns expects.
      if (self->event) self->Wait(type, callback);
    });
  }

  void WaitTimeout(uint64_t timeout_ms) {
    timer.expires_after(std::chrono::milliseconds(timeout_ms));
    timer.async_wait(
        [weak = weak_from_this()](boost::system::error_code error) {
          const auto self = weak.lock();
          if (error || !self || !self->event) return;
          self->event->timeout_cb(self->event->userarg);
        });
  }

  getdns_eventloop_event* event;  // null: cleared
  boost::asio::steady_timer timer;
  std::optional<Descriptor> descriptor;
};

GetdnsLoop::GetdnsLoop(boost::asio::io_context& loop)
    : loop_(loop),
      vmt_{Nothing, Schedule, Clear, Nothing, NoRun},
      table_{{&vmt_}, this} {}

getdns_return_t GetdnsLoop::Schedule(getdns_eventloop* loop, int fd,
                                     uint64_t timeout_ms,
                                     getdns_eventloop_event* event) noexcept {
  try {
    GetdnsLoop* self = reinterpret_cast<Table*>(loop)->self;
    const auto watch = std::make_shared<Watch>(self->loop_, event);
    if (fd >= 0 && (event->read_cb || event->write_cb)) {
      watch->descriptor.emplace(self->loop_, fd);
      if (event->read_cb) watch->Wait(Descriptor::wait_read, event->read_cb);
      if (event->write_cb) watch->Wait(Descriptor::wait_write, event->write_cb);
    }
    if (timeout_ms != kForever && event->timeout_cb)
      watch->WaitTimeout(timeout_ms);
    // getdns keeps it until Clear().
    event->ev = new std::shared_ptr<Watch>(watch);
    return GETDNS_RETURN_GOOD;
  } catch (...) {
    return GETDNS_RETURN_MEMORY_ERROR;
  }
}

getdns_return_t GetdnsLoop::Clear(getdns_eventloop*,
                                  getdns_eventloop_event* event) noexcept {
  const std::unique_ptr<std::shared_ptr<Watch>> held(
      static_cast<std::shared_ptr<Watch>*>(event->ev));
  event->ev = nullptr;
  if (!held) return GETDNS_RETURN_GOOD;
  Watch& watch = **held;
  watch.event = nullptr;
  if (watch.descriptor) watch.descriptor->release();
  return GETDNS_RETURN_GOOD;
}

void GetdnsLoop::Nothing(getdns_eventloop*) noexcept {}
void GetdnsLoop::NoRun(getdns_eventloop*, int) noexcept {}

}  // namespace postern
