// A Postfix's settings, made up for a test.
#pragma once

#include <string>

#include "common/options.h"

#include "policy-daemon/wiring.h"

namespace postern {

inline constexpr char kInQueue[] =
    "unix:/var/spool/postfix/postern/policy.sock";

struct PostfixFixture {
  PostfixSettings settings;

  void Set(const std::string& name, const std::string& value);
  void Unset(const std::string& name);
  // `override`: "smtp_x = y" of its -o, if that matters.
  void AddService(const std::string& line, const std::string& override = "");
  // The field of smtp/unix.
  void Chroot(const std::string& value);
  void Make(const Change& change);
};

// Debian's, as it is installed.
PostfixFixture Fresh(const std::string& version);
// One that needs no change to ask us at kInQueue.
PostfixFixture Ready(const std::string& version = "3.10.13");

Options Listening(const std::string& on);
Options Receiving(const std::string& path);
Options ReadingLog();

}  // namespace postern
