#include "common/proxy_name.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(ProxyName, IsAHostAndAPort) {
  for (const char* good :
       {"proxy.example.net:3128", "192.0.2.1:3128", "[2001:db8::1]:3128",
        "localhost:8080", "Proxy.Example.Net:1"})
    EXPECT_TRUE(ProxyName::Parse(good)) << good;
  for (const char* bad :
       {"", "proxy.example.net", "proxy:", "proxy:0", "proxy:65536",
        "proxy:http", ":3128", "2001:db8::1:3128", "[192.0.2.1]:3128",
        "http://proxy:3128", "u:p@proxy:3128", "pro xy:1", "a:b:1"})
    EXPECT_FALSE(ProxyName::Parse(bad)) << bad;
}

}  // namespace
}  // namespace postern
