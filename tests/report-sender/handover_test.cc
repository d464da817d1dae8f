#include "report-sender/handover.h"

#include <csignal>
#include <fstream>
#include <iterator>

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "common/host_addresses.h"

#include "report-sender/report_mail.h"
#include "tests/report-sender/queue_folder.h"
#include "tests/support/fake_outside.h"

namespace postern {
namespace {

// --- JudgePost

HttpsResponse Answered(int status, const std::string& retry_after = "") {
  HttpsResponse response;
  response.status = status;
  response.retry_after = retry_after;
  return response;
}

TEST(JudgePost, EverySuccessIsOne) {
  for (const int status : {200, 201, 202, 204, 299}) {
    const Handover handover = JudgePost(Answered(status));
    EXPECT_TRUE(handover.accepted) << status;
    EXPECT_EQ(handover.reason, "");
  }
}

TEST(JudgePost, EverythingElseIsNone) {
  for (const int status : {100, 199, 300, 400, 401, 403, 404, 410, 413, 415,
                           429, 500, 502, 503, 599, 600, 999}) {
    const Handover handover = JudgePost(Answered(status));
    EXPECT_FALSE(handover.accepted) << status;
    EXPECT_EQ(
        handover.reason.find("the server answered " + std::to_string(status)),
        0u);
  }
  EXPECT_EQ(JudgePost(Answered(404)).reason, "the server answered 404");
}

TEST(JudgePost, ARedirectIsNotFollowed) {
  for (const int status : {301, 302, 303, 307, 308})
    EXPECT_EQ(JudgePost(Answered(status)).reason,
              "the server answered " + std::to_string(status) +
                  " (redirects are not followed)");
}

TEST(JudgePost, RetryAfterIsTakenInSecondsAlone) {
  const std::pair<const char*, std::optional<Seconds>> table[] = {
      {"120", Seconds(120)},
      {"0", Seconds(0)},
      {"604800", Seconds(604800)},
      {"604801", std::nullopt},
      {"99999999999999999999999", std::nullopt},
      {"", std::nullopt},
      {"-1", std::nullopt},
      {"+1", std::nullopt},
      {"1.5", std::nullopt},
      {"2 minutes", std::nullopt},
      {"Fri, 31 Dec 2027 23:59:59 GMT", std::nullopt},
      {"\x1b[2J", std::nullopt},
  };
  for (const auto& [text, seconds] : table)
    EXPECT_EQ(JudgePost(Answered(503, text)).retry_after, seconds) << text;
}

TEST(JudgePost, AnAcceptedOneIsNotRetried) {
  EXPECT_FALSE(JudgePost(Answered(200, "120")).retry_after);
}

TEST(JudgePost, AnAnswerThatBrokeOffAfterItsStatusIsOne) {
  HttpsResponse response = Answered(200);
  for (const HttpsFailure failure :
       {HttpsFailure::kProtocol, HttpsFailure::kTooLarge,
        HttpsFailure::kTimeout}) {
    response.failure = failure;
    response.detail = "cut off";
    EXPECT_TRUE(JudgePost(response).accepted);
  }
}

TEST(JudgePost, AFailureSaysWhy) {
  HttpsResponse response;
  response.failure = HttpsFailure::kCertificate;
  response.detail = "expired \x1b[2J";
  const Handover handover = JudgePost(response);
  EXPECT_FALSE(handover.accepted);
  EXPECT_EQ(handover.reason, "expired \\x1b[2J");
}

// --- AddressesOf

class HandoverTest : public testing::Test {
 protected:
  HandoverTest() {
    configuration->identity = ExampleIdentity();
    configuration->options.report.https = true;
  }
  void TearDown() override { world.End(); }

  HostAddresses AddressesOf(const AddressFilter& filter = {}) {
    return world.Run(postern::AddressesOf(world.loop.get_executor(),
                                          world.clock, world.dns,
                                          "r.example.com", filter));
  }
  std::string UsableOf(const AddressFilter& filter = {}) {
    std::string told;
    for (const IpAddress& address : AddressesOf(filter).usable)
      told += address.ToString() + " ";
    return told;
  }
  static AddressFilter Allowing(const std::string& prefix) {
    AddressFilter filter;
    filter.allowed.push_back(*IpPrefix::Parse(prefix));
    return filter;
  }

  Parcel ParcelTo(const std::string& uri) {
    Parcel parcel;
    parcel.destination = DestinationOf(uri);
    parcel.identity = ExampleIdentity();
    parcel.day = kDay;
    parcel.domain = "example.com";
    parcel.date = kNow;
    parcel.text = "A text.\n";
    parcel.gzip = std::string("gz\0ip", 5);
    return parcel;
  }
  Handover Post(const std::string& uri = "https://r.example.com/v1?a=b") {
    RealTransport transport(
        {world.loop.get_executor(), world.clock, world.dns, world.https},
        configuration);
    return world.Run(transport.Deliver(ParcelTo(uri)));
  }

  FakeOutside world;
  FakeResolver& dns = world.dns;
  const std::shared_ptr<ReportConfiguration> configuration =
      std::make_shared<ReportConfiguration>();
};

using AddressesOfTest = HandoverTest;

TEST_F(AddressesOfTest, AreOfBothFamilies) {
  dns.Addresses("r.example.com", {"8.8.8.8", "9.9.9.9"});
  dns.Aaaa("r.example.com", "2a00:1450::1");
  EXPECT_EQ(UsableOf(), "8.8.8.8 2a00:1450::1 9.9.9.9 ");
  dns.NoData("r.example.com", DnsType::kA);
  EXPECT_EQ(UsableOf(), "2a00:1450::1 ");
}

TEST_F(AddressesOfTest, AlternateBetweenTheFamilies) {
  dns.Addresses("r.example.com", {"8.8.8.1", "8.8.8.2", "8.8.8.3", "10.0.0.1"});
  dns.Aaaa("r.example.com", "2a00:1450::1");
  EXPECT_EQ(UsableOf(), "8.8.8.1 2a00:1450::1 8.8.8.2 8.8.8.3 ");
}

TEST_F(AddressesOfTest, AreOnlyGlobalOnes) {
  dns.Addresses("r.example.com",
                {"10.0.0.1", "8.8.8.8", "127.0.0.1", "169.254.169.254"});
  dns.Aaaa("r.example.com", "::1");
  const HostAddresses found = AddressesOf();
  EXPECT_EQ(UsableOf(), "8.8.8.8 ");
  EXPECT_FALSE(found.refused);
  EXPECT_EQ(found.problem, "");
}

TEST_F(AddressesOfTest, MayBeRefusedAll) {
  dns.A("r.example.com", "192.168.0.1");
  dns.Aaaa("r.example.com", "fe80::1");
  const HostAddresses found = AddressesOf();
  EXPECT_TRUE(found.refused);
  EXPECT_TRUE(found.usable.empty());
  EXPECT_EQ(found.problem, "r.example.com has only non-global addresses");
  EXPECT_EQ(ListOf(found.not_global), "192.168.0.1, fe80::1");
}

// RFC 8215's prefix for NAT64 may lead anywhere, also inside.
TEST_F(AddressesOfTest, TellWhatIsLeftOut) {
  dns.A("r.example.com", "8.8.8.8");
  dns.Aaaa("r.example.com", "64:ff9b:1::808:808");
  const HostAddresses found = AddressesOf();
  EXPECT_EQ(UsableOf(), "8.8.8.8 ");
  EXPECT_FALSE(found.refused);
  EXPECT_EQ(ListOf(found.not_global), "64:ff9b:1::808:808");
  EXPECT_EQ(UsableOf(Allowing("64:ff9b:1::/48")),
            "8.8.8.8 64:ff9b:1::808:808 ");
}

TEST_F(AddressesOfTest, AreThoseThatTheOperatorAllowsToo) {
  dns.Addresses("r.example.com", {"10.0.0.1", "10.1.0.1"});
  EXPECT_EQ(UsableOf(Allowing("10.1.0.0/16")), "10.1.0.1 ");
  AddressFilter all;
  all.allow_all = true;
  EXPECT_EQ(UsableOf(all), "10.0.0.1 10.1.0.1 ");
}

TEST_F(AddressesOfTest, MayBeNone) {
  const HostAddresses found = AddressesOf();
  EXPECT_FALSE(found.refused);
  EXPECT_EQ(found.problem, "r.example.com has no address");
  dns.NxDomain("r.example.com", DnsType::kA);
  EXPECT_EQ(AddressesOf().problem, "r.example.com has no address");
}

TEST_F(AddressesOfTest, MayNotBeFoundOut) {
  dns.Fail("r.example.com", DnsType::kA, "SERVFAIL");
  EXPECT_EQ(AddressesOf().problem, "address lookup of r.example.com: SERVFAIL");
  dns.Aaaa("r.example.com", "2a00:1450::1");
  EXPECT_EQ(AddressesOf().problem, "");
}

TEST_F(AddressesOfTest, ASlowFamilyIsNotWaitedForWhereTheOtherIsThere) {
  dns.A("r.example.com", "8.8.8.8");
  dns.Aaaa("r.example.com", "2a00:1450::1").After(Seconds(10));
  EXPECT_EQ(UsableOf(), "8.8.8.8 ");
  EXPECT_EQ(world.clock.since_start(), Seconds(1));
}

TEST_F(AddressesOfTest, AreABoundedNumber) {
  std::vector<std::string> many;
  for (int i = 1; i <= 200; ++i) many.push_back("8.8.8." + std::to_string(i));
  dns.Addresses("r.example.com", many);
  EXPECT_EQ(AddressesOf().usable.size(), 16u);
}

// --- posts

using PostTest = HandoverTest;

TEST_F(PostTest, IsTheReportItself) {
  dns.A("r.example.com", "8.8.8.8");
  world.https.Serve("r.example.com", "thanks").Status(201);
  const Handover handover = Post("https://r.example.com:8443/v1?a=b");
  EXPECT_TRUE(handover.accepted) << handover.reason;
  ASSERT_EQ(world.https.fetches(), 1);
  const HttpsRequest& request = world.https.requests[0];
  EXPECT_EQ(request.host, "r.example.com");
  EXPECT_EQ(request.address.ToString(), "8.8.8.8");
  EXPECT_EQ(request.port, 8443);
  EXPECT_EQ(request.path, "/v1?a=b");
  ASSERT_TRUE(request.content);
  EXPECT_EQ(request.content->type, "application/tlsrpt+gzip");
  EXPECT_EQ(request.content->bytes, std::string("gz\0ip", 5));
}

TEST_F(PostTest, ARefusalIsOneEverywhere) {
  dns.Addresses("r.example.com", {"8.8.8.8", "9.9.9.9"});
  world.https.Serve("r.example.com", "").Status(503).response.retry_after =
      "600";
  const Handover handover = Post();
  EXPECT_FALSE(handover.accepted);
  EXPECT_EQ(handover.reason, "the server answered 503");
  EXPECT_EQ(handover.retry_after, Seconds(600));
  EXPECT_EQ(world.https.fetches(), 1);
}

TEST_F(PostTest, AnotherAddressIsTriedWhereOneIsNotReached) {
  dns.Addresses("r.example.com", {"8.8.8.8", "9.9.9.9"});
  world.https.BlackHole("r.example.com", "8.8.8.8");
  world.https.Serve("r.example.com", "", "9.9.9.9");
  EXPECT_TRUE(Post().accepted);
  EXPECT_EQ(world.clock.since_start(), Seconds(10));
}

TEST_F(PostTest, NoOtherAddressIsTriedWhereItMayHaveArrived) {
  dns.Addresses("r.example.com", {"8.8.8.8", "9.9.9.9"});
  world.https.Fail("r.example.com", HttpsFailure::kProtocol, "8.8.8.8");
  world.https.Serve("r.example.com", "", "9.9.9.9");
  const Handover handover = Post();
  EXPECT_FALSE(handover.accepted);
  EXPECT_EQ(handover.reason, "8.8.8.8: as the test wants it");
  EXPECT_EQ(world.https.fetches(), 1);
}

TEST_F(PostTest, TriesThreeAddressesHoweverManyAreDead) {
  std::vector<std::string> many;
  for (int i = 1; i <= 16; ++i) many.push_back("8.8.8." + std::to_string(i));
  dns.Addresses("r.example.com", many);
  world.https.BlackHole("r.example.com");
  EXPECT_FALSE(Post().accepted);
  EXPECT_EQ(world.clock.since_start(), Seconds(30));
}

// A sender without IPv4, and a receiver behind a usual load balancer.
TEST_F(PostTest, AddressesThatWeCannotReachCostNoTry) {
  dns.Addresses("r.example.com", {"8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4"});
  dns.Aaaa("r.example.com", "2a00:1450::1");
  world.https.Fail("r.example.com", HttpsFailure::kLocal);
  for (const char* only : {"2a00:1450::1", "8.8.8.4"}) {
    world.https.Serve("r.example.com", "", only);
    EXPECT_TRUE(Post().accepted) << only;
    world.https.Fail("r.example.com", HttpsFailure::kLocal, only);
  }
  EXPECT_EQ(Post().reason, "8.8.8.4: as the test wants it");
  world.https.Fail("r.example.com", HttpsFailure::kRefused, "8.8.8.2");
  EXPECT_EQ(Post().reason, "8.8.8.2: as the test wants it") << "it says more";
}

TEST_F(PostTest, NamesTheAddressesThatMayNotBeTried) {
  dns.A("r.example.com", "8.8.8.8");
  dns.Aaaa("r.example.com", "64:ff9b:1::808:808");
  world.https.Fail("r.example.com", HttpsFailure::kLocal);
  EXPECT_EQ(Post().reason,
            "8.8.8.8: as the test wants it; not tried: 64:ff9b:1::808:808 "
            "(report.allow_private lets them in)");
}

TEST_F(PostTest, GoesThroughTheProxyWhereThereIsOne) {
  configuration->options.sts.proxy = "proxy.example.net:3128";
  dns.A("proxy.example.net", "10.0.0.1");
  dns.Addresses("r.example.com", {"8.8.8.8", "9.9.9.9"});
  world.https.Serve("r.example.com", "").Status(201);
  EXPECT_TRUE(Post().accepted);
  ASSERT_EQ(world.https.fetches(), 1);
  const auto& proxy = world.https.requests[0].proxy;
  ASSERT_TRUE(proxy);
  EXPECT_EQ(ListOf(proxy->addresses), "10.0.0.1");
  EXPECT_EQ(proxy->port, 3128);
  // Its name is looked at here all the same.
  dns.A("r.example.com", "10.0.0.2");
  EXPECT_FALSE(Post().accepted);
  EXPECT_EQ(world.https.fetches(), 1);
  // It resolves the name itself: another address would be no other try.
  dns.Addresses("r.example.com", {"8.8.8.8", "9.9.9.9"});
  world.https.Fail("r.example.com", HttpsFailure::kLocal);
  EXPECT_FALSE(Post().accepted);
  EXPECT_EQ(world.https.fetches(), 2);
}

TEST_F(PostTest, EndsInAMinuteWhereTheAnswerDrips) {
  dns.Addresses("r.example.com", {"8.8.8.8", "9.9.9.9"});
  world.https.Drip("r.example.com");
  EXPECT_FALSE(Post().accepted);
  EXPECT_EQ(world.clock.since_start(), Seconds(60));
  EXPECT_EQ(world.https.fetches(), 1);
}

TEST_F(PostTest, DoesNotGoToAnInsideHost) {
  dns.A("r.example.com", "10.0.0.1");
  EXPECT_EQ(Post().reason,
            "r.example.com has only non-global addresses "
            "(report.allow_private lets them in)");
  EXPECT_EQ(world.https.fetches(), 0);
  configuration->options.report.allow_private = Allowing("10.0.0.0/8");
  world.https.Serve("r.example.com", "");
  EXPECT_TRUE(Post().accepted);
}

TEST_F(PostTest, SaysWhereThereIsNoAddress) {
  EXPECT_EQ(Post().reason, "r.example.com has no address");
}

TEST_F(PostTest, IsNotMadeWhereHttpsIsOff) {
  configuration->options.report.https = false;
  EXPECT_EQ(Post().reason, "report.https is no");
  EXPECT_EQ(world.https.fetches(), 0);
}

// --- mails

TEST_F(HandoverTest, AMailIsOfTheReportAndTheSameInEveryAttempt) {
  const Parcel parcel = ParcelTo("mailto:a%2Bb@example.net");
  const std::string mail = MailOf(parcel);
  EXPECT_EQ(mail, FormatReportMail({.domain = "example.com",
                                    .day = kDay,
                                    .sender = "noreply@example.org",
                                    .recipient = "a+b@example.net",
                                    .date = kNow,
                                    .text = "A text.\n",
                                    .gzip = std::string("gz\0ip", 5)},
                                   ExampleOrg()));
  Parcel again = parcel;
  again.attempts = 5;
  again.first_attempt = kNow - Seconds(3600);
  EXPECT_EQ(MailOf(again), mail);
}

TEST_F(HandoverTest, AMailIsHandedToSendmail) {
  signal(SIGPIPE, SIG_IGN);
  const TemporaryFolder folder;
  const std::string program = folder.Write(
      "sendmail", "#!/bin/sh\necho \"$@\" >" + folder.PathOf("arguments") +
                      "\ncat >" + folder.PathOf("mail") + "\n");
  chmod(program.c_str(), 0755);
  configuration->options.report.sendmail = program;
  RealTransport transport(
      {world.loop.get_executor(), world.clock, world.dns, world.https},
      configuration);
  const Parcel parcel = ParcelTo("mailto:a@example.net");
  const auto handover = world.Start(transport.Deliver(parcel));
  world.loop.restart();
  while (!handover.done() && world.loop.run_one() > 0) {
  }
  ASSERT_TRUE(handover.done());
  EXPECT_TRUE(handover.value().accepted) << handover.value().reason;
  std::ifstream file(folder.PathOf("mail"), std::ios::binary);
  const std::string mail{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(mail, MailOf(parcel));
  std::string arguments;
  std::getline(std::ifstream(folder.PathOf("arguments")), arguments);
  EXPECT_EQ(arguments, "-i -f noreply@example.org -- a@example.net");
}

}  // namespace
}  // namespace postern
