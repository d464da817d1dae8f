#include "common/listener.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

namespace postern {
namespace {

namespace asio = boost::asio;

// Survives a thousand clients that connect at once (the kernel caps it at
// net.core.somaxconn).
constexpr int kBacklog = 4096;

std::string ErrnoText() { return std::strerror(errno); }

Result<std::optional<gid_t>> GroupOf(const std::string& configured) {
  const std::string name = configured.empty() ? "postfix" : configured;
  if (const group* entry = getgrnam(name.c_str()))
    return std::optional<gid_t>(entry->gr_gid);
  if (configured.empty()) return std::optional<gid_t>();
  return Error{"policy.socket_group: there is no group '" + configured + "'"};
}

bool SomebodyListens(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  const int code =
      connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  // EAGAIN: its backlog is full, so it lives.
  const bool alive = code == 0 || errno == EAGAIN;
  close(fd);
  return alive;
}

Status PrepareUnixPath(const std::string& path) {
  const std::filesystem::path folder =
      std::filesystem::path(path).parent_path();
  std::error_code ignored;
  if (!folder.empty() && mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST)
    return Error{"cannot make the folder " + folder.string() + " for socket " +
                 path + ": " + ErrnoText()};
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return Done{};
  if (!S_ISSOCK(info.st_mode))
    return Error{path +
                 " exists and is not a socket; remove it or choose "
                 "another policy.listen"};
  if (SomebodyListens(path))
    return Error{"another process already serves " + path +
                 "; stop it or choose another policy.listen"};
  // What a killed daemon has left behind.
  if (unlink(path.c_str()) != 0)
    return Error{"cannot replace the stale socket " + path + ": " +
                 ErrnoText()};
  return Done{};
}

Status SetUnixMode(const std::string& path, const Listener::UnixMode& mode) {
  const auto group = GroupOf(mode.group);
  if (!group) return group.error();
  if (*group && chown(path.c_str(), static_cast<uid_t>(-1), **group) != 0 &&
      !mode.group.empty())
    return Error{"cannot give " + path + " to group " + mode.group + ": " +
                 ErrnoText()};
  if (chmod(path.c_str(), static_cast<mode_t>(mode.mode)) != 0)
    return Error{"cannot set the mode of " + path + ": " + ErrnoText()};
  return Done{};
}

Listener::Acceptor::endpoint_type EndpointOf(const ListenAddress& listen) {
  if (listen.is_unix())
    return asio::local::stream_protocol::endpoint(listen.unix_path);
  if (listen.address.v6)
    return asio::ip::tcp::endpoint(asio::ip::address_v6(listen.address.bytes),
                                   listen.port);
  asio::ip::address_v4::bytes_type v4;
  std::copy_n(listen.address.bytes.begin(), v4.size(), v4.begin());
  return asio::ip::tcp::endpoint(asio::ip::address_v4(v4), listen.port);
}

}  // namespace

Result<Listener> Listener::Open(asio::io_context& loop,
                                const ListenAddress& address,
                                const UnixMode& mode) {
  if (address.is_unix()) {
    const Status prepared = PrepareUnixPath(address.unix_path);
    if (!prepared) return prepared.error();
  }
  auto acceptor = std::make_shared<Acceptor>(loop);
  const auto endpoint = EndpointOf(address);
  boost::system::error_code error;
  acceptor->open(endpoint.protocol(), error);
  if (!error && !address.is_unix())
    acceptor->set_option(asio::socket_base::reuse_address(true), error);
  // Nobody may connect before mode and group are right.
  const mode_t old_mask = umask(0177);
  if (!error) acceptor->bind(endpoint, error);
  umask(old_mask);
  if (!error) acceptor->listen(kBacklog, error);
  if (error)
    return Error{
        "cannot listen on " + address.ToString() + ": " + error.message() +
        (address.is_unix() ? " (does the folder exist, may I write?)" : "")};
  if (address.is_unix()) {
    const Status set = SetUnixMode(address.unix_path, mode);
    if (!set) return set.error();
  }
  return Listener(std::move(acceptor), address);
}

Listener::Listener(std::shared_ptr<Acceptor> acceptor, ListenAddress address)
    : acceptor_(std::move(acceptor)), address_(std::move(address)) {
  struct stat info {};
  if (address_.is_unix() && lstat(address_.unix_path.c_str(), &info) == 0) {
    device_ = info.st_dev;
    inode_ = info.st_ino;
  }
}

Listener::Listener(Listener&& other) noexcept
    : acceptor_(std::move(other.acceptor_)),
      address_(std::move(other.address_)),
      device_(other.device_),
      inode_(other.inode_) {}

Listener::~Listener() { Close(); }

void Listener::Close() {
  if (!acceptor_) return;
  boost::system::error_code ignored;
  acceptor_->close(ignored);
  acceptor_.reset();
  struct stat info {};
  if (address_.is_unix() && lstat(address_.unix_path.c_str(), &info) == 0 &&
      info.st_dev == device_ && info.st_ino == inode_)
    unlink(address_.unix_path.c_str());
}

}  // namespace postern
