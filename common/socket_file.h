// SocketFile: the file of a unix socket that this process has bound.
//
// A stale file is replaced, a live one is an Error; the folder's last part is
// made if it is missing. Mode and group are the file's from its first moment
// on: root changes nothing by its path, which whoever owns the folder could
// make another file's. Of two daemons that start on one path in the same
// instant, one gets the Error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/result.h"

namespace postern {

class SocketFile {
 public:
  struct Mode {
    uint32_t mode = 0660;
    std::string group;  // "": postfix where that group exists
    std::string owner;  // who the process will run as; "": as it is
  };

  // No file: the socket is a TCP one, or somebody else's.
  SocketFile() = default;
  // `bind` binds a socket of `type` (SOCK_STREAM, SOCK_DGRAM) to `path`, and
  // lets it listen if it is to.
  static Result<SocketFile> Make(const std::string& path, int type,
                                 const Mode& mode,
                                 const std::function<Status()>& bind);
  SocketFile(SocketFile&& other) noexcept;
  SocketFile& operator=(SocketFile&& other) noexcept;
  ~SocketFile() { Remove(); }

  // Removes the file if it is still the one made here.
  void Remove();

 private:
  std::string path_;  // "": none, or removed
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
};

}  // namespace postern
