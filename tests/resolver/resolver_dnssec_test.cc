// When DANE is on, doubted and off; and which servers are asked.
#include <algorithm>

#include "tests/resolver/resolver_fixture.h"
#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

using Answers = DnsServer::Answers;
using Question = DnsServer::Question;

Answers WithAd(const Question& q) { return {ReplyTo(q, {.ad = true})}; }
Answers WithoutAd(const Question& q) { return {ReplyTo(q)}; }
Answers Silent(const Question&) { return {}; }

class ResolverDnssecTest : public ResolverFixture {
 protected:
  // Three more rounds that agree.
  DnssecState ProbeThreeMore() {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(resolver->Dnssec(), DnssecState::kDoubted);
      Pass(Seconds(10));
      Probe();
    }
    return resolver->Dnssec();
  }
  bool HasTrouble(const std::string& words) {
    const auto troubles = resolver->Troubles();
    return std::any_of(troubles.begin(), troubles.end(),
                       [&](const std::string& one) {
                         return one.find(words) != std::string::npos;
                       });
  }
};

TEST_F(ResolverDnssecTest, OneProbeWithoutAdIsADoubtThreeMoreSwitchDaneOff) {
  DnsServer server(WithAd);
  Ask({server.address()});
  EXPECT_EQ(Probe(), DnssecState::kOn);
  server.Use(WithoutAd);
  EXPECT_EQ(Probe(), DnssecState::kDoubted);
  EXPECT_EQ(ProbeThreeMore(), DnssecState::kOff);
  EXPECT_TRUE(HasTrouble("DANE is off"));
}

TEST_F(ResolverDnssecTest, ProbesRightAfterOneAnotherAreOne) {
  DnsServer server(WithAd);
  Ask({server.address()});
  Probe();
  server.Use(WithoutAd);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Probe(), DnssecState::kDoubted);
}

TEST_F(ResolverDnssecTest, OneProbeWithAdEndsDoubtAndSwitchesDaneOn) {
  DnsServer server(WithAd);
  Ask({server.address()});
  int back = 0;
  resolver->OnDnssecBack([&] { ++back; });
  Probe();
  server.Use(WithoutAd);
  Probe();
  server.Use(WithAd);
  EXPECT_EQ(Probe(), DnssecState::kOn);
  EXPECT_EQ(back, 0);
  server.Use(WithoutAd);
  Probe();
  EXPECT_EQ(ProbeThreeMore(), DnssecState::kOff);
  server.Use(WithAd);
  EXPECT_EQ(Probe(), DnssecState::kOn);
  EXPECT_EQ(back, 1);
}

TEST_F(ResolverDnssecTest, AResolverThatNeverValidatedNeedsNoDoubt) {
  DnsServer server(WithoutAd);
  Ask({server.address()});
  EXPECT_EQ(resolver->Dnssec(), DnssecState::kOn) << "before it was asked";
  EXPECT_EQ(Probe(), DnssecState::kOff);
}

TEST_F(ResolverDnssecTest, OnlyDataIsAVerdict) {
  DnsServer server(WithAd);
  Ask({server.address()});
  Probe();
  const std::vector<std::pair<const char*, DnsServer::Handler>> verdictless = {
      {"SERVFAIL",
       [](const Question& q) -> Answers { return {ReplyTo(q, {.rcode = 2})}; }},
      {"REFUSED",
       [](const Question& q) -> Answers { return {ReplyTo(q, {.rcode = 5})}; }},
      {"NXDOMAIN",
       [](const Question& q) -> Answers { return {ReplyTo(q, {.rcode = 3})}; }},
      {"no data", [](const Question& q) -> Answers {
         return {ReplyTo(q, {.with_data = false})};
       }}};
  for (const auto& [what, handler] : verdictless) {
    server.Use(handler);
    for (int i = 0; i < 5; ++i) {
      Pass(Seconds(60));
      EXPECT_EQ(Probe(), DnssecState::kOn) << what;
    }
    EXPECT_TRUE(HasTrouble("does not answer")) << what;
  }
}

TEST_F(ResolverDnssecTest, SilenceIsNoVerdict) {
  DnsServer server(WithAd);
  Ask({server.address()});
  Probe();
  server.Use(Silent);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ProbeSilence(), DnssecState::kOn);
  server.Use(WithoutAd);
  EXPECT_EQ(Probe(), DnssecState::kDoubted);
  server.Use(Silent);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ProbeSilence(), DnssecState::kDoubted);
}

TEST_F(ResolverDnssecTest, AServerThatValidatesIsAskedInsteadOfOneThatDoesNot) {
  DnsServer first(WithAd);
  DnsServer second(WithAd);
  Ask({first.address(), second.address()});
  Probe();
  first.Use(WithoutAd);
  EXPECT_EQ(Probe(), DnssecState::kOn);
  const size_t asked = first.Asked().size();
  EXPECT_TRUE(Answer("a.example").secure);
  EXPECT_EQ(first.Asked().size(), asked);
}

TEST_F(ResolverDnssecTest, AdThatComesOnlyWithProofsIsAskedForSo) {
  DnsServer server([](const Question& q) -> Answers {
    return {ReplyTo(q, {.ad = q.wants_proofs()})};
  });
  Ask({server.address()});
  EXPECT_EQ(Probe(), DnssecState::kOn);
  EXPECT_TRUE(resolver->Troubles().empty());
  EXPECT_TRUE(Answer("a.example").secure);
}

TEST_F(ResolverDnssecTest, ProofsAreNotAskedForWithoutNeed) {
  DnsServer server(WithAd);
  Ask({server.address()});
  Probe();
  Answer("a.example");
  for (const Question& question : server.Asked())
    EXPECT_FALSE(question.wants_proofs());
}

TEST_F(ResolverDnssecTest, WithoutATrustedServerDaneIsOffFromTheStart) {
  DnsServer server(WithAd);
  Ask({server.address()}, TrustAd::kNo);
  EXPECT_EQ(resolver->Dnssec(), DnssecState::kOff);
  EXPECT_TRUE(HasTrouble("not trusted")) << "the word of check-config";
  EXPECT_TRUE(HasTrouble("DANE is off"));
}

TEST_F(ResolverDnssecTest, TheLossOfTheLastTrustedServerIsADoubtFirst) {
  DnsServer server(WithAd);
  Ask({server.address()});
  Probe();
  const Options::Dns untrusted{{server.address()}, kTimeout, TrustAd::kNo};
  ASSERT_TRUE(resolver->Use(untrusted));
  EXPECT_EQ(ProbeThreeMore(), DnssecState::kOff);
}

// resolv.conf: its servers are asked at port 53, where these tests have none.

class ResolvConfWatchTest : public ResolverDnssecTest {
 protected:
  void Start(const std::string& text) {
    Write(text);
    auto made = GetdnsResolver::Create(loop, clock, {{}, kTimeout}, metrics,
                                       folder.PathOf("resolv.conf"));
    ASSERT_TRUE(made) << made.error().message;
    resolver = std::move(*made);
  }
  void Write(const std::string& text) { folder.Write("resolv.conf", text); }
  bool Uses(const std::string& address) { return HasTrouble(address); }

  TemporaryFolder folder;
};

TEST_F(ResolvConfWatchTest, AChangeIsTakenUpByTheNextProbe) {
  Start("nameserver 127.9.9.1\n");
  ProbeSilence();
  EXPECT_TRUE(Uses("127.9.9.1"));
  Write("nameserver 127.9.9.2\nnameserver 127.9.9.3\n");
  ProbeSilence();
  EXPECT_FALSE(Uses("127.9.9.1"));
  EXPECT_TRUE(Uses("127.9.9.2") && Uses("127.9.9.3"));
}

TEST_F(ResolvConfWatchTest, AFileWithoutServersKeepsTheOldOnes) {
  Start("nameserver 127.9.9.1\n");
  const std::string long_line(100000, 'x');
  for (const std::string& broken :
       {std::string(), std::string("nameserver\n"),
        std::string("nameserver not.an.address\n"), long_line}) {
    Write(broken);
    ProbeSilence();
    EXPECT_TRUE(Uses("127.9.9.1")) << broken.substr(0, 30);
  }
  std::filesystem::remove(folder.PathOf("resolv.conf"));
  ProbeSilence();
  EXPECT_TRUE(Uses("127.9.9.1")) << "no file";
}

TEST_F(ResolvConfWatchTest, WithoutServersFromTheStartThereIsNoResolver) {
  Write("search example\n");
  const auto made = GetdnsResolver::Create(loop, clock, {{}, kTimeout}, metrics,
                                           folder.PathOf("resolv.conf"));
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("no DNS server"), std::string::npos);
}

}  // namespace
}  // namespace postern
