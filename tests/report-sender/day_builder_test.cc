#include "report-sender/day_builder.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/report-sender/queue_folder.h"
#include "tests/support/fake_outside.h"
#include "tests/support/full_disk.h"

namespace postern {
namespace {

using std::chrono::hours;

constexpr char kName[] = "_smtp._tls.example.com";
constexpr char kMail[] = "mailto:tls@example.com";
constexpr char kOtherMail[] = "mailto:reports@example.net";
constexpr char kPost[] = "https://r.example.com/v1";

std::string RecordOf(const std::string& rua) {
  return "v=TLSRPTv1; rua=" + rua;
}

class DayBuilderTest : public testing::Test, public QueueFolder {
 protected:
  DayBuilderTest() {
    configuration->identity = ExampleIdentity();
    configuration->options.report.max_per_target = 1000000;
  }
  void TearDown() override { world.End(); }

  void Had(const Outcome& outcome) { totals->AddLine(LineOf(outcome)); }
  void Wants(const std::string& rua) { world.dns.Txt(kName, {RecordOf(rua)}); }
  void Suppress(const std::string& text) {
    auto parsed = Suppressions::Parse(text, "file");
    EXPECT_TRUE(parsed);
    configuration->suppressions = std::move(*parsed);
  }
  // Mails of ours that were taken at example.com on kDay.
  void MailsOfOurs(int count) {
    for (int i = 0; i < count; ++i) {
      Add({ReportAbout("ours" + std::to_string(i) + ".example", {kMail}, kNow,
                       kDay - std::chrono::days(1))});
      Settle(LoadOnly(), {DeliveryState::kDelivered, kNow, {}, ""});
    }
    EXPECT_EQ(*queue().MailsTo("example.com", kDay),
              static_cast<uint64_t>(count));
  }

  Result<BuiltDay> Build(const std::string& domain = "",
                         DayBuilder::Progress progress = nullptr) {
    DayBuilder builder({world.loop.get_executor(), world.clock,
                        resolver ? *resolver : world.dns, queue(),
                        world.metrics});
    return world.Run(
        builder.Build(kDay, totals, configuration, domain, std::move(progress)),
        hours(24));
  }
  BuiltDay Built(const std::string& domain = "") {
    const auto built = Build(domain);
    EXPECT_TRUE(built) << (built ? "" : built.error().message);
    return built ? *built : BuiltDay();
  }
  // Of kDay: "domain>destination ..."
  std::string Queued() {
    std::string told;
    for (const DeliveryRow& row : Rows(kDay))
      told += row.domain + ">" + row.destination + " ";
    return told;
  }

  FakeOutside world;
  Resolver* resolver = nullptr;  // instead of world.dns
  const std::shared_ptr<DayTotals> totals = std::make_shared<DayTotals>();
  const std::shared_ptr<ReportConfiguration> configuration =
      std::make_shared<ReportConfiguration>();
};

// --- where reports go

TEST_F(DayBuilderTest, ADomainsRecordSaysWhereItsReportGoes) {
  Had(StsSuccess());
  Wants(std::string(kMail) + "," + kPost);
  const BuiltDay built = Built();
  EXPECT_EQ(built.domains, 1u);
  EXPECT_EQ(built.reports, 1u);
  EXPECT_EQ(Queued(), std::string("example.com>") + kMail + " example.com>" +
                          kPost + " ");
  const auto rows = Rows();
  EXPECT_EQ(rows.at(0).day, kDay);
  EXPECT_EQ(rows.at(0).successful, 3u);
  EXPECT_EQ(rows.at(0).failed, 0u);
  EXPECT_EQ(Load(world.clock.WallNow()).at(0).identity, ExampleIdentity());
}

TEST_F(DayBuilderTest, ADomainWithoutARecordWantsNoReport) {
  Had(StsSuccess());  // there was one that day
  const BuiltDay built = Built();
  EXPECT_EQ(built.unwanted, 1u);
  EXPECT_EQ(built.reports, 0u);
  EXPECT_EQ(Queued(), "");
}

TEST_F(DayBuilderTest, ADomainThatHasGoneWantsNoReport) {
  Had(StsSuccess());
  world.dns.NxDomain(kName, DnsType::kTxt);
  EXPECT_EQ(Built().unwanted, 1u);
}

TEST_F(DayBuilderTest, ABadRecordWantsNoReport) {
  Had(StsSuccess());
  for (const std::vector<std::string>& records :
       {std::vector<std::string>{"v=TLSRPTv1;"},
        {RecordOf("mailto:not-an-address")},
        {RecordOf(kMail), RecordOf(kMail)},
        {"v=spf1 -all"}}) {
    world.dns.Txt(kName, records);
    EXPECT_EQ(Built().unwanted, 1u) << records.front();
  }
}

TEST_F(DayBuilderTest, ABadDestinationIsLeftOut) {
  Had(StsSuccess());
  Wants(std::string("mailto:nobody,") + kMail);
  EXPECT_EQ(Built().reports, 1u);
  EXPECT_EQ(Queued(), std::string("example.com>") + kMail + " ");
}

TEST_F(DayBuilderTest, WhereDnsFailsTheRecordedRecordIsTaken) {
  Had(StsSuccess());  // mailto:tls@example.com
  world.dns.Fail(kName, DnsType::kTxt);
  EXPECT_EQ(Built().reports, 1u);
  EXPECT_EQ(Queued(), std::string("example.com>") + kMail + " ");
}

TEST_F(DayBuilderTest, WhereDnsFailsAndNoneIsRecordedThereIsNoReport) {
  Had(DaneFailure());
  world.dns.Fail(kName, DnsType::kTxt);
  EXPECT_EQ(Built().unknown, 1u);
}

TEST_F(DayBuilderTest, WishesTellWhereTheyAreFrom) {
  Wants(kPost);
  Wishes wishes =
      world.Run(WishesOf(world.dns, "example.com", RecordOf(kMail)));
  EXPECT_FALSE(wishes.from_spool);
  ASSERT_EQ(wishes.destinations.size(), 1u);
  EXPECT_EQ(DestinationUri(wishes.destinations[0]), kPost);
  EXPECT_TRUE(wishes.problems.empty());
  world.dns.Fail(kName, DnsType::kTxt, "timeout");
  wishes = world.Run(WishesOf(world.dns, "example.com", RecordOf(kMail)));
  EXPECT_TRUE(wishes.from_spool);
  ASSERT_EQ(wishes.destinations.size(), 1u);
  EXPECT_EQ(DestinationUri(wishes.destinations[0]), kMail);
  EXPECT_TRUE(wishes.problems.empty());
  wishes = world.Run(WishesOf(world.dns, "example.com", ""));
  EXPECT_TRUE(wishes.destinations.empty());
  EXPECT_EQ(wishes.problems,
            std::vector<std::string>{
                "DNS failed, and the outcomes hold no record: timeout"});
}

// --- who gets none

TEST_F(DayBuilderTest, WithoutHttpsOnlyMailsGo) {
  configuration->options.report.https = false;
  Had(StsSuccess());
  Wants(std::string(kPost) + "," + kMail);
  EXPECT_EQ(Built().reports, 1u);
  EXPECT_EQ(Queued(), std::string("example.com>") + kMail + " ");
}

TEST_F(DayBuilderTest, WithoutHttpsADomainThatWantsNothingElseGetsNone) {
  configuration->options.report.https = false;
  Had(StsSuccess());
  Wants(kPost);
  EXPECT_EQ(Built().suppressed, 1u);
  EXPECT_EQ(Queued(), "");
}

TEST_F(DayBuilderTest, ASuppressedDomainGetsNoneAndIsNotAskedFor) {
  Suppress("example.com");
  Had(StsSuccess());
  Had(StsSuccess("example.org"));
  Wants(kMail);
  world.dns.Txt("_smtp._tls.example.org", {RecordOf(kMail)});
  const BuiltDay built = Built();
  EXPECT_EQ(built.suppressed, 1u);
  EXPECT_EQ(built.reports, 1u);
  EXPECT_EQ(Queued(), std::string("example.org>") + kMail + " ");
  EXPECT_EQ(world.dns.queries(kName, DnsType::kTxt), 0);
}

TEST_F(DayBuilderTest, SuppressedDestinationsAreLeftOut) {
  Suppress("tls@example.com\n@r.example.com\n");
  Had(StsSuccess());
  Wants(std::string(kMail) + "," + kPost + "," + kOtherMail);
  EXPECT_EQ(Built().reports, 1u);
  EXPECT_EQ(Queued(), std::string("example.com>") + kOtherMail + " ");
}

TEST_F(DayBuilderTest, ADomainWhoseDestinationsAreAllSuppressedGetsNone) {
  Suppress("tls@example.com\n@r.example.com\n");
  Had(StsSuccess());
  Wants(std::string(kMail) + "," + kPost);
  EXPECT_EQ(Built().suppressed, 1u);
}

// By the day on which it is built, not the one that it is about.
TEST_F(DayBuilderTest, SuppressionsExpire) {
  Had(StsSuccess());
  Wants(kMail);
  for (const char* entry : {"example.com", "tls@example.com", "@example.com"}) {
    world.clock.StepWall(kNow - world.clock.WallNow());
    Suppress(std::string(entry) + " until 2026-11-22");
    EXPECT_EQ(Built().suppressed, 1u) << entry;
    world.clock.StepWall(hours(24));
    EXPECT_EQ(Built().reports, 1u) << entry;
  }
}

TEST_F(DayBuilderTest, WithFailuresOnlyADomainWithoutGetsNone) {
  configuration->options.report.failures_only = true;
  Had(StsSuccess());
  Had(StsSuccess("example.org"));
  Had(DaneFailure("example.org"));
  Wants(kMail);
  world.dns.Txt("_smtp._tls.example.org", {RecordOf(kMail)});
  const BuiltDay built = Built();
  EXPECT_EQ(built.suppressed, 1u);
  EXPECT_EQ(built.reports, 1u);
  EXPECT_EQ(Queued(), std::string("example.org>") + kMail + " ");
  EXPECT_EQ(Rows().at(0).successful, 3u);
}

// --- our own mails (RFC 8460 section 3)

// Many mails may have gone in one session, and none of them may be told of.
TEST_F(DayBuilderTest, NumbersAreToldAsTheyWere) {
  MailsOfOurs(2);
  Had(StsSuccess());  // 3 sessions
  Wants(kPost);
  EXPECT_EQ(Built().reports, 1u);
  EXPECT_EQ(Rows(kDay).at(0).successful, 3u);
}

TEST_F(DayBuilderTest, ADomainThatHadOnlyOurMailsGetsNone) {
  MailsOfOurs(3);
  Had(StsSuccess());
  Wants(kPost);
  const BuiltDay built = Built();
  EXPECT_EQ(built.our_own, 1u);
  EXPECT_EQ(built.reports, 0u);
  EXPECT_EQ(Queued(), "");
}

TEST_F(DayBuilderTest, FailuresAreReportedWhoseverTheyAre) {
  MailsOfOurs(10);
  Had(StsSuccess());
  Had(DaneFailure());
  Wants(kPost);
  EXPECT_EQ(Built().reports, 1u);
  const DeliveryRow row = Rows(kDay).at(0);
  EXPECT_EQ(row.successful, 3u);
  EXPECT_EQ(row.failed, 1u);
}

TEST_F(DayBuilderTest, MailsOfOursToOthersDoNotMatter) {
  MailsOfOurs(3);
  Had(StsSuccess("example.org"));
  world.dns.Txt("_smtp._tls.example.org", {RecordOf(kPost)});
  EXPECT_EQ(Built().reports, 1u);
  EXPECT_EQ(Rows(kDay).at(0).successful, 3u);
}

DomainTotals TotalsOf(std::initializer_list<PolicyTotals> policies) {
  DomainTotals totals;
  totals.domain = "example.com";
  totals.policies = policies;
  return totals;
}

PolicyTotals PolicyWith(uint64_t successful, uint64_t failed) {
  PolicyTotals policy;
  policy.successful = successful;
  policy.failed = failed;
  return policy;
}

TEST(MayAllBeOurs, OnlySuccessesAndAsManyAsMails) {
  const DomainTotals five = TotalsOf({PolicyWith(2, 0), PolicyWith(3, 0)});
  EXPECT_FALSE(MayAllBeOurs(0, five));
  EXPECT_FALSE(MayAllBeOurs(4, five));
  EXPECT_TRUE(MayAllBeOurs(5, five));
  EXPECT_TRUE(MayAllBeOurs(UINT64_MAX, five));
  EXPECT_FALSE(MayAllBeOurs(1000, TotalsOf({PolicyWith(1, 1)})));
  DomainTotals totals = TotalsOf({PolicyWith(1, 0)});
  totals.policies[0].details.emplace_back();
  EXPECT_FALSE(MayAllBeOurs(1, totals));
}

// --- targets that are not served

TEST_F(DayBuilderTest, NobodyFromOutsideGetsReportsIntoOurHouse) {
  configuration->own_domains->Add("example.net");
  Had(StsSuccess());
  Had(StsSuccess("a.example.net"));
  Wants("mailto:all@lists.example.net," + std::string(kMail));
  world.dns.Txt("_smtp._tls.a.example.net",
                {RecordOf("mailto:tls@example.net")});
  const BuiltDay built = Built();
  EXPECT_EQ(built.reports, 2u);
  EXPECT_EQ(built.inside, 1u);
  EXPECT_EQ(StateOf("mailto:all@lists.example.net"), "dropped 0");
  EXPECT_EQ(StateOf(kMail), "waiting 0");
  EXPECT_EQ(StateOf("mailto:tls@example.net"), "waiting 0");
}

TEST_F(DayBuilderTest, NoTargetIsFlooded) {
  configuration->options.report.max_per_target = 2;
  for (int i = 0; i < 5; ++i) {
    const std::string name = "d" + std::to_string(i) + ".example";
    Had(StsSuccess(name));
    world.dns.Txt("_smtp._tls." + name, {RecordOf(kOtherMail)});
  }
  const BuiltDay built = Built();
  EXPECT_EQ(built.reports, 2u);
  EXPECT_EQ(built.too_many, 3u);
  EXPECT_EQ(built.suppressed, 3u);
}

TEST_F(DayBuilderTest, AnAddressWhoseMailsComeBackIsPaused) {
  Add({ReportAbout("old.example", {kMail}, kNow, kDay - std::chrono::days(1))});
  const Parcel parcel = LoadOnly();
  const std::string id = parcel.message_id;
  Settle(parcel, {DeliveryState::kDelivered, kNow, {}, ""});
  for (int day = 0; day < 3; ++day)
    EXPECT_TRUE(*queue().NoteBounce(id, "TLS@example.com",
                                    kNow - hours(24 * day), "5.1.1"));
  Had(StsSuccess());
  Had(DaneFailure());
  Wants(kMail);
  EXPECT_EQ(Built().suppressed, 1u);
  EXPECT_TRUE(*queue().Resume("tls@example.com"));
  EXPECT_TRUE(queue().Paused(kDay)->empty());
}

// A report-id is a hash of what everybody knows.
TEST_F(DayBuilderTest, OnlyWhoHasSeenTheMailCanSayThatItCameBack) {
  Add({ReportAbout("old.example", {kMail, kOtherMail}, kNow)});
  const std::string report_id = Rows().at(0).report_id;
  std::string id, other_id;
  for (const Parcel& parcel : Load(kNow)) {
    const std::string uri = DestinationUri(parcel.destination);
    (uri == kMail ? id : other_id) = parcel.message_id;
    Settle(parcel, {DeliveryState::kDelivered, kNow, {}, ""});
  }
  ASSERT_NE(id, other_id);
  const size_t at = id.find('@');
  const std::string forged = id.substr(0, at - 32) + std::string(32, '0');
  for (const std::string& message_id :
       {std::string(), report_id, forged + id.substr(at), id + "x", other_id,
        "." + id, id.substr(0, at - 1) + id.substr(at)})
    EXPECT_FALSE(*queue().NoteBounce(message_id, "tls@example.com", kNow, ""))
        << message_id;
  EXPECT_TRUE(*queue().NoteBounce(id, "TLS@example.com", kNow, ""));
  // It was forwarded where it went.
  EXPECT_TRUE(*queue().NoteBounce(id, "", kNow, ""));
  EXPECT_FALSE(*queue().NoteBounce(id, "else@example.com", kNow, ""));
}

TEST(HasFailures, ByTheSessionsOrTheDetails) {
  EXPECT_FALSE(HasFailures(TotalsOf({})));
  EXPECT_FALSE(HasFailures(TotalsOf({PolicyWith(5, 0)})));
  EXPECT_TRUE(HasFailures(TotalsOf({PolicyWith(5, 0), PolicyWith(0, 1)})));
  DomainTotals totals = TotalsOf({PolicyWith(5, 0)});
  totals.policies[0].details.emplace_back();
  EXPECT_TRUE(HasFailures(totals));
}

// --- a day as a whole

TEST_F(DayBuilderTest, ADayWithoutOutcomesHasNoReports) {
  const BuiltDay built = Built();
  EXPECT_EQ(built.domains, 0u);
  EXPECT_EQ(built.reports, 0u);
}

TEST_F(DayBuilderTest, OneDomainMayBeBuiltAlone) {
  Had(StsSuccess("a.example"));
  Had(StsSuccess("b.example"));
  for (const char* name : {"_smtp._tls.a.example", "_smtp._tls.b.example"})
    world.dns.Txt(name, {RecordOf(kMail)});
  EXPECT_EQ(Built("b.example").domains, 1u);
  EXPECT_EQ(Queued(), std::string("b.example>") + kMail + " ");
  EXPECT_EQ(Built("c.example").domains, 0u);
}

TEST_F(DayBuilderTest, ADayThatIsBuiltTwiceIsInTheQueueOnce) {
  Had(StsSuccess());
  Wants(kMail);
  EXPECT_EQ(Built().reports, 1u);
  Settle(LoadOnly(world.clock.WallNow()),
         {DeliveryState::kDelivered, kNow, {}, ""});
  Wants(kPost);
  Built();
  EXPECT_EQ(Queued(), std::string("example.com>") + kMail + " ");
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

TEST_F(DayBuilderTest, DeliveriesAreSpreadOverTheJitter) {
  configuration->options.report.jitter = hours(4);
  for (int i = 0; i < 100; ++i) {
    const std::string domain = "d" + std::to_string(i) + ".example";
    Had(StsSuccess(domain));
    world.dns.Txt("_smtp._tls." + domain, {RecordOf(kMail)});
  }
  EXPECT_EQ(Built().reports, 100u);
  const WallTime now = world.clock.WallNow();
  int early = 0;
  for (const DeliveryRow& row : Rows()) {
    ASSERT_TRUE(row.next);
    EXPECT_GE(*row.next, now);
    EXPECT_LT(*row.next, now + hours(4));
    early += *row.next < now + hours(2);
  }
  EXPECT_GT(early, 25);
  EXPECT_LT(early, 75);
}

TEST_F(DayBuilderTest, ThousandsOfDomainsAreLookedUpSomeAtATime) {
  constexpr int kDomains = 3000;
  for (int i = 0; i < kDomains; ++i) {
    const std::string domain = "d" + std::to_string(i) + ".example";
    Had(StsSuccess(domain));
    world.dns.Txt("_smtp._tls." + domain, {RecordOf(kMail)}).After(Seconds(1));
  }
  uint64_t done = 0, all = 0;
  const auto built = Build("", [&](uint64_t now_done, uint64_t of) {
    EXPECT_EQ(now_done, done + 1);
    done = now_done;
    all = of;
  });
  ASSERT_TRUE(built);
  EXPECT_EQ(built->reports, static_cast<uint64_t>(kDomains));
  EXPECT_EQ(done, static_cast<uint64_t>(kDomains));
  EXPECT_EQ(all, static_cast<uint64_t>(kDomains));
  EXPECT_EQ(world.dns.most_in_flight(), 200);
  EXPECT_EQ(world.clock.since_start(), Seconds(kDomains / 200));
  EXPECT_EQ(Days().at(0).reports, static_cast<uint64_t>(kDomains));
}

TEST_F(DayBuilderTest, ASlowDomainHoldsUpItselfAlone) {
  for (int i = 0; i < 400; ++i) {
    const std::string domain = "d" + std::to_string(i) + ".example";
    Had(StsSuccess(domain));
    world.dns.Txt("_smtp._tls." + domain, {RecordOf(kMail)})
        .After(Seconds(i < 199 ? 20 : 0));
  }
  EXPECT_EQ(Built().reports, 400u);
  EXPECT_EQ(world.clock.since_start(), Seconds(20));
}

// Slow domains hold up a batch: what is in it is not late but due.
TEST_F(DayBuilderTest, NoDeliveryIsQueuedForTimesThatHavePassed) {
  Had(StsSuccess());
  Had(StsSuccess("example.org"));
  Wants(kMail);
  world.dns.Txt("_smtp._tls.example.org", {RecordOf(kMail)}).After(Seconds(20));
  EXPECT_EQ(Built().reports, 2u);
  for (const DeliveryRow& row : Rows())
    EXPECT_GE(row.next, world.clock.WallNow()) << row.domain;
}

// --- trouble

TEST_F(DayBuilderTest, AQueueThatTakesNothingIsAnErrorAndTheDayIsBuiltAgain) {
  Had(StsSuccess());
  Wants(kMail);
  {
    const FullDisk full;
    const auto built = Build();
    ASSERT_FALSE(built);
    EXPECT_EQ(built.error().message.find("cannot write the queue of reports"),
              0u);
  }
  EXPECT_EQ(Queued(), "");
  EXPECT_EQ(Built().reports, 1u);
  EXPECT_EQ(Queued(), std::string("example.com>") + kMail + " ");
}

TEST_F(DayBuilderTest, AQueueThatCannotBeReadIsAnError) {
  Had(StsSuccess());
  Wants(kMail);
  Sql("ALTER TABLE mails RENAME TO gone");
  EXPECT_FALSE(Build());
}

class ThrowingResolver final : public Resolver {
 public:
  explicit ThrowingResolver(Resolver& resolver) : resolver_(resolver) {}
  Awaitable<DnsAnswer> Query(std::string name, DnsType type) override {
    DnsAnswer answer = co_await resolver_.Query(name, type);
    if (name == "_smtp._tls.bad.example") throw std::runtime_error("a bug");
    co_return answer;
  }
  Awaitable<DnsAnswer> QueryUnchecked(std::string name, DnsType type) override {
    return Query(std::move(name), type);
  }
  DnssecState Dnssec() const override { return DnssecState::kOn; }

 private:
  Resolver& resolver_;
};

TEST_F(DayBuilderTest, AnExceptionEndsItsDomainOnly) {
  ThrowingResolver throwing(world.dns);
  resolver = &throwing;
  Had(StsSuccess());
  Had(StsSuccess("bad.example"));
  Wants(kMail);
  const BuiltDay built = Built();
  EXPECT_EQ(built.reports, 1u);
  EXPECT_EQ(built.broken, 1u);
  EXPECT_EQ(Queued(), std::string("example.com>") + kMail + " ");
}

}  // namespace
}  // namespace postern
