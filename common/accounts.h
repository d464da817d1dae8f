// Who runs as whom: as which user each program and each command meets what
// strangers send, where root has started it.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/options.h"
#include "common/result.h"

namespace postern {

// Names, as BecomeUser takes them.
struct Account {
  std::string user;   // "": as started
  std::string group;  // "": the user's own

  friend bool operator==(const Account&, const Account&) = default;
};

// Of postern-report: report.user. Without it, postern-report where run.user is
// set and there is such a user, so that the two programs are kept apart
// wherever they can be; else run.user.
Account ReportAccount(const Options& options);

// Of a command of the daemon that runs as `account`: the same. Where that is
// not set, who owns `folder`, which the command reads; where there is no such
// folder, nobody. Who is not root stays as started.
Account CommandAccount(const Account& account, const std::string& folder);

// CommandAccount of postern-policy's commands: run.user, or who owns
// cache.directory.
Account PolicyCommandAccount(const Options& options);

// An Error says who does not exist, or cannot be become.
Status Become(const Account& account);

// What `work` returns, done by a child process as `account`: for who has to
// stay root otherwise. Blocks. An Error: it could not become that, was not done
// in time, said more than 64 KiB, or died. Forks: no other thread may run.
Result<std::string> DoneAs(const Account& account,
                           std::chrono::seconds patience,
                           const std::function<std::string()>& work);

}  // namespace postern
