// Changes main.cf and master.cf by postconf(1), and has Postfix take it up.
#pragma once

#include <string>
#include <vector>

#include "policy-daemon/wiring.h"

namespace postern {

// All of them or none: what was done is undone where one fails, and what
// Postfix then reads is compared. The Error says what is there now.
//
// A service is there before the settings that need it, and goes after them.
Status MakeChanges(const std::vector<Change>& changes);

// As a command for a shell: postconf -e 'smtp_tls_loglevel = 1'.
std::string CommandFor(const Change& change);

enum class Reloaded { kYes, kNotRunning };
// "postfix reload" of this instance, where it runs.
Result<Reloaded> ReloadPostfix(const PostfixSettings& postfix);

}  // namespace postern
