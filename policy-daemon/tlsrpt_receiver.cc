#include "policy-daemon/tlsrpt_receiver.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>
#include <system_error>

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <pthread.h>

#include "common/log.h"

#include "policy-daemon/tlsrpt_datagram.h"

namespace postern {
namespace {

// Beyond any queue of the kernel's default, and of systemd's every eighth.
constexpr size_t kAtOnce = 64;
// One more, so that what is too long can be told.
constexpr size_t kBufferBytes = kMaxDatagramBytes + 1;
constexpr char kQueueFile[] = "/proc/sys/net/unix/max_dgram_qlen";
constexpr int kGoodQueue = 512;  // what systemd sets
// Between two attempts where trouble would make the thread turn.
constexpr std::chrono::milliseconds kPause{100};

void Pause() { std::this_thread::sleep_for(kPause); }

// Errors that pass: nothing was there, or for now there is no memory.
bool IsPassing(int error) {
  return error == EAGAIN || error == EINTR || error == ENOMEM ||
         error == ENOBUFS;
}

}  // namespace

// Pages of them that no datagram has reached take no memory.
struct TlsrptReceiver::Buffers {
  Buffers() {
    for (size_t i = 0; i < kAtOnce; ++i) {
      parts[i] = {bytes.get() + i * kBufferBytes, kBufferBytes};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }

  std::unique_ptr<char[]> bytes =
      std::make_unique_for_overwrite<char[]>(kAtOnce * kBufferBytes);
  std::array<iovec, kAtOnce> parts;
  std::array<mmsghdr, kAtOnce> messages;
};

TlsrptReceiver::TlsrptReceiver(std::vector<DatagramSocket> sockets,
                               OutcomeRecorder& recorder)
    : sockets_(std::move(sockets)),
      recorder_(recorder),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  if (!stop_)
    throw std::system_error(errno, std::generic_category(), "eventfd");
  thread_ = std::thread([this] { ReceiveOn(); });
}

TlsrptReceiver::~TlsrptReceiver() {
  while (thread_.joinable()) Stop(Seconds(3600));
}

void TlsrptReceiver::Hide() {
  for (DatagramSocket& socket : sockets_) socket.Hide();
}

bool TlsrptReceiver::Stop(Seconds patience) {
  Hide();
  eventfd_write(stop_.get(), 1);
  if (is_received_.wait_for(patience) != std::future_status::ready)
    return false;
  thread_.join();
  return true;
}

void TlsrptReceiver::ReceiveOn() {
  // Signals are for the main thread.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  Buffers buffers;
  std::vector<pollfd> watched = {{stop_.get(), POLLIN, 0}};
  for (const DatagramSocket& socket : sockets_)
    watched.push_back({socket.fd(), POLLIN, 0});
  for (;;) {
    if (poll(watched.data(), watched.size(), -1) < 0) {
      if (errno != EINTR) Pause();
      continue;
    }
    if (watched[0].revents != 0) break;
    for (size_t i = 0; i < sockets_.size(); ++i) {
      pollfd& socket = watched[i + 1];
      if (socket.revents == 0 || ReceiveSome(sockets_[i], buffers)) continue;
      const int error = errno;
      if (IsPassing(error)) {
        // What poll() calls an error, and nobody takes: not at once again.
        if ((socket.revents & POLLIN) == 0) Pause();
        continue;
      }
      socket.fd = -1;  // poll() passes over it
      Log(LogLevel::kError, "tlsrpt_socket_lost",
          {{"socket", sockets_[i].path()},
           {"reason", std::strerror(error)},
           {"effect", "what Postfix tells there is lost; mail is not affected"},
           {"advice", "restart postern-policy"}});
    }
  }
  for (const DatagramSocket& socket : sockets_)
    while (!socket.adopted() && ReceiveSome(socket, buffers)) {
    }
  received_.set_value();
}

bool TlsrptReceiver::ReceiveSome(const DatagramSocket& socket,
                                 Buffers& buffers) {
  const int count = recvmmsg(socket.fd(), buffers.messages.data(), kAtOnce,
                             MSG_DONTWAIT, nullptr);
  if (count <= 0) {
    if (count == 0) errno = EAGAIN;
    return false;
  }
  std::array<std::string_view, kAtOnce> datagrams;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i)
    datagrams[i] = {static_cast<const char*>(buffers.parts[i].iov_base),
                    buffers.messages[i].msg_len};
  const bool taken =
      recorder_.AppendDatagrams({datagrams.data(), static_cast<size_t>(count)});
  errno = EAGAIN;  // the socket did not fail
  return taken;
}

std::string QueueAdvice() {
  std::ifstream file(kQueueFile);
  int length = 0;
  if (!(file >> length) || length >= kGoodQueue) return "";
  return "the kernel keeps " + std::to_string(length) +
         " datagrams for a socket, and Postfix does not wait: set "
         "net.unix.max_dgram_qlen=512 by sysctl, then restart";
}

}  // namespace postern
