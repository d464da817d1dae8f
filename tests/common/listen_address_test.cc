#include "common/listen_address.h"

#include <vector>

#include <gtest/gtest.h>

namespace postern {
namespace {

void Good(std::string_view in, std::string_view want) {
  const auto parsed = ListenAddress::Parse(in);
  ASSERT_TRUE(parsed) << in;
  EXPECT_EQ(parsed->ToString(), want);
  EXPECT_EQ(parsed->is_unix(), in.starts_with("unix:"));
}

void Bad(std::string_view in, const char* why) {
  EXPECT_FALSE(ListenAddress::Parse(in)) << in << ": " << why;
}

TEST(ListenAddress, TakesUnixPaths) {
  Good("unix:/run/postern/policy.sock", "unix:/run/postern/policy.sock");
  Good("unix:relative", "unix:relative");
  Good("unix:/with blank:and colon", "unix:/with blank:and colon");
  Good("unix:" + std::string(107, 'p'), "unix:" + std::string(107, 'p'));
  Bad("unix:" + std::string(108, 'p'), "does not fit a socket address");
  Bad("unix:", "no path");
}

TEST(ListenAddress, TakesAddressesWithAPort) {
  Good("inet:127.0.0.1:8461", "inet:127.0.0.1:8461");
  Good("inet:[::1]:8461", "inet:[::1]:8461");
  Good("inet:localhost:8461", "inet:127.0.0.1:8461");
  Good("inet:0.0.0.0:65535", "inet:0.0.0.0:65535");
}

TEST(ListenAddress, RefusesTheRest) {
  Bad("", "empty");
  Bad("/run/postern/policy.sock", "no kind");
  Bad("tcp:127.0.0.1:8461", "unknown kind");
  Bad("UNIX:/p", "kinds are lower case, as in Postfix");
  Bad("inet:", "no address");
  Bad("inet:127.0.0.1", "no port");
  Bad("inet:127.0.0.1:", "no port");
  Bad("inet:127.0.0.1:0", "port 0");
  Bad("inet:127.0.0.1:65536", "port above 65535");
  Bad("inet:127.0.0.1:http", "a service name");
  Bad("inet:::1:8461", "IPv6 without brackets");
  Bad("inet:[::1]8461", "no colon after the bracket");
  Bad("inet:[::1", "no closing bracket");
  Bad("inet:localhost", "no port");
  Bad("inet:example.com:8461", "a name");
  Bad("inet:8461", "no address");
}

void GoodServer(std::string_view in, std::string_view want) {
  const auto parsed = AddressAndPort::Parse(in, 53);
  ASSERT_TRUE(parsed) << in;
  EXPECT_EQ(parsed->ToString(), want);
}

TEST(AddressAndPort, FillsInTheDefaultPort) {
  GoodServer("127.0.0.1", "127.0.0.1:53");
  GoodServer("127.0.0.1:5353", "127.0.0.1:5353");
  GoodServer("::1", "[::1]:53");
  GoodServer("[::1]", "[::1]:53");
  GoodServer("[::1]:5353", "[::1]:5353");
  GoodServer("2001:db8::1", "[2001:db8::1]:53");
}

TEST(AddressAndPort, RefusesTheRest) {
  for (const char* in : {"", "localhost", "127.0.0.1:", "127.0.0.1:0",
                         "127.0.0.1:65536", "127.0.0.1:53:53", "[::1]53",
                         "[::1", "::1]", "[]", "[]:53", ":53", "127.0.0.1 53"})
    EXPECT_FALSE(AddressAndPort::Parse(in, 53)) << in;
}

TEST(ListenAddress, ASocketOfAllAddressesIsReachedAtTheLoopbacks) {
  struct Case {
    const char *socket, *asked;
    bool reached;
  };
  const std::vector<Case> cases = {
      {"inet:0.0.0.0:1", "inet:127.0.0.1:1", true},
      {"inet:0.0.0.0:1", "inet:0.0.0.0:1", true},
      {"inet:[::]:1", "inet:127.0.0.1:1", true},
      {"inet:[::]:1", "inet:0.0.0.0:1", true},
      {"inet:[::]:1", "inet:[::1]:1", true},
      {"inet:192.0.2.1:1", "inet:192.0.2.1:1", true},
      {"unix:/run/s", "unix:/run/s", true},
      {"inet:0.0.0.0:1", "inet:[::1]:1", false},
      {"inet:0.0.0.0:1", "inet:127.0.0.1:2", false},
      {"inet:0.0.0.0:1", "inet:192.0.2.1:1", false},
      {"inet:192.0.2.1:1", "inet:127.0.0.1:1", false},
      {"unix:/run/s", "unix:/run/t", false}};
  for (const auto& [socket, asked, reached] : cases)
    EXPECT_EQ(
        ListenAddress::Parse(socket)->IsReachedAt(*ListenAddress::Parse(asked)),
        reached)
        << socket << " " << asked;
}

}  // namespace
}  // namespace postern
