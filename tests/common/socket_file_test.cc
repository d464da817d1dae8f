// Sockets in folders of others: whoever owns the folder may put anything in the
// socket's place at any time, and must gain nothing by it.
#include "common/socket_file.h"

#include <cerrno>
#include <cstring>
#include <optional>

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/file_descriptor.h"
#include "common/privileges.h"

#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

struct stat StateOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path << std::strerror(errno);
  return info;
}

class SocketFileTest : public testing::Test {
 protected:
  Status Bind() {
    fd_ = FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path_.copy(name.sun_path, sizeof name.sun_path - 1);
    if (bind(fd_.get(), reinterpret_cast<const sockaddr*>(&name),
             sizeof name) != 0 ||
        listen(fd_.get(), 1) != 0)
      return Error{std::strerror(errno)};
    return Done{};
  }

  Result<SocketFile> Make(const std::function<Status()>& then) {
    SocketFile::Mode mode;
    mode.mode = 0620;
    mode.group = group_;
    return SocketFile::Make(path_, SOCK_STREAM, mode, [&]() -> Status {
      const Status bound = Bind();
      return bound ? then() : bound;
    });
  }

  // Another's that this process may choose, else its own.
  static std::string AGroup() {
    const group* entry = geteuid() == 0 ? getgrnam("nogroup") : nullptr;
    if (!entry) entry = getgrgid(getegid());
    return entry->gr_name;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.PathOf("policy.sock");
  const std::string group_ = AGroup();
  const gid_t gid_ = getgrnam(group_.c_str())->gr_gid;
  FileDescriptor fd_;
};

TEST_F(SocketFileTest, HasItsModeAndGroupWhenItAppears) {
  std::optional<struct stat> appeared;
  const auto file = Make([&]() -> Status {
    appeared = StateOf(path_);
    return Done{};
  });
  ASSERT_TRUE(file) << file.error().message;
  for (const struct stat& info : {*appeared, StateOf(path_)}) {
    EXPECT_EQ(info.st_mode, mode_t{S_IFSOCK | 0620});
    EXPECT_EQ(info.st_gid, gid_);
  }
  const auto made = folder_.Write("made later", "");
  EXPECT_EQ(StateOf(made).st_gid, getegid()) << "the group was for the socket";
}

// As the folder's owner could, between two steps of ours.
TEST_F(SocketFileTest, GivesNothingThatTakesItsPlace) {
  struct Swap {
    const char* name;
    int (*put)(const char* victim, const char* path);
  };
  for (const Swap& swap :
       {Swap{"a symbolic link", symlink}, Swap{"a hard link", link},
        Swap{"another file", rename}}) {
    const std::string victim = folder_.Write("victim", "secret");
    ASSERT_EQ(chmod(victim.c_str(), 0600), 0);
    const auto before = StateOf(victim);
    const auto file = Make([&]() -> Status {
      EXPECT_EQ(unlink(path_.c_str()), 0);
      EXPECT_EQ(swap.put(victim.c_str(), path_.c_str()), 0);
      return Done{};
    });
    EXPECT_FALSE(file) << swap.name;
    const auto after =
        StateOf(access(victim.c_str(), F_OK) == 0 ? victim : path_);
    EXPECT_EQ(after.st_mode, before.st_mode) << swap.name;
    EXPECT_EQ(after.st_gid, before.st_gid) << swap.name;
    EXPECT_EQ(after.st_uid, before.st_uid) << swap.name;
    unlink(path_.c_str());
    unlink(victim.c_str());
  }
}

TEST_F(SocketFileTest, GivesAFolderThatItMakesAndNoOther) {
  const passwd* nobody = getpwnam("nobody");
  if (geteuid() != 0 || !nobody) GTEST_SKIP() << "needs root";
  const std::string made = folder_.PathOf("made"),
                    there = folder_.PathOf("dir"),
                    linked = folder_.PathOf("link");
  ASSERT_EQ(mkdir(there.c_str(), 0700), 0);
  ASSERT_EQ(symlink(there.c_str(), linked.c_str()), 0);
  for (const std::string& path : {made, there, linked})
    EXPECT_TRUE(PrepareFolder(path, "nobody", "", 0700)) << path;
  EXPECT_EQ(StateOf(made).st_uid, nobody->pw_uid);
  EXPECT_EQ(StateOf(made).st_mode, mode_t{S_IFDIR | 0700});
  EXPECT_EQ(StateOf(there).st_uid, 0u);
  EXPECT_EQ(StateOf(linked).st_uid, 0u);
}

}  // namespace
}  // namespace postern
