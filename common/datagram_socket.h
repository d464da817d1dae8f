// A unix datagram socket that others send to, made here or taken over from
// systemd.
#pragma once

#include <string>

#include "common/file_descriptor.h"
#include "common/result.h"
#include "common/socket_file.h"

namespace postern {

class DatagramSocket {
 public:
  static Result<DatagramSocket> Open(const std::string& path,
                                     const SocketFile::Mode& mode);
  // A socket that is bound already (socket activation): its file and what
  // waits in it stay for the next process. The descriptor is the object's only
  // if this succeeds.
  static Result<DatagramSocket> Adopt(int fd);
  DatagramSocket(DatagramSocket&&) noexcept = default;

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  bool adopted() const { return adopted_; }

  // Nobody new finds the socket; what was sent can still be read. An adopted
  // one stays where it is.
  void Hide() { file_.Remove(); }

 private:
  DatagramSocket(FileDescriptor fd, std::string path, SocketFile file,
                 bool adopted)
      : fd_(std::move(fd)),
        path_(std::move(path)),
        file_(std::move(file)),
        adopted_(adopted) {}

  FileDescriptor fd_;
  std::string path_;
  SocketFile file_;
  bool adopted_;
};

}  // namespace postern
