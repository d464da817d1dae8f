// What systemd wants to hear, and the sockets it hands over.
//
// Everything here does nothing (and InheritedSockets finds nothing) where the
// process was not started by systemd. No locks are taken, no thread is
// started; the notices are one datagram each, sent without waiting.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"

namespace postern {

// Start-up, or a reload, has ended; `status` is what `systemctl status` shows.
void NotifyReady(const std::string& status);
// A reload begins; NotifyReady() ends it.
void NotifyReloading();
void NotifyStopping();
// "I am alive": each WatchdogInterval().
void NotifyWatchdog();

// Half of what the unit's WatchdogSec allows; nullopt: nobody watches us.
std::optional<std::chrono::milliseconds> WatchdogInterval();

struct InheritedSocket {
  enum class Kind { kListeningStream, kDatagram, kOther };

  int fd = -1;       // the caller's from now on
  std::string name;  // FileDescriptorName=; "": none
  Kind kind = Kind::kOther;
};

// The sockets of socket activation. Call once, before anything else opens
// files and before there are threads: what it reads is taken out of the
// environment, so that no child takes it for his. Close-on-exec is set.
Result<std::vector<InheritedSocket>> InheritedSockets();

}  // namespace postern
