// The files of Postfix's configuration directory as files: read whole, written
// durably, copied before they are changed.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

#include "common/file_descriptor.h"
#include "common/result.h"

namespace postern {

// At most `max_bytes`; more is an Error.
Result<std::string> ReadAll(int fd, size_t max_bytes);
Result<std::string> ReadFile(const std::string& path);

struct FileOwner {
  mode_t mode = 0644;
  std::optional<uid_t> user;  // nullopt: ours
  std::optional<gid_t> group;
};
Result<FileOwner> OwnerOf(const std::string& path);
Status SetOwner(const std::string& path, const FileOwner& owner);

// By way of another file that is renamed: there is the old one or the new one.
Status WriteDurably(const std::string& path, const std::string& text,
                    const FileOwner& owner);

// A copy with the same mode and owner.
Status CopyDurably(const std::string& from, const std::string& to);

// Out of the way of another: PATH.20261123T094500Z, which overwrites nothing.
// Returns that name.
Result<std::string> MoveAside(const std::string& path);

// Is gone when it returns; one that is not there is fine.
Status RemoveDurably(const std::string& path);

// Of a folder, until the descriptor is closed; an empty one: somebody else has
// it.
Result<FileDescriptor> LockFolder(const std::string& folder);

// Do two texts of main.cf, or of master.cf, say the same? Comments, blanks and
// empty lines say nothing.
bool MeanTheSame(const std::string& a, const std::string& b);

}  // namespace postern
