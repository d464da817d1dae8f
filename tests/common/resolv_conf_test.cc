#include "common/resolv_conf.h"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

std::string ServersOf(const std::string& text) {
  const TemporaryFolder folder;
  std::string servers;
  for (const AddressAndPort& one :
       ReadResolvConf(folder.Write("resolv.conf", text)))
    servers += one.address.ToString() + " ";
  return servers;
}

TEST(ResolvConfTest, NamesTheServersInOrder) {
  EXPECT_EQ(ServersOf("# made by a machine\nsearch example\n"
                      "nameserver 127.0.0.1\nnameserver\t::1  \n"
                      "options edns0 trust-ad\n"),
            "127.0.0.1 ::1 ");
  EXPECT_EQ(ServersOf("nameserver 192.0.2.1"), "192.0.2.1 ")
      << "no newline at the end";
}

TEST(ResolvConfTest, TakesThreeAsTheCLibraryDoes) {
  EXPECT_EQ(ServersOf("nameserver 192.0.2.1\nnameserver 192.0.2.2\n"
                      "nameserver 192.0.2.3\nnameserver 192.0.2.4\n"),
            "192.0.2.1 192.0.2.2 192.0.2.3 ");
}

TEST(ResolvConfTest, PassesOverWhatIsNoServer) {
  EXPECT_EQ(ServersOf("#nameserver 192.0.2.1\n;nameserver 192.0.2.1\n"
                      "nameserver\nnameserver localhost\n"
                      "nameservers 192.0.2.1\nnameserver 192.0.2.9\n"),
            "192.0.2.9 ");
}

TEST(ResolvConfTest, AFileThatWouldNeverEndIsNotRead) {
  const TemporaryFolder folder;
  const std::string pipe = folder.PathOf("resolv.conf");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_TRUE(ReadResolvConf(pipe).empty());
  EXPECT_TRUE(ReadResolvConf(folder.path()).empty());
  EXPECT_TRUE(ReadResolvConf(folder.PathOf("none")).empty());
  EXPECT_TRUE(ReadResolvConf("/dev/zero").empty());
}

}  // namespace
}  // namespace postern
