#include "common/systemd.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>

#include <systemd/sd-daemon.h>
#include <time.h>

#include "common/log.h"

namespace postern {
namespace {

void Notify(const std::string& state) {
  const int code = sd_notify(0, state.c_str());
  if (code < 0)
    Log(LogLevel::kWarn, "systemd_not_notified",
        {{"reason", std::strerror(-code)}});
}

InheritedSocket::Kind KindOf(int fd) {
  if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
    return InheritedSocket::Kind::kListeningStream;
  if (sd_is_socket(fd, AF_UNSPEC, SOCK_DGRAM, -1) > 0)
    return InheritedSocket::Kind::kDatagram;
  return InheritedSocket::Kind::kOther;
}

}  // namespace

void NotifyReady(const std::string& status) {
  std::string line = status;
  // Another line would be another variable.
  std::replace(line.begin(), line.end(), '\n', ' ');
  Notify("READY=1\nSTATUS=" + line);
}

void NotifyReloading() {
  // By this time systemd tells the reload's READY=1 from an earlier one.
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t usec = int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
  Notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(usec));
}

void NotifyStopping() { Notify("STOPPING=1"); }

void NotifyWatchdog() { Notify("WATCHDOG=1"); }

std::optional<std::chrono::milliseconds> WatchdogInterval() {
  uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) <= 0) return std::nullopt;
  return std::chrono::milliseconds(std::max<uint64_t>(usec / 2000, 1));
}

Result<std::vector<InheritedSocket>> InheritedSockets() {
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  if (count < 0)
    return Error{
        std::string("cannot take over the sockets of socket activation "
                    "(LISTEN_FDS): ") +
        std::strerror(-count)};
  std::vector<InheritedSocket> sockets;
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    std::string name = names && names[i] ? names[i] : "";
    if (name == "unknown") name.clear();  // libsystemd's word for "none"
    sockets.push_back({fd, std::move(name), KindOf(fd)});
  }
  for (int i = 0; names && names[i]; ++i) std::free(names[i]);
  std::free(names);
  return sockets;
}

}  // namespace postern
