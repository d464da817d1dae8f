// Becoming an ordinary user, and room for many connections.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"

namespace postern {

// Switches to `user` and `group` for good, with the user's further groups.
// "" for user: stay as started.
Status BecomeUser(const std::string& user, const std::string& group);

// Makes the folder if it is missing (its last part alone), for `user` and
// `group` as above. One that exists stays as it is; no link is followed.
Status PrepareFolder(const std::string& path, const std::string& user,
                     const std::string& group, uint32_t mode = 0750);

// Raises the limit of open files to at least `wanted` if the system lets us;
// returns what we have.
uint64_t RaiseOpenFiles(uint64_t wanted);

}  // namespace postern
