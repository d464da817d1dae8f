// What the milter makes of names; its threads are in tests/threads.
#include <gtest/gtest.h>

#include "policy-daemon/milter.h"
#include "policy-daemon/policy_key.h"

namespace postern {
namespace {

TEST(MayBeSmtp, IsTrueForWhateverIsNotKnownForSomethingElse) {
  for (const char* transport :
       {"smtp", "relay", "SMTP", "smtp-tls", "slow", "out-2", "smtp_dane",
        "esmtp", "relay2", "locale", "virtual-smtp", "mx.example.com", "uucp2",
        // An MTA that does not tell.
        "", "x\xff"})
    EXPECT_TRUE(MayBeSmtp(transport)) << transport;
}

TEST(MayBeSmtp, IsFalseForLocalDeliveryAndPipes) {
  for (const char* transport : {"local",        "virtual",
                                "lmtp",         "error",
                                "retry",        "discard",
                                "uucp",         "maildrop",
                                "dovecot",      "cyrus",
                                "old-cyrus",    "ifmail",
                                "bsmtp",        "scalemail-backend",
                                "mailman",      "procmail",
                                "LOCAL",        "Lmtp",
                                "dovecot-lmtp", "lmtp-unix",
                                "zlmtp"})
    EXPECT_FALSE(MayBeSmtp(transport)) << transport;
}

using Names = std::vector<std::string>;

TEST(NextHops, AreKeysAsPostfixAsks) {
  EXPECT_EQ(NextHops("example.com"), Names({"example.com"}));
  EXPECT_EQ(NextHops("[mx.example.com]:587"), Names({"[mx.example.com]:587"}));
  EXPECT_EQ(NextHops("[2001:db8::1]"), Names({"[2001:db8::1]"}));
  EXPECT_EQ(NextHops("example.com:submission"),
            Names({"example.com:submission"}));
}

TEST(NextHops, MayBeSeveral) {
  EXPECT_EQ(NextHops("[a.example]:587, [b.example]"),
            Names({"[a.example]:587", "[b.example]"}));
  EXPECT_EQ(NextHops(" a,,b\tc "), Names({"a", "b", "c"}));
}

TEST(NextHops, MayBeNone) {
  for (const char* text : {"", " ", ",", ", \t"})
    EXPECT_TRUE(NextHops(text).empty()) << text;
}

TEST(NextHops, AreBounded) {
  const std::string longest(kMaxKeyLength, 'a');
  EXPECT_EQ(NextHops(longest), Names({longest}));
  EXPECT_EQ(NextHops(longest + "a, b"), Names({"b"}));
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "h" + std::to_string(i) + " ";
  EXPECT_EQ(NextHops(many).size(), 8u);
}

}  // namespace
}  // namespace postern
