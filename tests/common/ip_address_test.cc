#include "common/ip_address.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

IpAddress Address(std::string_view text) {
  const auto address = IpAddress::Parse(text);
  EXPECT_TRUE(address) << text;
  return address.value_or(IpAddress{});
}

TEST(IpAddress, ParsesBothFamilies) {
  const auto good = [](std::string_view in, std::string_view want, bool v6) {
    const auto address = IpAddress::Parse(in);
    ASSERT_TRUE(address) << in;
    EXPECT_EQ(address->ToString(), want);
    EXPECT_EQ(address->v6, v6) << in;
  };
  good("192.0.2.1", "192.0.2.1", false);
  good("255.255.255.255", "255.255.255.255", false);
  good("2001:db8::1", "2001:db8::1", true);
  good("2001:DB8:0:0:0:0:0:1", "2001:db8::1", true);
  good("::", "::", true);
  good("::ffff:192.0.2.1", "::ffff:192.0.2.1", true);
}

TEST(IpAddress, RefusesTheRest) {
  const auto bad = [](std::string_view in, const char* why) {
    EXPECT_FALSE(IpAddress::Parse(in)) << in << ": " << why;
  };
  bad("", "empty");
  bad("192.0.2", "three parts");
  bad("192.0.2.256", "part above 255");
  bad("192.0.02.1", "leading zero");
  bad("0x7f.0.0.1", "hexadecimal");
  bad("2130706433", "one number");
  bad(" 192.0.2.1", "blank");
  bad("192.0.2.1 ", "blank");
  bad("[::1]", "brackets");
  bad("fe80::1%eth0", "zone");
  bad("1::2::3", "two gaps");
  bad("12345::", "group above ffff");
  bad(std::string_view("192.0.2.1\0", 10), "NUL");
}

TEST(IpAddress, KnowsLoopback) {
  for (const char* in : {"127.0.0.1", "127.255.255.254", "::1"})
    EXPECT_TRUE(Address(in).IsLoopback()) << in;
  for (const char* in : {"128.0.0.1", "126.255.255.255", "::", "::2"})
    EXPECT_FALSE(Address(in).IsLoopback()) << in;
}

TEST(IpPrefix, HoldsItsAddresses) {
  const auto holds = [](std::string_view prefix, std::string_view address) {
    const auto parsed = IpPrefix::Parse(prefix);
    EXPECT_TRUE(parsed) << prefix;
    return parsed && parsed->Contains(Address(address));
  };
  EXPECT_TRUE(holds("192.0.2.0/24", "192.0.2.255"));
  EXPECT_FALSE(holds("192.0.2.0/24", "192.0.3.0"));
  EXPECT_TRUE(holds("192.0.2.77/24", "192.0.2.1")) << "host bits are ignored";
  EXPECT_TRUE(holds("10.128.0.0/9", "10.255.0.1"));
  EXPECT_FALSE(holds("10.128.0.0/9", "10.127.255.255"));
  EXPECT_TRUE(holds("0.0.0.0/0", "203.0.113.9"));
  EXPECT_FALSE(holds("0.0.0.0/0", "::1")) << "another family";
  EXPECT_FALSE(holds("192.0.2.0/24", "::ffff:192.0.2.1")) << "another family";
  EXPECT_TRUE(holds("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(holds("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_TRUE(holds("::/0", "2001:db8::1"));
}

TEST(IpPrefix, OfABareAddressIsThatAddress) {
  const auto v4 = IpPrefix::Parse("192.0.2.1");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->length, 32);
  EXPECT_TRUE(v4->Contains(Address("192.0.2.1")));
  EXPECT_FALSE(v4->Contains(Address("192.0.2.0")));
  const auto v6 = IpPrefix::Parse("2001:db8::1");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->length, 128);
  EXPECT_TRUE(v6->Contains(Address("2001:db8::1")));
  EXPECT_FALSE(v6->Contains(Address("2001:db8::")));
}

TEST(IpPrefix, RefusesTheRest) {
  for (const char* in :
       {"", "/", "/24", "192.0.2.0/", "192.0.2.0/33", "2001:db8::/129",
        "192.0.2.0/-1", "192.0.2.0/8/8", "192.0.2.0/ 8", "192.0.2/24",
        "example.com/24", "192.0.2.0/255.255.255.0"})
    EXPECT_FALSE(IpPrefix::Parse(in)) << in;
}

TEST(IsGlobal, IsTrueForHostsOnTheInternet) {
  for (const char* in : {"1.1.1.1",
                         "8.8.8.8",
                         "9.255.255.255",
                         "11.0.0.0",
                         "100.63.255.255",
                         "100.128.0.0",
                         "126.255.255.255",
                         "128.0.0.0",
                         "169.253.255.255",
                         "169.255.0.0",
                         "172.15.255.255",
                         "172.32.0.0",
                         "192.0.1.0",
                         "192.0.3.0",
                         "192.167.255.255",
                         "192.169.0.0",
                         "198.17.255.255",
                         "198.20.0.0",
                         "198.51.99.255",
                         "203.0.112.255",
                         "223.255.255.255",
                         "2600::1",
                         "2a00:1450:4001:800::1",
                         "2001:200::1",
                         "2001:4860::8888",
                         "2001:db7:ffff::1",
                         "2001:db9::1"})
    EXPECT_TRUE(IsGlobal(Address(in))) << in;
}

TEST(IsGlobal, IsFalseForSpecialIpv4) {
  for (const char* in :
       {"0.0.0.0",     "0.1.2.3",         "10.0.0.1",     "10.255.255.255",
        "100.64.0.0",  "100.127.255.255", "127.0.0.1",    "127.255.255.255",
        "169.254.0.1", "169.254.169.254", "172.16.0.0",   "172.31.255.255",
        "192.0.0.1",   "192.0.2.1",       "192.88.99.1",  "192.168.0.1",
        "198.18.0.0",  "198.19.255.255",  "198.51.100.1", "203.0.113.1",
        "224.0.0.1",   "239.255.255.255", "240.0.0.1",    "255.255.255.255"})
    EXPECT_FALSE(IsGlobal(Address(in))) << in;
}

TEST(IsGlobal, IsFalseForSpecialIpv6) {
  for (const char* in :
       {"::", "::1", "::192.0.2.1", "64:ff9b:1::1", "100::1", "2001::1",
        "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "3fff::1",
        "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "febf::1",
        "ff02::1", "ff0e::1"})
    EXPECT_FALSE(IsGlobal(Address(in))) << in;
}

TEST(IsGlobal, JudgesAnEmbeddedIpv4AddressByItself) {
  for (const char* in :
       {"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1", "64:ff9b::192.168.1.1", "2002:7f00:1::1",
        "2002:c0a8:101::", "2002:a9fe:a9fe::1"})
    EXPECT_FALSE(IsGlobal(Address(in))) << in;
  for (const char* in :
       {"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"})
    EXPECT_TRUE(IsGlobal(Address(in))) << in;
}

TEST(IsGlobal, IsFalseForReservedIpv6) {
  // Of IPv6 only 2000::/3 is given out (RFC 4291 section 2.4 and IANA).
  for (const char* in :
       {"::ffff:0:127.0.0.1", "::1:0:0:1", "100:1::1", "200::1", "400::1",
        "1000::1", "4000::1", "8000::1", "e000::1", "f000::1"})
    EXPECT_FALSE(IsGlobal(Address(in))) << in;
}

TEST(AddressFilter, AllowsGlobalAddressesByDefault) {
  const AddressFilter filter;
  EXPECT_TRUE(filter.Allows(Address("8.8.8.8")));
  EXPECT_FALSE(filter.Allows(Address("127.0.0.1")));
  EXPECT_FALSE(filter.Allows(Address("::1")));
}

TEST(AddressFilter, AllowsWhatIsListedBesides) {
  AddressFilter filter;
  filter.allowed = {*IpPrefix::Parse("192.0.2.0/24")};
  EXPECT_TRUE(filter.Allows(Address("192.0.2.5")));
  EXPECT_TRUE(filter.Allows(Address("8.8.8.8")));
  EXPECT_FALSE(filter.Allows(Address("10.0.0.1")));
  EXPECT_FALSE(filter.Allows(Address("::ffff:192.0.2.5")));
}

TEST(AddressFilter, AllowsEverythingWhereTold) {
  AddressFilter filter;
  filter.allow_all = true;
  EXPECT_TRUE(filter.Allows(Address("127.0.0.1")));
}

}  // namespace
}  // namespace postern
