#include "common/listener.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
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

Status PrepareUnixPath(const std::string& path, const std::string& owner) {
  const std::filesystem::path folder =
      std::filesystem::path(path).parent_path();
  if (!folder.empty() && mkdir(folder.c_str(), 0755) == 0)
    GiveFolder(folder, owner);
  else if (!folder.empty() && errno != EEXIST)
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

}  // namespace

Result<Listener> Listener::Open(asio::io_context& loop,
                                const ListenAddress& address,
                                const UnixMode& mode) {
  std::optional<gid_t> group;
  if (address.is_unix()) {
    auto named = GroupOf(mode.group);
    if (!named) return named.error();
    group = *named;
    const Status prepared = PrepareUnixPath(address.unix_path, mode.owner);
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
    const Status set = SetUnixMode(address.unix_path, mode, group);
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
      info.st_dev == device_ && info.st_ino == inode_ &&
      unlink(address_.unix_path.c_str()) != 0)
    Log(LogLevel::kWarn, "socket_left_behind",
        {{"socket", address_.unix_path},
         {"reason", ErrnoText()},
         {"advice", "let its folder belong to run.user"}});
}

}  // namespace postern
