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
#include "common/socket_file.h"

namespace postern {

// As the kernel takes it, to listen there or to connect to it.
// REQUIRES: a unix path fits (ListenAddress::Parse sees to it).
boost::asio::generic::stream_protocol::endpoint EndpointOf(
    const ListenAddress& address);

// A listening socket; a unix socket's file goes with it (SocketFile).
class Listener {
 public:
  using Acceptor =
      boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

  static Result<Listener> Open(boost::asio::io_context& loop,
                               const ListenAddress& address,
                               const SocketFile::Mode& mode);
  // A socket that listens already (socket activation): it has its address, its
  // backlog and its mode from whoever opened it, and its file stays his. The
  // descriptor is the listener's only if this succeeds.
  static Result<Listener> Adopt(boost::asio::io_context& loop, int fd);
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  const std::shared_ptr<Acceptor>& acceptor() const { return acceptor_; }
  const ListenAddress& address() const { return address_; }

  // Closes the socket and removes its file, if it was made here: nobody new
  // gets in (an adopted one waits on for the next daemon).
  void Close();

 private:
  Listener(std::shared_ptr<Acceptor> acceptor, ListenAddress address,
           SocketFile file);

  // Shared with the coroutine that accepts from it.
  std::shared_ptr<Acceptor> acceptor_;
  ListenAddress address_;
  SocketFile file_;
};

}  // namespace postern
