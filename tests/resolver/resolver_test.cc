// Questions to servers that answer, drop, truncate, refuse and lie.
#include <filesystem>
#include <set>

#include <sys/resource.h>

#include "tests/resolver/resolver_fixture.h"

namespace postern {
namespace {

using Answers = DnsServer::Answers;
using Question = DnsServer::Question;

Answers Honest(const Question& question) {
  return {ReplyTo(question, {.ad = true})};
}
Answers Silent(const Question&) { return {}; }

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& one :
       std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count - 1;  // the listing's own
}

// The soft limit of open files, until the end of the test.
class FileLimit {
 public:
  explicit FileLimit(rlim_t limit) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit now{limit, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
  }
  ~FileLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

class ResolverTest : public ResolverFixture {};

TEST_F(ResolverTest, AnAnswerComesWithItsSecurity) {
  DnsServer server(Honest);
  Ask({server.address()});
  const DnsAnswer answer = Answer("a.example");
  EXPECT_TRUE(answer.has_data()) << answer.failure;
  EXPECT_TRUE(answer.secure);
  ASSERT_EQ(answer.addresses.size(), 1u);
  EXPECT_EQ(answer.addresses[0].ToString(), "192.1.2.3");
  server.Use([](const Question& q) -> Answers { return {ReplyTo(q)}; });
  EXPECT_FALSE(Answer("a.example").secure) << "without the AD bit";
}

TEST_F(ResolverTest, TheAdBitOfAServerThatIsNotTrustedSaysNothing) {
  DnsServer server(Honest);
  Ask({server.address()}, TrustAd::kNo);
  const DnsAnswer answer = Answer("a.example");
  EXPECT_TRUE(answer.has_data());
  EXPECT_FALSE(answer.secure);
}

TEST_F(ResolverTest, ALostDatagramIsSentAgainFromTheSameSocket) {
  DnsServer server([](const Question& q) -> Answers {
    return q.number < 2 ? Answers{} : Honest(q);
  });
  Ask({server.address()});
  const auto asked = Start("a.example");
  for (const size_t lost : {1u, 2u}) {
    server.WaitForQuestions(lost);
    Pass(Seconds(2));
  }
  EXPECT_TRUE(Finish(asked).has_data());
  std::set<uint16_t> ports;
  for (const Question& question : server.Asked())
    ports.insert(question.from_port);
  EXPECT_EQ(ports.size(), 1u) << "a question is one socket";
}

TEST_F(ResolverTest, ASilentServerFailsTheQuestionAndLeavesNoSocket) {
  DnsServer server(Silent);
  Ask({server.address()});
  const size_t before = OpenDescriptors();
  const DnsAnswer answer = AnswerOfSilence("a.example");
  EXPECT_TRUE(answer.failed());
  EXPECT_EQ(answer.failure,
            "no answer from the DNS resolver " + server.address().ToString());
  while (clock.FireNext()) {
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(ResolverTest, WhatIsTruncatedIsAskedOverTcp) {
  DnsServer server([](const Question& q) -> Answers {
    return {ReplyTo(q, {.ad = true, .truncated = !q.tcp})};
  });
  Ask({server.address()});
  const DnsAnswer answer = Answer("a.example", DnsType::kMx);
  EXPECT_TRUE(answer.secure);
  ASSERT_EQ(answer.mx.size(), 1u);
  EXPECT_EQ(answer.mx[0].exchange, "mx.a.example");
}

TEST_F(ResolverTest, TruncatedWithoutAnAnswerOverTcpFailsAtOnce) {
  struct Case {
    const char* what;
    std::function<Answers(const Question&)> over_tcp;
    const char* reason;
  };
  const std::vector<Case> cases = {
      {"closed", Silent, "closes the connection"},
      {"truncated again",
       [](const Question& q) -> Answers {
         return {ReplyTo(q, {.truncated = true})};
       },
       "truncated DNS answer"},
      {"another id",
       [](const Question& q) -> Answers {
         std::string reply = ReplyTo(q);
         reply[0] = static_cast<char>(reply[0] + 1);
         return {reply};
       },
       "no answer to the question"},
      {"less than a header",
       [](const Question&) -> Answers { return {std::string("\1\2\3")}; },
       "no answer to the question"}};
  for (const Case& one : cases) {
    DnsServer server([&](const Question& q) -> Answers {
      if (q.tcp) return one.over_tcp(q);
      return {ReplyTo(q, {.truncated = true})};
    });
    Ask({server.address()});
    const DnsAnswer answer = Answer("a.example");
    EXPECT_TRUE(answer.failed()) << one.what;
    EXPECT_NE(answer.failure.find(one.reason), std::string::npos)
        << one.what << ": " << answer.failure;
  }
}

// What is no reply to the question is passed over, whoever sent it.
TEST_F(ResolverTest, LiesBeforeTheAnswerChangeNothing) {
  const auto changed = [](size_t at, char by) {
    return [at, by](const Question& q) {
      std::string reply = ReplyTo(q, {.ad = true, .rcode = 3});
      reply[at] = static_cast<char>(reply[at] ^ by);
      return reply;
    };
  };
  const std::vector<
      std::pair<const char*, std::function<std::string(const Question&)>>>
      lies = {
          {"another id", changed(0, 1)},
          {"not a reply", changed(2, '\x80')},
          {"another name", changed(13, 3)},
          {"another type", changed(24, 7)},
          {"two questions", changed(5, 3)},
          {"nothing", [](const Question&) { return std::string(); }},
          {"three bytes", [](const Question&) { return std::string("abc"); }},
          {"a header alone",
           [](const Question& q) {
             return ReplyTo(q).substr(0, 2) + "\x81\xa0" + std::string(8, '\0');
           }},
          {"huge", [](const Question&) { return std::string(60000, 'x'); }}};
  for (const auto& [what, lie] : lies) {
    DnsServer server([&lie = lie](const Question& q) -> Answers {
      return {lie(q), lie(q), ReplyTo(q, {.ad = true})};
    });
    Ask({server.address()});
    const DnsAnswer answer = Answer("a.example");
    EXPECT_TRUE(answer.has_data() && answer.secure)
        << what << ": " << answer.failure;
  }
}

TEST_F(ResolverTest, NothingButLiesIsAFailureThatSaysSo) {
  DnsServer server([](const Question& q) -> Answers {
    std::string reply = ReplyTo(q);
    reply[0] = static_cast<char>(reply[0] + 1);
    return {reply};
  });
  Ask({server.address()});
  const auto asked = Start("a.example");
  server.WaitForQuestions(1);
  loop.restart();
  loop.run_one();  // the lie
  clock.AdvanceTo(clock.Now() + kTimeout);
  ASSERT_TRUE(asked->answer);
  EXPECT_NE(asked->answer->failure.find("no answer to the question"),
            std::string::npos)
      << asked->answer->failure;
}

TEST_F(ResolverTest, AReplyWithGarbageInsideIsAFailure) {
  DnsServer server([](const Question& q) -> Answers {
    std::string reply = ReplyTo(q);
    reply[7] = 9;  // nine records promised, one there
    return {reply.substr(0, reply.size() - 2)};
  });
  Ask({server.address()});
  EXPECT_EQ(Answer("a.example").failure, "malformed DNS answer");
}

TEST_F(ResolverTest, NamesThatDnsCannotHaveFailWithoutAQuestion) {
  DnsServer server(Honest);
  Ask({server.address()});
  for (const std::string& name :
       {std::string("a..example"), std::string(64, 'a') + ".example",
        std::string("\\999.example")})
    EXPECT_TRUE(Answer(name).failed()) << name;
  EXPECT_TRUE(server.Asked().empty());
}

TEST_F(ResolverTest, AClosedPortIsSaidAndAskedAgainUntilItAnswers) {
  const uint16_t port = FreePort();
  const AddressAndPort nobody{*IpAddress::Parse("127.0.0.1"), port};
  Ask({nobody});
  const auto asked = Start("a.example");
  Pass(Seconds(1));
  EXPECT_FALSE(asked->answer);
  {
    DnsServer started(Honest, port);
    Pass(Seconds(2));
    EXPECT_TRUE(Finish(asked).has_data()) << "it was starting again";
  }
  const DnsAnswer answer = AnswerOfSilence("b.example");
  EXPECT_NE(answer.failure.find("Connection refused"), std::string::npos)
      << answer.failure;
}

TEST_F(ResolverTest, AServersFailureSendsTheQuestionToTheNextAtOnce) {
  DnsServer broken(
      [](const Question& q) -> Answers { return {ReplyTo(q, {.rcode = 2})}; });
  DnsServer sound(Honest);
  Ask({broken.address(), sound.address()});
  EXPECT_TRUE(Answer("a.example").has_data());
  sound.Use(
      [](const Question& q) -> Answers { return {ReplyTo(q, {.rcode = 2})}; });
  const DnsAnswer answer = Answer("b.example");
  EXPECT_TRUE(answer.servfail) << "all have said so: no need to wait";
}

TEST_F(ResolverTest, ASilentServerSendsTheQuestionToTheNext) {
  DnsServer silent(Silent);
  DnsServer sound(Honest);
  Ask({silent.address(), sound.address()});
  const auto asked = Start("a.example");
  silent.WaitForQuestions(1);
  const size_t open = OpenDescriptors();
  Pass(std::chrono::duration_cast<Seconds>(std::chrono::milliseconds(2000)));
  EXPECT_LE(OpenDescriptors(), open) << "the old socket goes before the new";
  EXPECT_TRUE(Finish(asked).has_data());
}

TEST_F(ResolverTest, EachServerIsAskedHoweverShortTheTimeout) {
  std::vector<std::unique_ptr<DnsServer>> silent;
  std::vector<AddressAndPort> servers;
  for (int i = 0; i < 8; ++i) {
    silent.push_back(std::make_unique<DnsServer>(Silent));
    servers.push_back(silent.back()->address());
  }
  Ask(servers);
  EXPECT_TRUE(AnswerOfSilence("a.example").failed());
  for (const auto& server : silent) server->WaitForQuestions(1);
}

// Descriptors.

TEST_F(ResolverTest, WithoutDescriptorsThatQuestionFailsAndNothingElse) {
  DnsServer server(Honest);
  Ask({server.address()});
  const size_t used = OpenDescriptors();
  // None at all, and so few that others need them.
  for (const size_t left : {0u, 1u, 7u}) {
    const double failed = Count("postern_dns_no_socket_total");
    {
      const FileLimit limit(used + left);
      const DnsAnswer answer = Answer("a.example");
      EXPECT_TRUE(answer.failed()) << left;
      EXPECT_NE(answer.failure.find("Too many open files"), std::string::npos)
          << answer.failure;
    }
    EXPECT_EQ(Count("postern_dns_no_socket_total"), failed + 1);
    EXPECT_TRUE(Answer("a.example").has_data()) << "with descriptors again";
  }
}

TEST_F(ResolverTest, WithoutDescriptorsForTcpThatQuestionFails) {
  DnsServer server([](const Question& q) -> Answers {
    return {ReplyTo(q, {.truncated = true})};
  });
  Ask({server.address()});
  const auto asked = Start("a.example");
  server.WaitForQuestions(1);
  const FileLimit limit(3);
  EXPECT_NE(Finish(asked).failure.find("Too many open files"),
            std::string::npos);
}

TEST_F(ResolverTest, OurWantOfDescriptorsSaysNothingAboutTheServer) {
  DnsServer server(Honest);
  Ask({server.address()});
  EXPECT_EQ(Probe(), DnssecState::kOn);
  const FileLimit limit(3);
  EXPECT_EQ(Probe(), DnssecState::kOn);
  EXPECT_TRUE(resolver->Troubles().empty());
}

TEST_F(ResolverTest, AFloodAtASilentServerTakesItsShareOfDescriptors) {
  DnsServer server(Silent);
  const FileLimit limit(200);
  Ask({server.address()});
  const size_t before = OpenDescriptors();
  std::vector<std::shared_ptr<Asked>> flood;
  for (int i = 0; i < 300; ++i)
    flood.push_back(Start("a" + std::to_string(i) + ".example"));
  for (int second = 0; second < 12; ++second) {
    EXPECT_LE(OpenDescriptors(), before + 51) << "a quarter, and a probe";
    Pass(Seconds(1));
  }
  for (const auto& asked : flood) EXPECT_TRUE(asked->answer);
  server.Use(Honest);
  EXPECT_TRUE(Answer("b.example").has_data());
}

}  // namespace
}  // namespace postern
