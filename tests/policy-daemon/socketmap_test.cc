#include "policy-daemon/socketmap.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using State = NetstringParse::State;

// A whole netstring, also with more bytes behind it and cut anywhere.
void Good(std::string_view in, std::string_view payload) {
  const std::string pipelined = std::string(in) + "7:";
  for (const std::string_view bytes : {in, std::string_view(pipelined)}) {
    const auto parsed = ParseNetstring(bytes);
    ASSERT_EQ(parsed.state, State::kComplete) << bytes;
    EXPECT_EQ(parsed.payload, payload);
    EXPECT_EQ(parsed.consumed, in.size());
  }
  for (size_t cut = 0; cut < in.size(); ++cut)
    EXPECT_EQ(ParseNetstring(in.substr(0, cut)).state, State::kIncomplete)
        << in.substr(0, cut);
}

void Bad(std::string_view in, const char* why) {
  EXPECT_EQ(ParseNetstring(in).state, State::kMalformed)
      << in.substr(0, 40) << ": " << why;
}

TEST(Netstring, IsLengthColonBytesComma) {
  Good("0:,", "");
  Good("1:a,", "a");
  Good("18:policy example.com,", "policy example.com");
  Good("3:,:,,", ",:,");
  Good(std::string_view("3:\0\n\xff,", 6), std::string_view("\0\n\xff", 3));
}

TEST(Netstring, HoldsUpTo10240Bytes) {
  const std::string largest(10240, 'x');
  Good("10240:" + largest + ",", largest);
  Bad("10241:", "one byte too many");
  Bad("10241", "known before the colon");
  Bad("10241:" + largest + "x,", "one byte too many");
  EXPECT_EQ(EncodeNetstring(largest).size(), kMaxRequestBytes);
}

TEST(Netstring, RefusesLengthsThatOverflow) {
  Bad("4294967296:a,", "2^32");
  Bad("4294967297:a,", "1 in 32 bits");
  Bad("18446744073709551617:a,", "1 in 64 bits");
  Bad(std::string(5000, '9'), "no end of digits");
}

TEST(Netstring, RefusesBadLengths) {
  Bad(":a,", "no length");
  Bad("-1:a,", "sign");
  Bad("+1:a,", "sign");
  Bad(" 1:a,", "blank");
  Bad("1 :a,", "blank");
  Bad("1a:", "not a digit");
  Bad("0x1:a,", "not a digit");
  Bad("01:a,", "leading zero");
  Bad("00:,", "leading zero");
  Bad("00", "leading zero");
  Bad("\n1:a,", "not a digit");
  Bad("GET / HTTP/1.1\r\n", "another protocol");
  Bad(std::string_view("\0", 1), "NUL");
}

TEST(Netstring, RefusesAMissingComma) {
  Bad("1:ab", "no comma after the bytes");
  Bad("0:a", "no comma after the bytes");
  Bad("1:a;", "no comma after the bytes");
  Bad("1:a\n", "no comma after the bytes");
}

TEST(Netstring, WaitsForMore) {
  for (const char* in : {"", "1", "10240", "1:", "1:a", "18:policy "})
    EXPECT_EQ(ParseNetstring(in).state, State::kIncomplete) << in;
}

TEST(Netstring, EncodesWhatItParses) {
  EXPECT_EQ(EncodeNetstring(""), "0:,");
  EXPECT_EQ(EncodeNetstring("NOTFOUND "), "9:NOTFOUND ,");
  const std::string largest(kMaxReplyPayload, 'r');
  EXPECT_EQ(EncodeNetstring(largest), "100000:" + largest + ",");
}

TEST(SocketmapRequest, SplitsAtTheFirstBlank) {
  const auto split = [](std::string_view in, std::string_view map,
                        std::string_view key) {
    const auto request = SplitRequest(in);
    EXPECT_EQ(request.map, map) << in;
    EXPECT_EQ(request.key, key) << in;
  };
  split("policy example.com", "policy", "example.com");
  split("policy a key with blanks ", "policy", "a key with blanks ");
  split("policy  example.com", "policy", " example.com");
  split("policy ", "policy", "");
  split("policy", "policy", "");
  split(" example.com", "", "example.com");
  split("", "", "");
  split("policy\texample.com", "policy\texample.com", "");
}

}  // namespace
}  // namespace postern
