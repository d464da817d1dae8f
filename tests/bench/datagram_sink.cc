// bench_datagram_sink PATH: the yardstick for the TLSRPT collector.
//
// Receives datagrams by recvmmsg() into the same buffers for ever, and does
// nothing with them: what it takes is what the kernel and the sender allow.
// Runs until killed.

#include <array>
#include <string>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/bench/endpoint.h"

namespace {

constexpr size_t kAtOnce = 64;
constexpr size_t kBufferBytes = 64 * 1024;

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) DieUsage("usage: bench_datagram_sink PATH");
  const std::string path = argv[1];
  unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  if (fd < 0 ||
      bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    DieErrno(path);
  std::vector<char> bytes(kAtOnce * kBufferBytes);
  std::array<iovec, kAtOnce> parts;
  std::array<mmsghdr, kAtOnce> messages{};
  for (size_t i = 0; i < kAtOnce; ++i) {
    parts[i] = {bytes.data() + i * kBufferBytes, kBufferBytes};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  pollfd watched{fd, POLLIN, 0};
  for (;;) {
    poll(&watched, 1, -1);
    recvmmsg(fd, messages.data(), kAtOnce, MSG_DONTWAIT, nullptr);
  }
}
