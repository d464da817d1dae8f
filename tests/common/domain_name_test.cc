#include "common/domain_name.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

const std::string kLabel63(63, 'a');
// 253 bytes: three full labels and one of 61.
const std::string kName253 =
    kLabel63 + '.' + kLabel63 + '.' + kLabel63 + '.' + std::string(61, 'b');

void Good(std::string_view in, std::string_view want) {
  EXPECT_EQ(NormalizeDomain(in), want) << in;
  EXPECT_TRUE(IsNormalDomain(want)) << want;
  EXPECT_EQ(NormalizeDomain(want), want) << "normalizing twice";
}

void Bad(std::string_view in, const char* why) {
  EXPECT_EQ(NormalizeDomain(in), std::nullopt) << in << ": " << why;
}

TEST(NormalizeDomain, FoldsCaseAndDropsOneTrailingDot) {
  Good("example.com", "example.com");
  Good("Example.COM", "example.com");
  Good("example.com.", "example.com");
  Good("localhost", "localhost");
}

TEST(NormalizeDomain, TakesWhatMailHostsAreCalled) {
  Good("mx_1.example.com", "mx_1.example.com");
  Good("_dmarc.example.com", "_dmarc.example.com");
  Good("1.example.com", "1.example.com");
  Good("123.456.example", "123.456.example");
  Good("a--b.example", "a--b.example");
  Good("1a", "1a");
}

TEST(NormalizeDomain, TurnsULabelsIntoALabels) {
  Good(
      "b\xc3\xbc"
      "cher.example",
      "xn--bcher-kva.example");
  Good(
      "B\xc3\x9c"
      "CHER.Example.",
      "xn--bcher-kva.example");
  Good("\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88",
       "xn--r8jz45g.xn--zckzah");
  Good("xn--bcher-kva.example", "xn--bcher-kva.example");
  // IDNA 2008: sharp s stays itself.
  Good("fa\xc3\x9f.example", "xn--fa-hia.example");
  // An ideographic full stop separates labels.
  Good(
      "a\xe3\x80\x82"
      "example",
      "a.example");
}

TEST(NormalizeDomain, KnowsTheLimits) {
  Good(kLabel63 + ".example", kLabel63 + ".example");
  Bad(kLabel63 + "a.example", "a label of 64 bytes");
  ASSERT_EQ(kName253.size(), 253u);
  Good(kName253, kName253);
  Good(kName253 + ".", kName253);
  Bad(kName253 + "b", "254 bytes");
}

TEST(NormalizeDomain, RefusesWhatIsNoName) {
  Bad("", "empty");
  Bad(".", "the root");
  Bad("..", "empty label");
  Bad("a..b", "empty label");
  Bad(".example.com", "empty label");
  Bad("example.com..", "two trailing dots");
  Bad("-a.example", "hyphen first");
  Bad("a-.example", "hyphen last");
  Bad("a b.example", "blank");
  Bad("a,b", "comma");
  Bad("a:b", "colon");
  Bad("a/b", "slash");
  Bad("*.example.com", "wildcard");
  Bad("a@b", "at");
  Bad("a\\b", "backslash");
  Bad("a{b}", "braces");
  Bad("a\nb", "line break");
  Bad("a\x7f", "control");
  Bad(std::string_view("a\0b", 3), "NUL");
  Bad(std::string_view("b\xc3\xbc\0.example", 12), "NUL in a U-label");
}

TEST(NormalizeDomain, RefusesAddresses) {
  Bad("192.0.2.1", "IPv4 address");
  Bad("1.2.3", "the last label is all digits");
  Bad("example.25", "the last label is all digits");
  Bad("12", "the last label is all digits");
  Bad("2001:db8::1", "IPv6 address");
  Bad("[192.0.2.1]", "address literal");
  // Full-width digits fold into an address.
  Bad("\xef\xbc\x91.2.3.4", "IPv4 address in disguise");
}

TEST(NormalizeDomain, RefusesBadUtf8AndBadULabels) {
  Bad("a\xff.example", "no UTF-8");
  Bad("\xc3.example", "cut UTF-8");
  Bad("\xe2\x80\x8b.example", "nothing but a zero-width space");
  Bad("-\xc3\xbc.example", "hyphen first");
  Bad("\xcc\x81"
      "a.example",
      "a combining mark first");
}

TEST(IsNormalDomain, WantsTheInsideForm) {
  EXPECT_TRUE(IsNormalDomain("mx.example.com"));
  EXPECT_FALSE(IsNormalDomain("MX.example.com"));
  EXPECT_FALSE(IsNormalDomain("mx.example.com."));
  EXPECT_FALSE(
      IsNormalDomain("b\xc3\xbc"
                     "cher.example"));
}

}  // namespace
}  // namespace postern
