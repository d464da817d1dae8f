#include "common/dns_wire.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

std::string Encoded(const std::string& name) {
  return EncodeDnsQuery({.name = name}).value_or("");
}

TEST(DnsWireTest, AQuestionIsWrittenByteByByte) {
  const std::string opt_without("\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);
  EXPECT_EQ(Encoded("a.example"),
            std::string("\0\0\x01\x20\0\1\0\0\0\0\0\1", 12) +
                std::string("\1a\7example\0\0\1\0\1", 15) + opt_without);
  const auto bogus_too =
      EncodeDnsQuery({".", DnsType::kSoa, /*unchecked=*/true, false});
  EXPECT_EQ(*bogus_too, std::string("\0\0\x01\x10\0\1\0\0\0\0\0\1", 12) +
                            std::string("\0\0\6\0\1", 5) + opt_without);
  const auto with_proofs = EncodeDnsQuery({".", DnsType::kSoa, false, true});
  EXPECT_EQ(with_proofs->substr(17),
            std::string("\0\0\x29\x04\xd0\0\0\x80\0\0\0", 11));
}

TEST(DnsWireTest, NamesThatDnsHas) {
  const std::string label(63, 'a');
  const std::string longest =
      label + "." + label + "." + label + "." + std::string(61, 'b');
  for (const std::string& name :
       {std::string("."), std::string("com"),
        std::string("_25._tcp.mx.example"), label + ".example", longest,
        std::string("a\\046b.example"), std::string("\\000.example"),
        std::string("\\255")})
    EXPECT_NE(Encoded(name), "") << name;
  EXPECT_EQ(Encoded("\\046").substr(12, 3), std::string("\1.\0", 3));
}

TEST(DnsWireTest, NamesThatDnsHasNot) {
  const std::string label(63, 'a');
  for (const std::string& name :
       {std::string("a..b"), std::string(".a"), std::string("a."),
        std::string(64, 'a'),
        label + "." + label + "." + label + "." + std::string(62, 'b'),
        std::string("\\"), std::string("\\1"), std::string("\\12x"),
        std::string("\\256")})
    EXPECT_EQ(Encoded(name), "") << name;
}

TEST(DnsWireTest, OnlyTheReplyToTheQuestionIsOne) {
  const std::string query = Encoded("a.example");
  std::string reply = query;
  reply[2] = '\x81';
  EXPECT_TRUE(IsReplyTo(query, reply));
  reply[13] = 'A';
  EXPECT_TRUE(IsReplyTo(query, reply)) << "in whatever letter case";
  EXPECT_FALSE(IsReplyTo(query, query)) << "the question itself";
  const size_t changes[] = {0, 1, 5, 12, 13, 15, 23, 24, 25, 26};
  for (const size_t at : changes) {
    std::string other = reply;
    other[at] = static_cast<char>(other[at] ^ 0x15);
    EXPECT_FALSE(IsReplyTo(query, other)) << "byte " << at;
  }
  for (size_t size = 0; size < 27; ++size)
    EXPECT_FALSE(IsReplyTo(query, reply.substr(0, size))) << size;
}

TEST(DnsWireTest, AnErrorNeedsNoQuestion) {
  const std::string query = Encoded("a.example");
  std::string reply("\0\0\x81\x05\0\0\0\0\0\0\0\0", 12);
  EXPECT_TRUE(IsReplyTo(query, reply));
  reply[3] = 0;
  EXPECT_FALSE(IsReplyTo(query, reply));
}

}  // namespace
}  // namespace postern
