#include "common/datagram_socket.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <sys/socket.h>
#include <sys/un.h>

namespace postern {

Result<DatagramSocket> DatagramSocket::Open(const std::string& path,
                                            const SocketFile::Mode& mode) {
  const std::string doing = "cannot receive at unix:" + path + ": ";
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path)
    return Error{doing + "the path is longer than 107 bytes"};
  path.copy(name.sun_path, path.size());
  FileDescriptor fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return Error{doing + std::strerror(errno)};
  const auto bind_it = [&]() -> Status {
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) ==
        0)
      return Done{};
    return Error{doing + std::strerror(errno) +
                 " (does the folder exist, may I write?)"};
  };
  auto file = SocketFile::Make(path, SOCK_DGRAM, mode, bind_it);
  if (!file) return file.error();
  return DatagramSocket(std::move(fd), path, std::move(*file), false);
}

Result<DatagramSocket> DatagramSocket::Adopt(int fd) {
  sockaddr_un name{};
  socklen_t size = sizeof name;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0 ||
      name.sun_family != AF_UNIX || size <= offsetof(sockaddr_un, sun_path) ||
      name.sun_path[0] == '\0')
    return Error{"inherited socket " + std::to_string(fd) +
                 " is no unix datagram socket with a path (ListenDatagram=)"};
  const size_t length = size - offsetof(sockaddr_un, sun_path);
  const std::string path(name.sun_path, strnlen(name.sun_path, length));
  return DatagramSocket(FileDescriptor(fd), path, SocketFile(), true);
}

}  // namespace postern
