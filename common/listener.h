// Listening stream sockets, unix or TCP, opened before privileges go.
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
  // (its last part alone) is made.
  static Result<Listener> Open(boost::asio::io_context& loop,
                               const ListenAddress& address,
                               const UnixMode& mode);
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  const std::shared_ptr<Acceptor>& acceptor() const { return acceptor_; }
  const ListenAddress& address() const { return address_; }

  // Closes the socket and removes its file: nobody new gets in.
  void Close();

 private:
  Listener(std::shared_ptr<Acceptor> acceptor, ListenAddress address);

  // Shared with the coroutine that accepts from it.
  std::shared_ptr<Acceptor> acceptor_;
  ListenAddress address_;
  uint64_t device_ = 0;  // of the socket file
  uint64_t inode_ = 0;
};

}  // namespace postern
