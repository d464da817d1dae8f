#include "policy-daemon/policy_key.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

const ServicePorts kServices = {
    {"smtp", 25}, {"submission", 587}, {"submissions", 465}, {"x-25", 4025}};

std::optional<PolicyKey> Parse(std::string_view in) {
  return ParsePolicyKey(in, kServices);
}

// `want`: the key's one spelling, which parses to itself.
void Good(std::string_view in, std::string_view want) {
  const auto key = Parse(in);
  ASSERT_TRUE(key) << in;
  EXPECT_EQ(key->ToString(), want) << in;
  const auto again = Parse(key->ToString());
  ASSERT_TRUE(again) << in;
  EXPECT_EQ(again->domain, key->domain);
  EXPECT_EQ(again->port, key->port);
  EXPECT_EQ(again->is_host, key->is_host);
}

// No lookup: the answer is NOTFOUND.
void Bad(std::string_view in, const char* why) {
  EXPECT_FALSE(Parse(in)) << in << ": " << why;
}

TEST(PolicyKey, IsADomain) {
  const auto key = Parse("example.com");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->domain, "example.com");
  EXPECT_EQ(key->port, 25);
  EXPECT_FALSE(key->is_host);
}

TEST(PolicyKey, IsAHostInBrackets) {
  const auto key = Parse("[mx.example.com]:587");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->domain, "mx.example.com");
  EXPECT_EQ(key->port, 587);
  EXPECT_TRUE(key->is_host);
}

TEST(PolicyKey, ComesInAnySpelling) {
  Good("Example.COM", "example.com");
  Good("example.com.", "example.com");
  Good("EXAMPLE.com.:25", "example.com");
  Good("[MX.Example.com.]", "[mx.example.com]");
  Good(
      "B\xc3\xbc"
      "cher.example",
      "xn--bcher-kva.example");
  Good(
      "[b\xc3\xbc"
      "cher.example]:465",
      "[xn--bcher-kva.example]:465");
  Good("localhost", "localhost");
  Good("mx_1.example.com", "mx_1.example.com");
}

TEST(PolicyKey, TakesPortsAndServiceNames) {
  Good("example.com:25", "example.com");
  Good("example.com:587", "example.com:587");
  Good("example.com:submission", "example.com:587");
  Good("example.com:smtp", "example.com");
  Good("example.com:x-25", "example.com:4025");
  Good("example.com:1", "example.com:1");
  Good("example.com:65535", "example.com:65535");
  Good("[mx.example.com]:submissions", "[mx.example.com]:465");
  Good("[mx.example.com]:25", "[mx.example.com]");
}

TEST(PolicyKey, RefusesBadPorts) {
  Bad("example.com:", "no port");
  Bad("[mx.example.com]:", "no port");
  Bad("example.com:0", "port 0");
  Bad("example.com:65536", "port above 65535");
  Bad("example.com:99999999999999999999", "overflow");
  Bad("example.com:-25", "sign");
  Bad("example.com:25:25", "two ports");
  Bad("example.com:nosuchservice", "unknown service");
  Bad("example.com:SMTP", "service names are case-sensitive");
  Bad("example.com: 25", "blank");
  Bad("[mx.example.com]25", "no colon");
  Bad("[mx.example.com]x:25", "text after the bracket");
}

TEST(PolicyKey, RefusesParentKeys) {
  Bad(".example.com", "RFC 8461 section 3.4");
  Bad(".com", "RFC 8461 section 3.4");
  Bad(".", "no name");
  Bad("[.example.com]", "no name");
}

TEST(PolicyKey, RefusesAddresses) {
  Bad("192.0.2.1", "IPv4");
  Bad("192.0.2.1:25", "IPv4");
  Bad("[192.0.2.1]", "IPv4");
  Bad("[192.0.2.1]:587", "IPv4");
  Bad("2001:db8::1", "IPv6");
  Bad("::1", "IPv6");
  Bad("[2001:db8::1]", "IPv6");
  Bad("[2001:db8::1]:25", "IPv6");
  Bad("[IPv6:2001:db8::1]", "IPv6");
  Bad("[ipv6:::1]:25", "IPv6");
  Bad("192.0.2", "all digits at the end");
}

TEST(PolicyKey, RefusesWhatIsNoDestination) {
  Bad("unix:/var/run/lmtp.sock", "a socket");
  Bad("unix:private/lmtp", "a socket");
  Bad("inet:example.com:24", "a transport's endpoint");
  Bad("user@example.com", "an address");
  Bad("example.com other", "blank");
  Bad(" example.com", "blank");
  Bad("example.com\n", "line break");
  Bad("example..com", "empty label");
  Bad("*.example.com", "wildcard");
  Bad("[]", "no host");
  Bad("[mx.example.com", "no closing bracket");
  Bad("mx.example.com]", "no opening bracket");
  Bad("[[mx.example.com]]", "two brackets");
}

TEST(PolicyKey, RefusesUnixAndInetWithAPort) {
  Bad("unix:smtp", "a socket called smtp");
  Bad("unix:25", "a socket called 25");
  Bad("unIx:7", "in any case: it would be spelt unix:7");
  Bad("inet:25", "a transport's endpoint");
}

TEST(PolicyKey, RefusesEmptyBinaryAndLongKeys) {
  Bad("", "empty");
  Bad(std::string_view("example.com\0", 12), "NUL");
  Bad(std::string_view("\0", 1), "NUL");
  Bad("\xff\xfe", "no UTF-8");
  Bad(std::string(10000, 'a'), "long");

  const std::string label(63, 'a');
  const std::string name =
      label + '.' + label + '.' + label + '.' + std::string(61, 'b');
  Good("[" + name + "]", "[" + name + "]");  // 255 bytes
  Bad("[" + name + ".]", "256 bytes");
  Bad(std::string(255, 'a'), "a label over 63 bytes");
}

TEST(ServicePorts, KnowPostfixsOwnNames) {
  const ServicePorts services = LoadServicePorts();
  ASSERT_TRUE(services.contains("smtp"));
  EXPECT_EQ(services.at("smtp"), 25);
  ASSERT_TRUE(services.contains("submission"));
  EXPECT_EQ(services.at("submission"), 587);
}

}  // namespace
}  // namespace postern
