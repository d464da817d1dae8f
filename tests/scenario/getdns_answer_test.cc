// From DNS messages on the wire, by getdns's own reader, to answers.
#include "common/getdns_answer.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace postern {
namespace {

constexpr int kServFail = 2;
constexpr int kNxDomain = 3;

std::string Name(const std::string& text) {
  std::string wire;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('.', at), text.size());
    wire += static_cast<char>(end - at);
    wire += text.substr(at, end - at);
    at = end + 1;
  }
  return wire + '\0';
}

std::string Number(unsigned value, int bytes) {
  std::string wire;
  while (bytes-- > 0) wire += static_cast<char>(value >> (8 * bytes));
  return wire;
}

std::string Text(const std::string& string) {
  return static_cast<char>(string.size()) + string;
}

// A DNS message, written down record by record.
class Message {
 public:
  Message& Rcode(int code) { return rcode_ = code, *this; }
  Message& Ad() { return ad_ = true, *this; }
  Message& Tc() { return tc_ = true, *this; }
  Message& A(const std::string& owner, const std::string& bytes, int ttl) {
    return Add(owner, DnsType::kA, bytes, ttl);
  }
  Message& Cname(const std::string& owner, const std::string& target,
                 int ttl = 300) {
    return Add(owner, DnsType::kCname, Name(target), ttl);
  }
  Message& Mx(const std::string& owner, unsigned preference,
              const std::string& exchange, int ttl = 300) {
    return Add(owner, DnsType::kMx, Number(preference, 2) + Name(exchange),
               ttl);
  }
  Message& Add(const std::string& owner, DnsType type, const std::string& rdata,
               int ttl) {
    answer_ += Record(owner, type, rdata, ttl);
    ++answers_;
    return *this;
  }
  Message& Soa(const std::string& owner, int ttl, unsigned minimum) {
    authority_ += Record(owner, DnsType::kSoa,
                         Name("ns.example") + Name("root.example") +
                             Number(1, 4) + Number(2, 4) + Number(3, 4) +
                             Number(4, 4) + Number(minimum, 4),
                         ttl);
    ++authorities_;
    return *this;
  }

  // Answers another question than it is read for.
  Message& AskedFor(const std::string& name) { return asked_ = name, *this; }

  DnsAnswer Read(const std::string& name, DnsType type,
                 bool trusted = true) const {
    const unsigned flags = 0x8180u | (ad_ ? 0x20u : 0u) | (tc_ ? 0x200u : 0u) |
                           static_cast<unsigned>(rcode_);
    const std::string wire = Number(1, 2) + Number(flags, 2) + Number(1, 2) +
                             Number(answers_, 2) + Number(authorities_, 2) +
                             Number(0, 2) +
                             Name(asked_.empty() ? name : asked_) +
                             Number(static_cast<unsigned>(type), 2) +
                             Number(1, 2) + answer_ + authority_;
    return ReadDnsMessage(wire, name, type, trusted);
  }

 private:
  static std::string Record(const std::string& owner, DnsType type,
                            const std::string& rdata, int ttl) {
    return Name(owner) + Number(static_cast<unsigned>(type), 2) + Number(1, 2) +
           Number(static_cast<unsigned>(ttl), 4) +
           Number(static_cast<unsigned>(rdata.size()), 2) + rdata;
  }

  int rcode_ = 0;
  bool ad_ = false;
  bool tc_ = false;
  std::string asked_;
  unsigned answers_ = 0;
  unsigned authorities_ = 0;
  std::string answer_;
  std::string authority_;
};

using Kind = DnsAnswer::Kind;
const std::string kAddress("\xc6\x33\x64\x01", 4);  // 198.51.100.1

// --- Malformed is failed, never "no record" (RFC 7672 section 2.1.1).

TEST(MalformedAnswerTest, AnAnswerToAnotherQuestionIsFailed) {
  EXPECT_TRUE(Message()
                  .AskedFor("other.example")
                  .Soa("example", 300, 60)
                  .Read("a.example", DnsType::kMx)
                  .failed());
}

TEST(MalformedAnswerTest, ARecordOfTheWrongLengthIsFailed) {
  EXPECT_TRUE(Message()
                  .Add("a.example", DnsType::kA, "\1\2\3", 300)
                  .Read("a.example", DnsType::kA)
                  .failed());
}

TEST(MalformedAnswerTest, AnMxRecordWithoutAHostIsFailed) {
  EXPECT_TRUE(Message()
                  .Add("a.example", DnsType::kMx, Number(10, 1), 300)
                  .Read("a.example", DnsType::kMx)
                  .failed());
}

// --- Names.

std::string Convert(const std::string& wire) {
  return WireNameToText(reinterpret_cast<const uint8_t*>(wire.data()),
                        wire.size());
}

TEST(WireNameTest, GoodNames) {
  EXPECT_EQ(Convert(std::string(1, '\0')), "");
  EXPECT_EQ(Convert(Name("example.com")), "example.com");
  EXPECT_EQ(Convert(Name("MX.Example.COM")), "mx.example.com");
  EXPECT_EQ(Convert(Name("_25._tcp.a-b.example")), "_25._tcp.a-b.example");
  EXPECT_EQ(Convert(Name(std::string(63, 'a') + ".b")),
            std::string(63, 'a') + ".b");
}

TEST(WireNameTest, BytesThatNoHostNameHasAreEscaped) {
  EXPECT_EQ(Convert(std::string("\3a.b\0", 5)), "a\\046b");
  EXPECT_EQ(Convert(std::string("\3a b\0", 5)), "a\\032b");
  EXPECT_EQ(Convert(std::string("\2\0\n\0", 4)), "\\000\\010");
  EXPECT_EQ(Convert(std::string("\2\xff\\\0", 4)), "\\255\\092");
  EXPECT_EQ(Convert(std::string("\1*\3com\0", 7)), "\\042.com");
}

TEST(WireNameTest, MalformedBytesAreNoName) {
  const std::string none = "\\000";
  EXPECT_EQ(Convert(""), none);
  EXPECT_EQ(Convert("\7example"), none);                   // no root
  EXPECT_EQ(Convert(std::string("\7exam\0", 6)), none);    // label cut off
  EXPECT_EQ(Convert(std::string("\xc0\x0c\0", 3)), none);  // a pointer
  EXPECT_EQ(Convert(std::string("\x40", 1) + std::string(64, 'a') + '\0'),
            none);
}

// --- Records of each type.

TEST(GetdnsAnswerTest, ReadsMx) {
  const auto answer = Message()
                          .Mx("example.com", 20, "B.example.com", 600)
                          .Mx("example.com", 10, "a.example.com", 500)
                          .Read("example.com", DnsType::kMx);
  EXPECT_EQ(answer.kind, Kind::kData);
  ASSERT_EQ(answer.mx.size(), 2u);
  EXPECT_EQ(answer.mx[0].preference, 20);
  EXPECT_EQ(answer.mx[0].exchange, "b.example.com");
  EXPECT_EQ(answer.mx[1].exchange, "a.example.com");
  EXPECT_EQ(answer.ttl, Seconds(500));
  EXPECT_FALSE(answer.is_alias);
  EXPECT_EQ(answer.canonical_name, "example.com");
}

TEST(GetdnsAnswerTest, ReadsANullMx) {
  const auto answer =
      Message().Mx("example.com", 0, "").Read("example.com", DnsType::kMx);
  ASSERT_EQ(answer.mx.size(), 1u);
  EXPECT_EQ(answer.mx[0].exchange, "");
}

TEST(GetdnsAnswerTest, ReadsAddresses) {
  const auto v4 =
      Message().A("mx.example", kAddress, 300).Read("mx.example", DnsType::kA);
  ASSERT_EQ(v4.addresses.size(), 1u);
  EXPECT_EQ(v4.addresses[0].ToString(), "198.51.100.1");
  const auto v6 = Message()
                      .Add("mx.example", DnsType::kAaaa,
                           std::string("\x20\x01\x0d\xb8", 4) +
                               std::string(11, '\0') + '\x01',
                           300)
                      .Read("mx.example", DnsType::kAaaa);
  ASSERT_EQ(v6.addresses.size(), 1u);
  EXPECT_EQ(v6.addresses[0].ToString(), "2001:db8::1");
}

TEST(GetdnsAnswerTest, ReadsTlsa) {
  const std::string digest(32, '\x8d');
  const auto answer =
      Message()
          .Add("_25._tcp.mx.example", DnsType::kTlsa, "\3\1\1" + digest, 300)
          .Read("_25._tcp.mx.example", DnsType::kTlsa);
  ASSERT_EQ(answer.tlsa.size(), 1u);
  EXPECT_EQ(answer.tlsa[0], (TlsaRecord{3, 1, 1, digest}));
}

TEST(GetdnsAnswerTest, JoinsTheStringsOfOneTxtRecord) {
  const auto answer =
      Message()
          .Add("_mta-sts.example", DnsType::kTxt,
               Text("v=STSv1; ") + Text("") + Text("id=1;"), 300)
          .Add("_mta-sts.example", DnsType::kTxt, Text(std::string("\0x", 2)),
               300)
          .Read("_mta-sts.example", DnsType::kTxt);
  EXPECT_EQ(answer.txt, (std::vector<std::string>{"v=STSv1; id=1;",
                                                  std::string("\0x", 2)}));
}

// --- CNAME chains.

TEST(GetdnsAnswerTest, FollowsAChainToItsEnd) {
  const auto answer = Message()
                          .Cname("mx.example", "b.example", 700)
                          .Cname("b.example", "C.example", 200)
                          .A("c.example", kAddress, 300)
                          .Read("mx.example", DnsType::kA);
  EXPECT_EQ(answer.kind, Kind::kData);
  EXPECT_TRUE(answer.is_alias);
  EXPECT_EQ(answer.canonical_name, "c.example");
  EXPECT_EQ(answer.ttl, Seconds(200));
  EXPECT_EQ(answer.addresses.size(), 1u);
}

TEST(GetdnsAnswerTest, TheOrderOfRecordsDoesNotMatter) {
  const auto answer = Message()
                          .A("c.example", kAddress, 300)
                          .Cname("b.example", "c.example")
                          .Cname("mx.example", "b.example")
                          .Read("mx.example", DnsType::kA);
  EXPECT_EQ(answer.canonical_name, "c.example");
  EXPECT_EQ(answer.addresses.size(), 1u);
}

TEST(GetdnsAnswerTest, ALoopFails) {
  EXPECT_TRUE(Message()
                  .Cname("a.example", "b.example")
                  .Cname("b.example", "a.example")
                  .Read("a.example", DnsType::kA)
                  .failed());
  EXPECT_TRUE(Message()
                  .Cname("a.example", "a.example")
                  .A("a.example", kAddress, 300)
                  .Read("a.example", DnsType::kA)
                  .failed());
}

TEST(GetdnsAnswerTest, AChainIsBounded) {
  for (const int links : {16, 17}) {
    Message message;
    for (int i = 0; i < links; ++i)
      message.Cname("h" + std::to_string(i) + ".example",
                    "h" + std::to_string(i + 1) + ".example");
    message.A("h" + std::to_string(links) + ".example", kAddress, 300);
    EXPECT_EQ(message.Read("h0.example", DnsType::kA).failed(), links > 16);
  }
}

TEST(GetdnsAnswerTest, AChainThatEndsWithoutDataIsNoData) {
  const auto answer = Message()
                          .Cname("mx.example", "b.example", 100)
                          .Soa("example", 900, 800)
                          .Read("mx.example", DnsType::kA);
  EXPECT_EQ(answer.kind, Kind::kNoData);
  EXPECT_TRUE(answer.is_alias);
  EXPECT_EQ(answer.canonical_name, "b.example");
  EXPECT_EQ(answer.ttl, Seconds(100));
}

TEST(GetdnsAnswerTest, ACnameIsReadAsSuch) {
  const auto answer = Message()
                          .Cname("mx.example", "b.example", 123)
                          .Read("mx.example", DnsType::kCname);
  EXPECT_EQ(answer.kind, Kind::kData);
  EXPECT_TRUE(answer.is_alias);
  EXPECT_EQ(answer.ttl, Seconds(123));
  EXPECT_EQ(
      Message().Soa("example", 60, 60).Read("mx.example", DnsType::kCname).kind,
      Kind::kNoData);
}

// --- What does not belong there.

TEST(GetdnsAnswerTest, ForeignOwnersAreIgnored) {
  const auto answer = Message()
                          .A("other.example", kAddress, 300)
                          .Cname("other.example", "third.example")
                          .Soa("example", 900, 800)
                          .Read("mx.example", DnsType::kA);
  EXPECT_EQ(answer.kind, Kind::kNoData);
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_FALSE(answer.is_alias);
  EXPECT_EQ(answer.ttl, Seconds(800));
}

TEST(GetdnsAnswerTest, ForeignOwnersBesideTheRightOneAreIgnored) {
  const auto answer = Message()
                          .Mx("evil.example", 1, "mx.evil.example", 1)
                          .Mx("example.com", 10, "mx.example.com", 300)
                          .Read("example.com", DnsType::kMx);
  ASSERT_EQ(answer.mx.size(), 1u);
  EXPECT_EQ(answer.mx[0].exchange, "mx.example.com");
  EXPECT_EQ(answer.ttl, Seconds(300));
}

TEST(GetdnsAnswerTest, OtherTypesAreIgnored) {
  const auto answer = Message()
                          .A("example.com", kAddress, 300)
                          .Read("example.com", DnsType::kMx);
  EXPECT_EQ(answer.kind, Kind::kNoData);
}

TEST(GetdnsAnswerTest, TheOwnersCaseDoesNotMatter) {
  EXPECT_EQ(Message()
                .A("MX.eXample", kAddress, 300)
                .Read("mx.example", DnsType::kA)
                .kind,
            Kind::kData);
}

// --- Failures and absence.

TEST(GetdnsAnswerTest, ServfailIsAFailureWithAReason) {
  const auto answer =
      Message().Rcode(kServFail).Read("example.com", DnsType::kMx);
  EXPECT_TRUE(answer.failed());
  EXPECT_NE(answer.failure.find("SERVFAIL"), std::string::npos);
}

TEST(GetdnsAnswerTest, ServfailWithDataIsAFailureAllTheSame) {
  const auto answer = Message()
                          .Rcode(kServFail)
                          .Ad()
                          .A("mx.example", kAddress, 300)
                          .Read("mx.example", DnsType::kA);
  EXPECT_TRUE(answer.failed());
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_FALSE(answer.secure);
}

TEST(GetdnsAnswerTest, EveryOtherErrorCodeIsAFailure) {
  for (const int rcode : {1, 4, 5, 9, 15}) {
    const auto answer = Message().Rcode(rcode).Read("a.example", DnsType::kA);
    EXPECT_TRUE(answer.failed()) << rcode;
    EXPECT_FALSE(answer.failure.empty()) << rcode;
  }
}

TEST(GetdnsAnswerTest, ATruncatedAnswerIsAFailure) {
  EXPECT_TRUE(Message()
                  .Tc()
                  .Mx("example.com", 10, "mx.example.com")
                  .Read("example.com", DnsType::kMx)
                  .failed());
}

TEST(GetdnsAnswerTest, WhatIsNoMessageIsAFailure) {
  for (const std::string& bytes :
       {std::string(), std::string("abc"), std::string(11, '\0'),
        std::string(12, '\xff'), std::string(65535, '\xc0')})
    EXPECT_TRUE(ReadDnsMessage(bytes, "a.example", DnsType::kA, true).failed())
        << bytes.size();
}

TEST(GetdnsAnswerTest, AbsenceLivesAsLongAsTheSoaSays) {
  // RFC 2308 section 5: the smaller of its TTL and its minimum field.
  const auto by_minimum =
      Message().Soa("example", 900, 300).Read("a.example", DnsType::kA);
  EXPECT_EQ(by_minimum.kind, Kind::kNoData);
  EXPECT_EQ(by_minimum.ttl, Seconds(300));
  const auto by_ttl = Message()
                          .Rcode(kNxDomain)
                          .Soa("example", 200, 300)
                          .Read("a.example", DnsType::kA);
  EXPECT_EQ(by_ttl.kind, Kind::kNxDomain);
  EXPECT_EQ(by_ttl.ttl, Seconds(200));
}

TEST(GetdnsAnswerTest, AbsenceWithoutSoaIsNotKept) {
  EXPECT_EQ(Message().Read("a.example", DnsType::kA).ttl, Seconds(0));
}

// --- Trust.

TEST(GetdnsAnswerTest, TheAdBitCountsFromATrustedResolverOnly) {
  const auto message = Message().Ad().A("mx.example", kAddress, 300);
  EXPECT_TRUE(message.Read("mx.example", DnsType::kA, true).secure);
  EXPECT_FALSE(message.Read("mx.example", DnsType::kA, false).secure);
  const auto without = Message().A("mx.example", kAddress, 300);
  EXPECT_FALSE(without.Read("mx.example", DnsType::kA, true).secure);
}

TEST(GetdnsAnswerTest, AbsenceIsSecureOrInsecureToo) {
  EXPECT_TRUE(Message()
                  .Ad()
                  .Soa("example", 900, 300)
                  .Read("a.example", DnsType::kMx)
                  .secure);
  EXPECT_TRUE(Message()
                  .Soa("example", 900, 300)
                  .Read("a.example", DnsType::kMx)
                  .insecure());
}

}  // namespace
}  // namespace postern
