#include "report-sender/deliverer.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/report-sender/queue_folder.h"
#include "tests/support/fake_outside.h"
#include "tests/support/full_disk.h"

namespace postern {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

std::string HostOf(const Destination& destination) {
  if (const auto* url = std::get_if<HttpsUrl>(&destination)) return url->host;
  const std::string& address = std::get<MailAddress>(destination).address;
  return address.substr(address.rfind('@') + 1);
}

// Answers by host, from a table: after a second, that it accepts, unless told
// otherwise.
class FakeTransport final : public Transport {
 public:
  FakeTransport(boost::asio::any_io_executor executor, Clock& clock)
      : executor_(std::move(executor)), clock_(clock) {}

  struct Host {
    Handover handover{true, "", std::nullopt};
    Duration delay = Seconds(1);
    bool throws = false;
  };
  std::map<std::string, Host> hosts;

  // What was started, in order.
  std::vector<Parcel> parcels;
  int CountOf(const std::string& host) const {
    return static_cast<int>(std::count_if(
        parcels.begin(), parcels.end(),
        [&](const Parcel& one) { return HostOf(one.destination) == host; }));
  }
  int most_mails = 0;
  int most_posts = 0;
  std::map<std::string, int> most_to_host;

  Awaitable<Handover> Deliver(Parcel parcel) override {
    const std::string name = HostOf(parcel.destination);
    const bool by_mail =
        std::holds_alternative<MailAddress>(parcel.destination);
    const Host host = hosts[name];
    parcels.push_back(std::move(parcel));
    int& running = by_mail ? mails_ : posts_;
    int& most = by_mail ? most_mails : most_posts;
    most = std::max(most, ++running);
    int& to_host = to_host_[name];
    most_to_host[name] = std::max(most_to_host[name], ++to_host);
    Event pause(executor_, clock_);
    if (host.delay > Duration::zero())
      co_await pause.WaitUntil(clock_.Now() + host.delay);
    --running;
    --to_host_[name];
    if (host.throws) throw std::runtime_error("out of\nwhatever");
    co_return host.handover;
  }

 private:
  boost::asio::any_io_executor executor_;
  Clock& clock_;
  int mails_ = 0;
  int posts_ = 0;
  std::map<std::string, int> to_host_;
};

class DelivererTest : public testing::Test, public QueueFolder {
 protected:
  DelivererTest() { Start({}); }
  void TearDown() override {
    deliverer->Stop();
    world.End();
  }

  void Start(const Deliverer::Settings& settings) {
    deliverer.emplace(Deliverer::World{world.loop.get_executor(), world.clock,
                                       queue(), transport, world.metrics},
                      settings);
  }
  void Look() {
    deliverer->Look();
    world.clock.RunReady();
  }
  // As serve does.
  void Go(Duration time) {
    const SteadyTime end = world.clock.Now() + time;
    while (world.clock.Now() < end) {
      Look();
      world.Pass(Seconds(5));
    }
  }
  WallTime Now() const { return world.clock.WallNow(); }
  // A report about a domain of its own to each of `uris`, due now.
  void AddTo(const std::string& uri, int count = 1) {
    std::vector<NewReport> reports;
    for (int i = 0; i < count; ++i)
      reports.push_back(ReportAbout(
          "d" + std::to_string(++domains_) + ".example", {uri}, Now()));
    Add(reports, Now());
  }
  void AddToHosts(const std::string& name, int count) {
    std::vector<NewReport> reports;
    for (int i = 0; i < count; ++i)
      reports.push_back(ReportAbout(
          "d" + std::to_string(++domains_) + ".example",
          {"https://" + name + std::to_string(i) + ".example/"}, Now()));
    Add(reports, Now());
  }
  uint64_t In(DeliveryState state) {
    uint64_t count = 0;
    for (const DayRow& day : Days())
      count += day.by_state[static_cast<size_t>(state)];
    return count;
  }

  FakeOutside world;
  FakeTransport transport{world.loop.get_executor(), world.clock};
  std::optional<Deliverer> deliverer;

 private:
  int domains_ = 0;
};

constexpr char kMail[] = "mailto:tls@example.com";
constexpr char kPost[] = "https://r.example.com/v1";

// --- what is delivered, and when

TEST_F(DelivererTest, WhatIsDueIsDelivered) {
  Add({ReportAbout("example.com", {kMail, kPost}, Now())});
  Look();
  EXPECT_EQ(deliverer->under_way(), 2u);
  world.Pass(Seconds(1));
  EXPECT_EQ(deliverer->totals().delivered, 2u);
  EXPECT_EQ(StateOf(kMail), "delivered 1");
  EXPECT_EQ(StateOf(kPost), "delivered 1");
  ASSERT_EQ(transport.parcels.size(), 2u);
  EXPECT_EQ(transport.parcels[0].text, "text about example.com");
}

TEST_F(DelivererTest, WhatIsNotDueWaits) {
  Add({ReportAbout("example.com", {kMail}, Now() + hours(1))});
  Go(minutes(59));
  EXPECT_TRUE(transport.parcels.empty());
  Go(minutes(2));
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

TEST_F(DelivererTest, WhatIsUnderWayIsNotStartedAgain) {
  transport.hosts["example.com"].delay = minutes(1);
  AddTo(kMail);
  Go(Seconds(50));
  EXPECT_EQ(transport.parcels.size(), 1u);
}

TEST_F(DelivererTest, AFailureIsTriedAgainUntilItIsGivenUp) {
  transport.hosts["example.com"].handover = {false, "no room", std::nullopt};
  AddTo(kMail);
  Go(hours(26));
  EXPECT_EQ(StateOf(kMail),
            "given-up " + std::to_string(transport.parcels.size()));
  EXPECT_EQ(Rows()[0].reason, "no room");
  EXPECT_EQ(deliverer->totals().failed, transport.parcels.size() - 1);
  EXPECT_EQ(deliverer->totals().given_up, 1u);
}

TEST_F(DelivererTest, AHostThatIsBackGetsItsReport) {
  transport.hosts["example.com"].handover = {false, "no room", std::nullopt};
  AddTo(kMail);
  Go(hours(3));
  transport.hosts["example.com"].handover.accepted = true;
  Go(hours(4));
  EXPECT_EQ(In(DeliveryState::kDelivered), 1u);
}

TEST_F(DelivererTest, APauseThatTheServerWantsIsMade) {
  transport.hosts["r.example.com"].handover = {false, "later", hours(2)};
  AddTo(kPost);
  Go(minutes(119));
  EXPECT_EQ(transport.parcels.size(), 1u);
  Go(minutes(2));
  EXPECT_EQ(transport.parcels.size(), 2u);
}

TEST_F(DelivererTest, TheTimeToRetryMayChange) {
  transport.hosts["example.com"].handover = {false, "no room", std::nullopt};
  AddTo(kMail);
  Go(minutes(1));
  deliverer->Use(minutes(1));
  Go(minutes(30));
  EXPECT_EQ(StateOf(kMail), "given-up 3");
}

TEST_F(DelivererTest, WhatWasDroppedMeanwhileIsNotSent) {
  Start({.mails = 1});
  AddTo(kMail, 2);
  Look();
  ASSERT_EQ(transport.parcels.size(), 1u);
  const std::string last = Rows()[1].report_id;
  EXPECT_EQ(*queue().Drop(last, Now()), 1u);
  Go(hours(1));
  EXPECT_EQ(transport.parcels.size(), 1u);
  EXPECT_EQ(StateOf(kMail), "delivered 1, dropped 0");
}

TEST_F(DelivererTest, WhatTheOperatorWantsToRetryIsTried) {
  deliverer->Use(Seconds(0));
  transport.hosts["example.com"].handover = {false, "no room", std::nullopt};
  AddTo(kMail);
  Go(minutes(30));
  ASSERT_EQ(StateOf(kMail), "given-up 3");
  transport.hosts["example.com"].handover.accepted = true;
  EXPECT_EQ(*queue().Retry(Rows()[0].report_id, Now()), 1u);
  Go(minutes(1));
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

// Its write had to wait for another's.
TEST_F(DelivererTest, WhatAnotherProgramMakesDueALittleLateIsFound) {
  Add({ReportAbout("example.com", {kMail}, Now() + hours(1))});
  Go(minutes(1));
  const WallTime then = Now();
  Go(Seconds(15));
  EXPECT_EQ(*Open()->Hasten(kDay, "", then), 1u);
  Go(Seconds(10));
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

// --- turns

TEST_F(DelivererTest, AHostWithManyDoesNotDelayAnother) {
  Start({.posts = 2, .posts_to_host = 2});
  AddTo("https://many.example/", 1000);
  AddTo("https://one.example/");
  AddTo("https://two.example/");
  Look();
  world.Pass(Seconds(3));
  EXPECT_EQ(transport.CountOf("one.example"), 1);
  EXPECT_EQ(transport.CountOf("two.example"), 1);
  EXPECT_LT(transport.CountOf("many.example"), 10);
}

TEST_F(DelivererTest, ADomainWithManyMailsDoesNotDelayAnother) {
  Start({.mails = 2});
  AddTo("mailto:tls@many.example", 1000);
  AddTo("mailto:tls@one.example");
  Look();
  world.Pass(Seconds(3));
  EXPECT_EQ(transport.CountOf("one.example"), 1);
}

TEST_F(DelivererTest, AHostThatComesLaterHasItsTurn) {
  Start({.posts = 1, .posts_to_host = 1});
  AddTo("https://many.example/", 100);
  Go(Seconds(10));
  AddTo("https://one.example/");
  Go(Seconds(10));
  EXPECT_EQ(transport.CountOf("one.example"), 1);
  EXPECT_LT(transport.CountOf("many.example"), 30);
}

TEST_F(DelivererTest, AHostGetsAFewPostsAtOnce) {
  AddTo("https://many.example/", 30);
  AddTo("https://more.example/", 30);
  Go(minutes(1));
  EXPECT_EQ(transport.most_to_host["many.example"], 2);
  EXPECT_EQ(transport.most_to_host["more.example"], 2);
  EXPECT_EQ(In(DeliveryState::kDelivered), 60u);
}

TEST_F(DelivererTest, AFewMailsAreUnderWayAtOnce) {
  AddTo("mailto:tls@many.example", 30);
  AddTo("mailto:tls@more.example", 30);
  Go(minutes(1));
  EXPECT_EQ(transport.most_mails, 8);
  EXPECT_EQ(In(DeliveryState::kDelivered), 60u);
}

TEST_F(DelivererTest, NotTooManyPostsAreUnderWayAtOnce) {
  Start({.posts = 25});
  AddToHosts("h", 200);
  Go(minutes(1));
  EXPECT_EQ(transport.most_posts, 25);
  EXPECT_EQ(In(DeliveryState::kDelivered), 200u);
}

TEST_F(DelivererTest, MailsAreNotHeldUpByThousandsOfDeadPosts) {
  constexpr int kDead = 10000;
  for (int i = 0; i < kDead; ++i)
    transport.hosts["h" + std::to_string(i) + ".example"] = {
        {false, "timeout", std::nullopt}, minutes(1), false};
  AddToHosts("h", kDead);
  AddTo(kMail, 20);
  Look();
  world.Pass(Seconds(5));
  EXPECT_EQ(StateOf(kMail).find("waiting"), std::string::npos);
  EXPECT_EQ(deliverer->totals().delivered, 20u);
  EXPECT_EQ(transport.most_posts, 1000);
}

TEST_F(DelivererTest, ALivingHostIsReachedBehindThousandsOfDeadOnes) {
  constexpr int kDead = 1200;
  for (int i = 0; i < kDead; ++i)
    transport.hosts["h" + std::to_string(i) + ".example"] = {
        {false, "timeout", std::nullopt}, minutes(1), false};
  AddToHosts("h", kDead);
  AddTo(kPost);
  Go(minutes(2));
  EXPECT_EQ(StateOf(kPost), "delivered 1");
}

// --- trouble

TEST_F(DelivererTest, WhatCannotBeWrittenIsNotSentAgainAndWrittenLater) {
  AddTo(kMail);
  Look();
  {
    const FullDisk full;
    world.Pass(Seconds(1));
    for (int i = 0; i < 10; ++i) {
      Look();
      world.Pass(minutes(10));
    }
  }
  EXPECT_EQ(StateOf(kMail), "waiting 0");
  EXPECT_EQ(deliverer->under_way(), 1u);
  const WallTime written = Now();
  Look();
  EXPECT_EQ(deliverer->under_way(), 0u);
  EXPECT_EQ(StateOf(kMail), "delivered 1");
  EXPECT_LT(Rows()[0].finished, written);  // when it was
  Go(hours(1));
  EXPECT_EQ(transport.parcels.size(), 1u);
  EXPECT_EQ(deliverer->totals().delivered, 1u);
}

TEST_F(DelivererTest, AFailureThatCannotBeWrittenIsTriedAgainAfterIt) {
  transport.hosts["example.com"].handover = {false, "no room", std::nullopt};
  AddTo(kMail);
  Look();
  {
    const FullDisk full;
    world.Pass(Seconds(1));
    Go(hours(1));
  }
  transport.hosts["example.com"].handover.accepted = true;
  Go(Seconds(10));
  EXPECT_EQ(StateOf(kMail), "delivered 2");
}

TEST_F(DelivererTest, OthersAreNotStartedWhileNothingCanBeWritten) {
  Start({.mails = 1});
  AddTo(kMail);
  Look();
  const FullDisk full;
  world.Pass(Seconds(1));
  // (Another program still could.)
  Go(minutes(1));
  EXPECT_EQ(transport.parcels.size(), 1u);
}

TEST_F(DelivererTest, WhatCannotBeReadIsFoundAgain) {
  AddTo(kMail);
  deliverer->Look();
  Sql("ALTER TABLE deliveries RENAME TO gone");
  world.clock.RunReady();
  Go(minutes(5));
  EXPECT_TRUE(transport.parcels.empty());
  Sql("ALTER TABLE gone RENAME TO deliveries");
  Go(Seconds(10));
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

// Each starts the next: not inside of itself.
TEST_F(DelivererTest, ThousandsThatFailAtOnceAreNoRecursion) {
  transport.hosts["example.com"].handover = {false, "no room", std::nullopt};
  transport.hosts["example.com"].delay = Duration::zero();
  AddTo(kMail, 5000);
  Look();
  EXPECT_EQ(deliverer->totals().failed, 5000u);
}

TEST_F(DelivererTest, WhatTheOperatorDoesNotWantIsDropped) {
  transport.hosts["example.com"].handover = {false, "suppressed", std::nullopt,
                                             true};
  AddTo(kMail);
  Go(Seconds(10));
  EXPECT_EQ(StateOf(kMail), "dropped 1");
}

TEST_F(DelivererTest, AnExceptionIsAFailedAttempt) {
  Start({.mails = 1});
  transport.hosts["example.com"].throws = true;
  AddTo(kMail);
  AddTo("mailto:tls@other.example");
  Go(Seconds(10));
  EXPECT_EQ(StateOf("mailto:tls@other.example"), "delivered 1");
  EXPECT_EQ(StateOf(kMail), "waiting 1");
  EXPECT_EQ(Rows(std::nullopt, false)[0].reason, "out of\\x0awhatever");
  transport.hosts["example.com"].throws = false;
  Go(minutes(10));
  EXPECT_EQ(StateOf(kMail), "delivered 2");
}

TEST_F(DelivererTest, AfterStopNoneIsStarted) {
  Start({.mails = 1});
  AddTo(kMail, 3);
  Look();
  deliverer->Stop();
  world.Pass(Seconds(1));
  Go(minutes(1));
  EXPECT_EQ(transport.parcels.size(), 1u);
  EXPECT_EQ(deliverer->under_way(), 0u);
  EXPECT_EQ(StateOf(kMail), "delivered 1, waiting 0, waiting 0");
}

// --- the clock

TEST_F(DelivererTest, AClockThatIsSetBackLosesNothing) {
  Go(minutes(1));
  world.clock.StepWall(-hours(48));
  AddTo(kMail);
  Go(Seconds(10));
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

TEST_F(DelivererTest, AClockThatWasAheadLosesNothing) {
  transport.hosts["example.com"].handover = {false, "no room", std::nullopt};
  world.clock.StepWall(hours(48));
  AddTo(kMail);
  Go(minutes(1));
  world.clock.StepWall(-hours(48));
  transport.hosts["example.com"].handover.accepted = true;
  AddTo(kPost);
  Go(hours(1));
  EXPECT_EQ(StateOf(kPost), "delivered 1");
  Go(hours(48));
  EXPECT_EQ(StateOf(kMail), "delivered 2");
}

TEST_F(DelivererTest, AClockThatIsSetAheadLosesNothing) {
  Add({ReportAbout("example.com", {kMail}, Now() + hours(1))});
  Go(minutes(1));
  world.clock.StepWall(hours(48));
  Go(Seconds(10));
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

}  // namespace
}  // namespace postern
