// Asks a socketmap, ours or another, as smtp(8) would: by the name that main.cf
// gives the socket, in the chroot if smtp(8) is in one, as Postfix's user.
//
// For who is about to send all mail that way: where nobody answers, all mail
// waits.
#pragma once

#include <chrono>
#include <string>

#include "common/result.h"

namespace postern {

struct PostfixQuestion {
  std::string socket;   // "unix:postern/policy.sock", "inet:127.0.0.1:8461"
  std::string map;      // "policy"
  bool is_ours = true;  // what is wrong comes with advice about our daemon
  std::string queue_directory;
  std::string inet_protocols = "all";  // as in main.cf
  std::string user;  // Postfix's mail_owner; "": stay as we are
  bool chrooted = false;
  std::chrono::seconds patience{10};
};

// Any reply will do that is one of a socketmap. The Error says what is in the
// way. Forks: no other thread may run. It asks for a key that needs no lookup.
Status AskAsPostfix(const PostfixQuestion& question);

}  // namespace postern
