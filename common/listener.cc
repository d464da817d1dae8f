#include "common/listener.h"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "common/log.h"

namespace postern {
namespace {

namespace asio = boost::asio;

// Survives a thousand clients that connect at once (the kernel caps it at
// net.core.somaxconn, by default the same).
constexpr int kBacklog = 4096;

// How long another daemon may take to open its socket.
constexpr int kLockTries = 100;
constexpr std::chrono::milliseconds kLockPause{10};

std::string ErrnoText() { return std::strerror(errno); }

Result<std::optional<gid_t>> GroupOf(const std::string& configured) {
  const std::string name = configured.empty() ? "postfix" : configured;
  if (const group* entry = getgrnam(name.c_str()))
    return std::optional<gid_t>(entry->gr_gid);
  if (configured.empty()) return std::optional<gid_t>();
  return Error{"policy.socket_group: there is no group '" + configured + "'"};
}

// Between another daemon's bind and its listen, its socket looks like a stale
// one; so one at a time. As long as this lives, no other daemon opens a socket
// in the folder. Best effort: who holds the lock for long is no daemon that
// starts, and shall not keep us from starting.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder)
      : fd_(open(folder.empty() ? "." : folder.c_str(),
                 O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    for (int i = 0; i < kLockTries; ++i) {
      if (fd_ < 0 || flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return;
      std::this_thread::sleep_for(kLockPause);
    }
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  int fd_;
};

// Only a refusal says that nobody does: without the right to connect, or with
// a full backlog, the socket is in use.
bool SomebodyListens(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  const int code =
      connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  const bool alive = code == 0 || errno != ECONNREFUSED;
  close(fd);
  return alive;
}

// The daemon removes the socket when it ends, and by then it is `owner`.
void GiveFolder(const std::filesystem::path& folder, const std::string& owner) {
  const passwd* account = owner.empty() ? nullptr : getpwnam(owner.c_str());
  if (account &&
      chown(folder.c_str(), account->pw_uid, static_cast<gid_t>(-1)) != 0)
    Log(LogLevel::kWarn, "folder_not_given",
        {{"folder", folder.string()}, {"reason", ErrnoText()}});
}

std::filesystem::path FolderOf(const std::string& path) {
  return std::filesystem::path(path).parent_path();
}

Status MakeFolder(const std::string& path, const std::string& owner) {
  const std::filesystem::path folder = FolderOf(path);
  if (folder.empty()) return Done{};
  if (mkdir(folder.c_str(), 0755) == 0)
    GiveFolder(folder, owner);
  else if (errno != EEXIST)
    return Error{"cannot make the folder " + folder.string() + " for socket " +
                 path + ": " + ErrnoText()};
  return Done{};
}

Status RemoveStale(const std::string& path) {
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

Status SetUnixMode(const std::string& path, const Listener::UnixMode& mode,
                   std::optional<gid_t> group) {
  if (group && chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) {
    if (!mode.group.empty())
      return Error{"cannot give " + path + " to group " + mode.group + ": " +
                   ErrnoText()};
    Log(LogLevel::kWarn, "socket_not_for_postfix",
        {{"socket", path},
         {"reason", ErrnoText()},
         {"advice",
          "start as root (run.user drops it), or set policy.socket_group"}});
  }
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

int SocketOption(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) return -1;
  return value;
}

// nullopt: no stream socket that listens on a unix path, IPv4 or IPv6.
std::optional<ListenAddress> AddressOf(int fd) {
  if (SocketOption(fd, SO_TYPE) != SOCK_STREAM ||
      SocketOption(fd, SO_ACCEPTCONN) != 1)
    return std::nullopt;
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0)
    return std::nullopt;
  ListenAddress address;
  if (name.ss_family == AF_UNIX) {
    const auto& local = reinterpret_cast<const sockaddr_un&>(name);
    const size_t length = size - offsetof(sockaddr_un, sun_path);
    address.unix_path.assign(local.sun_path, strnlen(local.sun_path, length));
    if (address.unix_path.empty()) return std::nullopt;  // abstract
  } else if (name.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
    std::memcpy(address.address.bytes.data(), &v4.sin_addr, 4);
    address.port = ntohs(v4.sin_port);
  } else if (name.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name);
    address.address.v6 = true;
    std::memcpy(address.address.bytes.data(), &v6.sin6_addr, 16);
    address.port = ntohs(v6.sin6_port);
  } else {
    return std::nullopt;
  }
  return address;
}

}  // namespace

Result<Listener> Listener::Open(asio::io_context& loop,
                                const ListenAddress& address,
                                const UnixMode& mode) {
  std::optional<gid_t> group;
  std::unique_ptr<FolderLock> lock;  // until it listens
  if (address.is_unix()) {
    auto named = GroupOf(mode.group);
    if (!named) return named.error();
    group = *named;
    const Status made = MakeFolder(address.unix_path, mode.owner);
    if (!made) return made.error();
    lock = std::make_unique<FolderLock>(FolderOf(address.unix_path));
    const Status removed = RemoveStale(address.unix_path);
    if (!removed) return removed.error();
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
    const Status set = SetUnixMode(address.unix_path, mode, group);
    if (!set) return set.error();
  }
  return Listener(std::move(acceptor), address, true);
}

Result<Listener> Listener::Adopt(asio::io_context& loop, int fd) {
  const std::string what = "inherited socket " + std::to_string(fd);
  const auto address = AddressOf(fd);
  if (!address)
    return Error{what +
                 " is not a listening stream socket, unix or TCP "
                 "(ListenStream= with Accept=no)"};
  auto acceptor = std::make_shared<Acceptor>(loop);
  boost::system::error_code error;
  acceptor->assign(EndpointOf(*address).protocol(), fd, error);
  if (error) return Error{"cannot use " + what + ": " + error.message()};
  return Listener(std::move(acceptor), *address, false);
}

Listener::Listener(std::shared_ptr<Acceptor> acceptor, ListenAddress address,
                   bool own_file)
    : acceptor_(std::move(acceptor)), address_(std::move(address)) {
  struct stat info {};
  if (own_file && address_.is_unix() &&
      lstat(address_.unix_path.c_str(), &info) == 0) {
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
  if (inode_ != 0 && lstat(address_.unix_path.c_str(), &info) == 0 &&
      info.st_dev == device_ && info.st_ino == inode_ &&
      unlink(address_.unix_path.c_str()) != 0)
    Log(LogLevel::kWarn, "socket_left_behind",
        {{"socket", address_.unix_path},
         {"reason", ErrnoText()},
         {"advice", "let its folder belong to run.user"}});
}

}  // namespace postern
