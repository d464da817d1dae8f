// Listening stream sockets, unix or TCP, opened before privileges go or taken
// over from systemd.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include "common/listen_address.h"
#include "common/result.h"

namespace postern {

// A listening socket; a unix socket's file goes with it (only if it is still
// the one made here).
class Listener {
 public:
  using Acceptor =
      boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

  struct UnixMode {
    uint32_t mode = 0660;
    std::string group;  // "": postfix where that group exists
    std::string owner;  // who the process will run as; "": as it is
  };

  // A stale socket file is replaced, a live one is an Error. A missing folder
  // (its last part alone) is made. Of two daemons that start on one path in
  // the same instant, one gets the Error.
  static Result<Listener> Open(boost::asio::io_context& loop,
                               const ListenAddress& address,
                               const UnixMode& mode);
  // A socket that listens already (socket activation): it has its address, its
  // backlog and its mode from whoever opened it, and its file stays his. The
  // descriptor is the listener's only if this succeeds.
  static Result<Listener> Adopt(boost::asio::io_context& loop, int fd);
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  const std::shared_ptr<Acceptor>& acceptor() const { return acceptor_; }
  const ListenAddress& address() const { return address_; }

  // Closes the socket and removes its file, if it was made here: nobody new
  // gets in (an adopted one waits on for the next daemon).
  void Close();

 private:
  // `own_file`: the socket's file was made here, and goes with it.
  Listener(std::shared_ptr<Acceptor> acceptor, ListenAddress address,
           bool own_file);

  // Shared with the coroutine that accepts from it.
  std::shared_ptr<Acceptor> acceptor_;
  ListenAddress address_;
  uint64_t device_ = 0;  // of the socket file, if it is ours
  uint64_t inode_ = 0;
};

}  // namespace postern
