// bench_bare_server ENDPOINT REPLY: the yardstick for postern-policy.
//
// Answers every request with the same netstring, after no thought at all: one
// thread, level-triggered epoll, one read and one write a request. What it
// reaches is what the kernel and the load program allow; postern-policy is
// judged by its share of that.
//
// Contract: each read is taken for one whole request, which holds for clients
// with one short request outstanding (socketmap's rule). Runs until killed.

#include <cerrno>
#include <string>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/endpoint.h"

namespace {

constexpr int kMaxEvents = 512;
constexpr size_t kReadBytes = 16 * 1024;

void Watch(int epoll, int fd) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) DieErrno("epoll_ctl");
}

void AcceptAll(int epoll, int listener) {
  for (;;) {
    int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd < 0) return;
    Watch(epoll, fd);
  }
}

void Answer(int fd, const std::string& reply) {
  static char request[kReadBytes];
  ssize_t got = read(fd, request, sizeof(request));
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0 || send(fd, reply.data(), reply.size(), MSG_NOSIGNAL) !=
                      static_cast<ssize_t>(reply.size())) {
    close(fd);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    DieUsage("usage: bench_bare_server unix:PATH|inet:HOST:PORT REPLY");
  }
  RaiseFileLimit();
  std::string text = argv[2];
  std::string reply = std::to_string(text.size()) + ":" + text + ",";
  int listener = Listen(argv[1]);
  int epoll = epoll_create1(0);
  Watch(epoll, listener);
  epoll_event events[kMaxEvents];
  for (;;) {
    int ready = epoll_wait(epoll, events, kMaxEvents, -1);
    for (int i = 0; i < ready; ++i) {
      if (events[i].data.fd == listener) {
        AcceptAll(epoll, listener);
      } else {
        Answer(events[i].data.fd, reply);
      }
    }
  }
}
