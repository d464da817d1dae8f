#include "report-sender/report_queue.h"

#include <csignal>
#include <functional>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/report-sender/queue_folder.h"
#include "tests/support/full_disk.h"

namespace postern {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

constexpr char kMail[] = "mailto:tls@example.com";
constexpr char kOtherMail[] = "mailto:reports@example.net";
constexpr char kPost[] = "https://r.example.com/v1";

class ReportQueueTest : public testing::Test, public QueueFolder {
 protected:
  std::string IdOf(const std::string& domain, Day day = kDay) {
    return ReportId(day, domain, ExampleOrg());
  }
  // The delivery's blob in the file, or that there is none.
  bool HasBlobs() {
    return SqlNumber(
               "SELECT count(*) FROM reports WHERE gzip IS NOT NULL OR "
               "text IS NOT NULL") > 0;
  }
  // All that is due by `until` ends so.
  void SettleAll(const Settlement& settlement, WallTime until = kNow) {
    for (const Parcel& parcel : Load(until)) Settle(parcel, settlement);
  }
  size_t DueBy(WallTime until, WallTime after = WallTime{}) {
    const auto due = queue().Due(after, until);
    EXPECT_TRUE(due);
    return due ? due->size() : 0;
  }

  const Settlement delivered{DeliveryState::kDelivered, kNow, {}, ""};
  const Settlement given_up{DeliveryState::kGivenUp, kNow, {}, "no room"};
  const Settlement failed{DeliveryState::kWaiting, kNow, kNow + minutes(5),
                          "no room"};
};

// --- reports

TEST_F(ReportQueueTest, ANewReportHasItsDeliveries) {
  Add({ReportAbout("example.com", {kMail, kPost}, kNow + hours(1))});
  const auto rows = Rows();
  ASSERT_EQ(rows.size(), 2u);
  for (const DeliveryRow& row : rows) {
    EXPECT_EQ(row.report_id, IdOf("example.com"));
    EXPECT_EQ(row.day, kDay);
    EXPECT_EQ(row.domain, "example.com");
    EXPECT_EQ(row.successful, 7u);
    EXPECT_EQ(row.failed, 3u);
    EXPECT_EQ(row.state, DeliveryState::kWaiting);
    EXPECT_EQ(row.attempts, 0);
    EXPECT_EQ(row.next, kNow + hours(1));
    EXPECT_FALSE(row.finished);
    EXPECT_EQ(row.reason, "");
  }
  EXPECT_EQ(rows[0].destination, kMail);
  EXPECT_EQ(rows[1].destination, kPost);
}

TEST_F(ReportQueueTest, AParcelHasAllThatItTakesToDeliver) {
  Add({ReportAbout("example.com", {"mailto:a%2Bb@example.com"})},
      kNow - hours(1));
  Reopen();
  const Parcel parcel = LoadOnly();
  EXPECT_EQ(DestinationUri(parcel.destination),
            DestinationUri(DestinationOf("mailto:a%2Bb@example.com")));
  EXPECT_EQ(parcel.identity, ExampleIdentity());
  EXPECT_EQ(parcel.day, kDay);
  EXPECT_EQ(parcel.domain, "example.com");
  EXPECT_EQ(parcel.date, kNow - hours(1));
  EXPECT_EQ(parcel.text, "text about example.com");
  EXPECT_EQ(parcel.gzip, std::string("gzip\0about example.com", 22));
  EXPECT_EQ(parcel.attempts, 0);
  EXPECT_FALSE(parcel.first_attempt);
}

TEST_F(ReportQueueTest, AReportIsThereOnceHoweverOftenItIsAdded) {
  Add({ReportAbout("example.com", {kMail})});
  Add({ReportAbout("example.com", {kMail})}, kNow + hours(1));
  Reopen();
  Add({ReportAbout("example.com", {kMail}),
       ReportAbout("example.com", {kMail})});
  EXPECT_EQ(Rows().size(), 1u);
  EXPECT_EQ(LoadOnly().date, kNow);
}

TEST_F(ReportQueueTest, AReportThatIsThereStaysAsItIs) {
  Add({ReportAbout("example.com", {kMail})});
  NewReport other = ReportAbout("example.com", {kPost, kOtherMail});
  other.gzip = "other";
  other.failed = 9;
  Add({other});
  ASSERT_EQ(Rows().size(), 1u);
  EXPECT_EQ(Rows()[0].destination, kMail);
  EXPECT_EQ(Rows()[0].failed, 3u);
  EXPECT_NE(LoadOnly().gzip, "other");
}

TEST_F(ReportQueueTest, AReportThatWasDeliveredIsNotAddedAgain) {
  Add({ReportAbout("example.com", {kMail})});
  Settle(LoadOnly(), delivered);
  Add({ReportAbout("example.com", {kMail})});
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

TEST_F(ReportQueueTest, EveryDayAndDomainHasOneOfItsOwn) {
  Add({ReportAbout("example.com", {kMail}), ReportAbout("example.org", {kMail}),
       ReportAbout("example.com", {kMail}, kNow, kDay - days(1))});
  EXPECT_EQ(Rows().size(), 3u);
}

// RFC 8460 section 5.5: a repeat is the same report.
TEST_F(ReportQueueTest, AReportKeepsTheIdentityItWasBuiltWith) {
  Add({ReportAbout("example.com", {kMail})});
  Identity other = ExampleIdentity();
  other.submitter.organization_name = "Another Name";
  other.sender = "another@example.org";
  Add({ReportAbout("example.org", {kPost})}, kNow, other);
  const auto parcels = Load(kNow);
  ASSERT_EQ(parcels.size(), 2u);
  EXPECT_EQ(parcels[0].identity, ExampleIdentity());
  EXPECT_EQ(parcels[1].identity, other);
}

TEST_F(ReportQueueTest, AReportIsThereOnceWhoeverWeAreMeanwhile) {
  Add({ReportAbout("example.com", {kMail})});
  for (std::string Submitter::*part :
       {&Submitter::organization_name, &Submitter::contact_info,
        &Submitter::domain, &Submitter::instance}) {
    Identity other = ExampleIdentity();
    other.submitter.*part = "other.example";
    Add({ReportAbout("example.com", {kMail})}, kNow, other);
  }
  ASSERT_EQ(Rows().size(), 1u);
  EXPECT_EQ(LoadOnly().identity, ExampleIdentity());
}

TEST_F(ReportQueueTest, AllOfABatchAreAddedOrNone) {
  const NewReport twice = ReportAbout("example.org", {kMail, kMail});
  EXPECT_FALSE(
      queue().Add(std::vector{ReportAbout("example.com", {kMail}), twice},
                  ExampleIdentity(), kNow));
  EXPECT_TRUE(Rows().empty());
  Add({ReportAbout("example.com", {kMail})});
  EXPECT_EQ(Rows().size(), 1u);
}

// --- what is due

TEST_F(ReportQueueTest, WhatIsDueComesWithItsTime) {
  Add({ReportAbout("a.example", {kMail}, kNow + Seconds(2)),
       ReportAbout("b.example", {kPost}, kNow + Seconds(1)),
       ReportAbout("c.example", {kMail}, kNow + Seconds(3))});
  EXPECT_EQ(DueBy(kNow), 0u);
  EXPECT_EQ(DueBy(kNow + Seconds(1)), 1u);
  EXPECT_EQ(DueBy(kNow + Seconds(2)), 2u);
  EXPECT_EQ(DueBy(kNow + hours(1)), 3u);
  // Both ends included.
  EXPECT_EQ(DueBy(kNow + Seconds(2), kNow + Seconds(1)), 2u);
  EXPECT_EQ(DueBy(kNow + Seconds(2), kNow + Seconds(2)), 1u);
  EXPECT_EQ(DueBy(kNow + hours(1), kNow + Seconds(4)), 0u);
}

TEST_F(ReportQueueTest, WhatIsDueFirstComesFirstWithItsHost) {
  Add({ReportAbout("a.example", {kMail}, kNow + hours(2)),
       ReportAbout("b.example", {"https://r.example.com:8443/"},
                   kNow + hours(1))});
  const auto due = queue().Due(WallTime{}, kNow + hours(2));
  ASSERT_TRUE(due);
  ASSERT_EQ(due->size(), 2u);
  EXPECT_EQ((*due)[0].host, "r.example.com");
  EXPECT_FALSE((*due)[0].by_mail);
  EXPECT_EQ((*due)[1].host, "example.com");
  EXPECT_TRUE((*due)[1].by_mail);
}

// Somebody who asks from one time to the next has to find it.
TEST_F(ReportQueueTest, NothingBecomesDueBeforeItIsAdded) {
  Add({ReportAbout("example.com", {kMail}, kNow - hours(1))}, kNow);
  EXPECT_EQ(Rows()[0].next, kNow);
}

TEST_F(ReportQueueTest, WhatIsNotThereIsNotLoaded) {
  const auto parcel = queue().Load(1);
  ASSERT_TRUE(parcel);
  EXPECT_FALSE(*parcel);
}

// --- how deliveries end

TEST_F(ReportQueueTest, AFailedAttemptIsMadeAgain) {
  Add({ReportAbout("example.com", {kMail})});
  Settle(LoadOnly(), failed);
  EXPECT_EQ(DueBy(kNow + Seconds(299)), 0u);
  const Parcel again = LoadOnly(kNow + minutes(5));
  EXPECT_EQ(again.attempts, 1);
  EXPECT_EQ(again.first_attempt, kNow);
  Settle(again, {DeliveryState::kWaiting, kNow + minutes(5), kNow + minutes(15),
                 "still no room"});
  const Parcel third = LoadOnly(kNow + minutes(15));
  EXPECT_EQ(third.attempts, 2);
  EXPECT_EQ(third.first_attempt, kNow);
  const DeliveryRow row = Rows()[0];
  EXPECT_EQ(row.state, DeliveryState::kWaiting);
  EXPECT_EQ(row.attempts, 2);
  EXPECT_EQ(row.next, kNow + minutes(15));
  EXPECT_FALSE(row.finished);
  EXPECT_EQ(row.reason, "still no room");
}

TEST_F(ReportQueueTest, ADeliveryThatIsOverIsNotDue) {
  for (const Settlement& end : {delivered, given_up}) {
    const std::string domain =
        DeliveryStateName(end.state) + std::string(".example");
    Add({ReportAbout(domain, {kMail})});
    const Parcel parcel = LoadOnly();
    Settle(parcel, end);
    EXPECT_EQ(DueBy(kNow + hours(1000)), 0u);
    EXPECT_FALSE(*queue().Load(parcel.number));
  }
  const DeliveryRow row = Rows()[1];
  EXPECT_EQ(row.state, DeliveryState::kGivenUp);
  EXPECT_EQ(row.finished, kNow);
  EXPECT_FALSE(row.next);
  EXPECT_EQ(row.reason, "no room");
}

TEST_F(ReportQueueTest, DeliveriesOfAReportEndEachByItself) {
  Add({ReportAbout("example.com", {kMail, kPost, kOtherMail})});
  const auto parcels = Load(kNow);
  ASSERT_EQ(parcels.size(), 3u);
  Settle(parcels[0], delivered);
  Settle(parcels[1], given_up);
  Settle(parcels[2], failed);
  Reopen();
  EXPECT_EQ(StateOf(kMail), "delivered 1");
  EXPECT_EQ(StateOf(kPost), "given-up 1");
  EXPECT_EQ(StateOf(kOtherMail), "waiting 1");
}

TEST_F(ReportQueueTest, TheContentsGoWhenAllIsDelivered) {
  Add({ReportAbout("example.com", {kMail, kPost})});
  const auto parcels = Load(kNow);
  Settle(parcels.at(0), delivered);
  EXPECT_TRUE(HasBlobs());
  Settle(parcels.at(1), delivered);
  EXPECT_FALSE(HasBlobs());
  const auto retried = queue().Retry(IdOf("example.com"), kNow);
  ASSERT_TRUE(retried);
  EXPECT_EQ(*retried, 0u);
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

TEST_F(ReportQueueTest, TheContentsStayWhileSomethingIsNotDelivered) {
  Add({ReportAbout("example.com", {kMail, kPost})});
  const auto parcels = Load(kNow);
  Settle(parcels.at(0), given_up);
  Settle(parcels.at(1), delivered);
  EXPECT_TRUE(HasBlobs());
}

// --- the operator's word

TEST_F(ReportQueueTest, WhatWasGivenUpCanBeTriedAgain) {
  Add({ReportAbout("example.com", {kMail, kPost})});
  const auto parcels = Load(kNow);
  Settle(parcels.at(0), given_up);
  Settle(parcels.at(1), delivered);
  const WallTime later = kNow + hours(48);
  const auto retried = queue().Retry(IdOf("example.com"), later);
  ASSERT_TRUE(retried);
  EXPECT_EQ(*retried, 1u);
  const Parcel parcel = LoadOnly(later);
  EXPECT_EQ(parcel.gzip, parcels[0].gzip);
  EXPECT_FALSE(parcel.first_attempt);  // it has its whole time again
  EXPECT_EQ(StateOf(kPost), "delivered 1");
}

TEST_F(ReportQueueTest, WhatWaitsCanBeTriedNow) {
  Add({ReportAbout("example.com", {kMail}, kNow + hours(3))});
  EXPECT_EQ(*queue().Retry(IdOf("example.com"), kNow), 1u);
  EXPECT_EQ(DueBy(kNow), 1u);
}

TEST_F(ReportQueueTest, WhatIsDroppedIsNotDelivered) {
  Add({ReportAbout("example.com", {kMail, kPost})});
  const auto parcels = Load(kNow);
  Settle(parcels.at(0), delivered);
  const auto dropped = queue().Drop(IdOf("example.com"), kNow + hours(1));
  ASSERT_TRUE(dropped);
  EXPECT_EQ(*dropped, 1u);
  EXPECT_FALSE(*queue().Load(parcels[1].number));
  EXPECT_EQ(DueBy(kNow + hours(1000)), 0u);
  EXPECT_EQ(StateOf(kMail), "delivered 1");
  EXPECT_EQ(StateOf(kPost), "dropped 0");
  EXPECT_EQ(Rows()[1].finished, kNow + hours(1));
  EXPECT_EQ(*queue().Drop(IdOf("example.com"), kNow), 0u);
}

TEST_F(ReportQueueTest, WhatWasDroppedCanBeTriedAgain) {
  Add({ReportAbout("example.com", {kMail})});
  EXPECT_EQ(*queue().Drop(IdOf("example.com"), kNow), 1u);
  EXPECT_EQ(*queue().Retry(IdOf("example.com"), kNow), 1u);
  EXPECT_EQ(LoadOnly().text, "text about example.com");
}

TEST_F(ReportQueueTest, WhatIsDroppedWhileItIsTriedStaysDropped) {
  for (const Settlement& end : {failed, given_up}) {
    const std::string domain =
        DeliveryStateName(end.state) + std::string(".example");
    Add({ReportAbout(domain, {kMail})});
    const Parcel parcel = LoadOnly();
    EXPECT_EQ(*queue().Drop(IdOf(domain), kNow), 1u);
    Settle(parcel, end);
  }
  EXPECT_EQ(StateOf(kMail), "dropped 0, dropped 0");
}

TEST_F(ReportQueueTest, WhatIsDroppedWhileItIsTriedMayArrive) {
  Add({ReportAbout("example.com", {kMail})});
  const Parcel parcel = LoadOnly();
  EXPECT_EQ(*queue().Drop(IdOf("example.com"), kNow), 1u);
  Settle(parcel, delivered);
  EXPECT_EQ(StateOf(kMail), "delivered 1");
  EXPECT_FALSE(HasBlobs());
}

TEST_F(ReportQueueTest, HastenMakesDueWhatWaitsOfADay) {
  const WallTime later = kNow + hours(3);
  Add({ReportAbout("a.example", {kMail, kPost}, later),
       ReportAbout("b.example", {kMail}, later),
       ReportAbout("a.example", {kMail}, later, kDay - days(1))});
  EXPECT_EQ(*queue().Hasten(kDay, "a.example", kNow), 2u);
  EXPECT_EQ(DueBy(kNow), 2u);
  SettleAll(delivered);
  EXPECT_EQ(*queue().Hasten(kDay, "", kNow), 1u);
  EXPECT_EQ(DueBy(kNow), 1u);
  EXPECT_EQ(*queue().Hasten(kDay, "c.example", kNow), 0u);
  EXPECT_EQ(*queue().Hasten(kDay + days(1), "", kNow), 0u);
}

TEST_F(ReportQueueTest, OverdueIsWhatWaitsOfADayAndIsDue) {
  Add({ReportAbout("a.example", {kMail, kPost}),
       ReportAbout("b.example", {kMail}),
       ReportAbout("c.example", {kMail}, kNow + Seconds(1)),
       ReportAbout("a.example", {kMail}, kNow, kDay - days(1))});
  EXPECT_EQ(*queue().Overdue(kDay, "", kNow), 3u);
  EXPECT_EQ(*queue().Overdue(kDay, "a.example", kNow), 2u);
  EXPECT_EQ(*queue().Overdue(kDay, "c.example", kNow), 0u);
  EXPECT_EQ(*queue().Overdue(kDay, "c.example", kNow + Seconds(1)), 1u);
  SettleAll(failed);
  EXPECT_EQ(*queue().Overdue(kDay, "", kNow), 0u);
  EXPECT_EQ(*queue().Waiting(), 5u);
}

// --- IDs

TEST_F(ReportQueueTest, AReportIsNamedByItsIdOrTheBeginningOfIt) {
  Add({ReportAbout("example.com", {kMail}),
       ReportAbout("example.org", {kMail})});
  const std::string id = IdOf("example.com");
  for (const std::string& name :
       {id, id.substr(0, id.find('@')), id.substr(0, id.find('@') + 4),
        id.substr(0, 6), id.substr(0, 10)}) {
    const auto retried = queue().Retry(name, kNow);
    ASSERT_TRUE(retried) << name << ": " << retried.error().message;
    EXPECT_EQ(*retried, 1u) << name;
  }
}

TEST_F(ReportQueueTest, ABeginningThatSeveralHaveIsRefused) {
  Add({ReportAbout("example.com", {kMail}),
       ReportAbout("example.org", {kMail})});
  Sql("UPDATE reports SET id = 'abcdef' || number || '@example.org'");
  const auto retried = queue().Retry("abcdef", kNow);
  ASSERT_FALSE(retried);
  EXPECT_EQ(retried.error().message,
            "several reports begin with 'abcdef'; give more of the ID");
  EXPECT_TRUE(queue().Retry("abcdef1", kNow));
}

TEST_F(ReportQueueTest, AnIdThatIsNotThereIsRefused) {
  Add({ReportAbout("example.com", {kMail})});
  const std::string id = IdOf("example.com");
  for (const std::string& name :
       {std::string("abcdefabcdef"), id + "x", id.substr(1),
        std::string("%%%%%%%%"), std::string("______")}) {
    const auto dropped = queue().Drop(name, kNow);
    ASSERT_FALSE(dropped) << name;
    EXPECT_EQ(dropped.error().message,
              "there is no report '" + name +
                  "' (postern-report status shows their IDs)");
  }
  EXPECT_EQ(queue().Drop("\x1b[2J\x1b[2J", kNow).error().message,
            "there is no report '\\x1b[2J\\x1b[2J' (postern-report status "
            "shows their IDs)");
}

TEST_F(ReportQueueTest, AnIdThatIsTooShortIsRefused) {
  Add({ReportAbout("example.com", {kMail})});
  for (const std::string& name :
       {std::string(), IdOf("example.com").substr(0, 5),
        std::string("@example.org"), std::string("abc@example.org")}) {
    const auto retried = queue().Retry(name, kNow);
    ASSERT_FALSE(retried) << name;
    EXPECT_EQ(retried.error().message,
              "the ID '" + name +
                  "' is too short: give at least 6 of its characters "
                  "(postern-report status shows it)");
  }
}

// --- days

TEST_F(ReportQueueTest, ADayIsClosedOnce) {
  EXPECT_FALSE(*queue().IsClosed(kDay, kNow));
  EXPECT_TRUE(queue().Close({kDay, kNow, 100, 1, 2, 3}));
  EXPECT_TRUE(*queue().IsClosed(kDay, kNow));
  EXPECT_FALSE(*queue().IsClosed(kDay + days(1), kNow));
  EXPECT_TRUE(queue().Close({kDay, kNow + hours(1), 0, 0, 0, 0}));
  Reopen();
  EXPECT_TRUE(*queue().IsClosed(kDay, kNow));
  const auto rows = Days();
  ASSERT_EQ(rows.size(), 1u);
  const auto& closed = rows[0].closed;
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->at, kNow);
  EXPECT_EQ(closed->lines, 100u);
  EXPECT_EQ(closed->skipped, 1u);
  EXPECT_EQ(closed->lost, 2u);
  EXPECT_EQ(closed->domains, 3u);
}

TEST_F(ReportQueueTest, DaysTellWhatBecameOfTheirReports) {
  Add({ReportAbout("a.example", {kMail, kPost}),
       ReportAbout("b.example", {kMail}), ReportAbout("c.example", {kMail}),
       ReportAbout("d.example", {kMail}, kNow + hours(1)),
       ReportAbout("a.example", {kMail}, kNow + hours(1), kDay + days(1))});
  const auto parcels = Load(kNow);
  ASSERT_EQ(parcels.size(), 4u);
  Settle(parcels[0], delivered);
  Settle(parcels[1], given_up);
  Settle(parcels[2], failed);
  EXPECT_EQ(*queue().Drop(IdOf("c.example"), kNow), 1u);
  EXPECT_TRUE(queue().Close({kDay - days(1), kNow, 0, 0, 0, 0}));
  const auto rows = Days();
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].day, kDay - days(1));
  EXPECT_TRUE(rows[0].closed);
  EXPECT_EQ(rows[0].reports, 0u);
  const DayRow& day = rows[1];
  EXPECT_EQ(day.day, kDay);
  EXPECT_FALSE(day.closed);
  EXPECT_EQ(day.reports, 4u);
  EXPECT_EQ(day.reports_delivered, 1u);
  const uint64_t by_state[] = {2, 1, 1, 1};
  for (int state = 0; state < 4; ++state)
    EXPECT_EQ(day.by_state[state], by_state[state])
        << DeliveryStateName(static_cast<DeliveryState>(state));
  EXPECT_EQ(rows[2].day, kDay + days(1));
  EXPECT_EQ(rows[2].reports, 1u);
}

TEST_F(ReportQueueTest, AReportIsDeliveredWhenOneHasTakenIt) {
  Add({ReportAbout("example.com", {kMail, kPost})});
  SettleAll(delivered);
  EXPECT_EQ(Days().at(0).reports_delivered, 1u);
  EXPECT_EQ(Days().at(0).by_state[1], 2u);
}

TEST_F(ReportQueueTest, DeliveriesAreOfADayOrAllWithTheDeliveredOrWithout) {
  Add({ReportAbout("b.example", {kMail}), ReportAbout("a.example", {kMail})});
  SettleAll(delivered);
  Add({ReportAbout("c.example", {kMail}),
       ReportAbout("a.example", {kMail}, kNow, kDay - days(1))});
  const auto domains = [&](std::optional<Day> day, bool all) {
    std::string told;
    for (const DeliveryRow& row : Rows(day, all))
      told += FormatDay(row.day).substr(8) + row.domain.substr(0, 1) + " ";
    return told;
  };
  EXPECT_EQ(domains({}, true), "21a 22a 22b 22c ");
  EXPECT_EQ(domains({}, false), "21a 22c ");
  EXPECT_EQ(domains(kDay, true), "22a 22b 22c ");
  EXPECT_EQ(domains(kDay, false), "22c ");
  EXPECT_EQ(domains(kDay + days(1), true), "");
}

// --- mails of ours

TEST_F(ReportQueueTest, MailsThatWereTakenAreCountedByDayAndDomain) {
  Add({ReportAbout("a.example", {kMail, kPost, kOtherMail}),
       ReportAbout("b.example", {kMail}), ReportAbout("c.example", {kMail})});
  const auto parcels = Load(kNow);
  ASSERT_EQ(parcels.size(), 5u);
  for (const Parcel& parcel : parcels)
    Settle(parcel, parcel.domain == "c.example" ? failed : delivered);
  EXPECT_EQ(*queue().MailsTo("example.com", kDay), 2u);
  EXPECT_EQ(*queue().MailsTo("example.net", kDay), 1u);
  EXPECT_EQ(*queue().MailsTo("r.example.com", kDay), 0u);
  EXPECT_EQ(*queue().MailsTo("example.com", kDay - days(1)), 0u);
  Settle(LoadOnly(kNow + hours(1)),
         {DeliveryState::kDelivered, kNow + days(1), {}, ""});
  EXPECT_EQ(*queue().MailsTo("example.com", kDay), 2u);
  EXPECT_EQ(*queue().MailsTo("example.com", kDay + days(1)), 1u);
}

// A clock that was ahead has closed days. When they come, they are open.
TEST_F(ReportQueueTest, ADayClosedInTheFutureIsOpen) {
  const WallTime wrong = kNow + days(400);
  const Day future = DayOf(wrong) - days(1);
  EXPECT_TRUE(queue().Close({kDay, wrong, 1, 0, 0, 0}));
  EXPECT_TRUE(queue().Close({future, wrong, 0, 0, 0, 0}));
  EXPECT_TRUE(*queue().IsClosed(future, wrong));
  EXPECT_FALSE(*queue().IsClosed(kDay, kNow));
  EXPECT_FALSE(*queue().IsClosed(future, wrong - Seconds(1)));
  EXPECT_TRUE(queue().Close({kDay, kNow, 7, 0, 0, 0}));
  EXPECT_TRUE(*queue().IsClosed(kDay, kNow));
  EXPECT_EQ(Days().front().closed->lines, 7u);
}

// --- forgetting

TEST_F(ReportQueueTest, AClockThatWasAheadCostsAsManyDaysAsItClosed) {
  for (int ago = 9; ago >= 0; --ago) {
    const Day day = kDay - days(ago);
    Add({ReportAbout("a.example", {kMail}, kNow, day)});
    SettleAll(delivered);
    EXPECT_TRUE(queue().Close({day, kNow, 1, 0, 0, 1}));
  }
  for (int ahead : {397, 398, 399}) {
    EXPECT_TRUE(
        queue().Close({kDay + days(ahead), kNow + days(400), 0, 0, 0, 0}));
    EXPECT_TRUE(queue().Forget(10));
  }
  EXPECT_EQ(Rows().size(), 7u);
  EXPECT_TRUE(*queue().IsClosed(kDay - days(9), kNow));
}

TEST_F(ReportQueueTest, ForgetKeepsWhatWaits) {
  const Day old = kDay - days(10);
  Add({ReportAbout("delivered.example", {kMail}, kNow, old)});
  SettleAll(delivered);
  Add({ReportAbout("given-up.example", {kMail}, kNow, old)});
  SettleAll(given_up);
  Add({ReportAbout("new.example", {kMail}, kNow, kDay)});
  SettleAll(delivered);
  Add({ReportAbout("dropped.example", {kMail}, kNow, old)});
  EXPECT_EQ(*queue().Drop(IdOf("dropped.example", old), kNow), 1u);
  Add({ReportAbout("waits.example", {kMail, kPost}, kNow, old)});
  Settle(Load(kNow).at(0), delivered);
  EXPECT_TRUE(queue().Close({old, kNow, 0, 0, 0, 0}));
  EXPECT_TRUE(queue().Close({kDay, kNow, 0, 0, 0, 0}));
  EXPECT_TRUE(queue().Forget(2));
  EXPECT_EQ(Rows().size(), 6u);
  EXPECT_TRUE(queue().Forget(1));
  std::string domains;
  for (const DeliveryRow& row : Rows()) domains += row.domain + " ";
  EXPECT_EQ(domains, "waits.example waits.example new.example ");
  // For good: nothing reports it again.
  EXPECT_TRUE(*queue().IsClosed(old, kNow));
  EXPECT_TRUE(*queue().IsClosed(kDay, kNow));
  EXPECT_EQ(SqlNumber("SELECT count(*) FROM deliveries"), 3);
}

TEST_F(ReportQueueTest, ForgetForgetsTheMailsOfOldDays) {
  Add({ReportAbout("example.com", {kMail})});
  SettleAll(delivered);
  EXPECT_TRUE(queue().Forget(1));  // no day is closed
  EXPECT_TRUE(queue().Close({kDay, kNow, 0, 0, 0, 0}));
  EXPECT_TRUE(queue().Forget(1));
  EXPECT_EQ(*queue().MailsTo("example.com", kDay), 1u);
  EXPECT_TRUE(queue().Close({kDay + days(1), kNow, 0, 0, 0, 0}));
  EXPECT_TRUE(queue().Forget(1));
  EXPECT_EQ(*queue().MailsTo("example.com", kDay), 0u);
}

// --- the file

std::string ErrorOf(const Result<std::unique_ptr<ReportQueue>>& opened) {
  EXPECT_FALSE(opened);
  return opened ? "" : opened.error().message;
}

TEST_F(ReportQueueTest, IsOpenedOnlyWhereThereIsOne) {
  const auto none = ReportQueue::OpenExisting(folder.PathOf("none.db"));
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, nullptr);
  EXPECT_FALSE(std::filesystem::exists(folder.PathOf("none.db")));
  const auto one = ReportQueue::OpenExisting(path());
  ASSERT_TRUE(one);
  EXPECT_NE(*one, nullptr);
}

TEST_F(ReportQueueTest, InAFolderThatIsNotThereIsAnError) {
  const std::string nowhere = folder.PathOf("no/reports.db");
  EXPECT_EQ(ErrorOf(ReportQueue::Open(nowhere)),
            "cannot open the queue of reports " + nowhere +
                ": unable to open database file");
}

TEST_F(ReportQueueTest, AnotherProgramsFileIsRefusedUntouched) {
  const TemporaryFolder other;
  const std::string file = other.PathOf("other.db");
  sqlite3* db = nullptr;
  sqlite3_open(file.c_str(), &db);
  EXPECT_EQ(sqlite::Execute(db, "CREATE TABLE t(x)"), SQLITE_OK);
  sqlite3_close(db);
  const auto before = std::filesystem::file_size(file);
  EXPECT_EQ(ErrorOf(ReportQueue::Open(file)),
            file + " is no queue of reports; move it away");
  EXPECT_EQ(ErrorOf(ReportQueue::OpenExisting(file)),
            file + " is no queue of reports; move it away");
  EXPECT_EQ(std::filesystem::file_size(file), before);
}

TEST_F(ReportQueueTest, AFileThatIsNoDatabaseIsRefusedUntouched) {
  const std::string text = folder.Write("text", std::string(5000, 'x'));
  EXPECT_EQ(ErrorOf(ReportQueue::Open(text)),
            text + " is no queue of reports; move it away");
  EXPECT_EQ(std::filesystem::file_size(text), 5000u);
}

TEST_F(ReportQueueTest, AFileOfANewerVersionIsRefused) {
  Sql("PRAGMA user_version = 2");
  EXPECT_EQ(ErrorOf(ReportQueue::Open(path())),
            path() + " is of a newer version of Postern; install that");
}

TEST_F(ReportQueueTest, IsNotForEverybodyToRead) {
  Add({ReportAbout("example.com", {kMail})});
  for (const char* part : {"", "-wal", "-shm"}) {
    struct stat file {};
    ASSERT_EQ(stat((path() + part).c_str(), &file), 0) << part;
    EXPECT_EQ(file.st_mode & 07, 0u) << part;
  }
}

// A delivery that is repeated, also by another process, is the same mail; a
// queue of an earlier version gets a secret of its own.
TEST_F(ReportQueueTest, AMailKeepsItsMessageId) {
  Add({ReportAbout("example.com", {kMail})});
  const std::string id = Load(kNow).at(0).message_id;
  EXPECT_EQ(id.size(), Rows().at(0).report_id.size() + 33);
  Reopen();
  EXPECT_EQ(Load(kNow).at(0).message_id, id);
  Sql("DROP TABLE secret");
  Reopen();
  const std::string another = Load(kNow).at(0).message_id;
  EXPECT_EQ(another.size(), id.size());
  EXPECT_NE(another, id);
}

TEST_F(ReportQueueTest, SeveralProgramsMayHaveItOpen) {
  const auto other = Open();
  Add({ReportAbout("example.com", {kMail})});
  EXPECT_EQ(*other->Waiting(), 1u);
  EXPECT_EQ(*other->Drop(IdOf("example.com"), kNow), 1u);
  EXPECT_EQ(StateOf(kMail), "dropped 0");
}

TEST_F(ReportQueueTest, AFullDiskIsAnErrorAndNothingIsHalfWritten) {
  Add({ReportAbout("a.example", {kMail})});
  const Parcel parcel = LoadOnly();
  {
    const FullDisk full;
    const Status added =
        queue().Add(std::vector{ReportAbout("b.example", {kMail, kPost})},
                    ExampleIdentity(), kNow);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().message.find("cannot write the queue of reports " +
                                         path() + ": "),
              0u);
    EXPECT_FALSE(
        queue().Settle(std::vector<EndedAttempt>{{parcel, delivered}}));
    EXPECT_FALSE(queue().Close({kDay, kNow, 0, 0, 0, 0}));
  }
  EXPECT_EQ(Rows().size(), 1u);
  EXPECT_EQ(StateOf(kMail), "waiting 0");
  Settle(parcel, delivered);
  EXPECT_EQ(StateOf(kMail), "delivered 1");
}

// --- several processes

// A child process that does `work` and then waits to be killed.
class Child {
 public:
  // True of `work`: it went as it should.
  explicit Child(const std::function<bool()>& work) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid_ = fork();
    if (pid_ == 0) {
      const char went = work() ? 'y' : 'n';
      if (write(ends[1], &went, 1) == 1) pause();
      _exit(1);
    }
    close(ends[1]);
    char went = 0;
    EXPECT_EQ(read(ends[0], &went, 1), 1);
    close(ends[0]);
    went_well_ = went == 'y';
  }
  ~Child() { Kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool went_well() const { return went_well_; }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  bool went_well_ = false;
};

TEST_F(ReportQueueTest, OneProgramDelivers) {
  const auto other = Open();
  EXPECT_TRUE(*queue().TakeDelivering());
  EXPECT_TRUE(*queue().TakeDelivering());
  EXPECT_FALSE(*other->TakeDelivering());
}

TEST_F(ReportQueueTest, AfterItWasKilledAnotherMayDeliver) {
  Close();
  const auto child = std::make_unique<Child>([&] {
    auto other = ReportQueue::Open(path());
    if (!other) return false;
    const auto taken = (*other)->TakeDelivering();
    return taken && *taken;
  });
  ASSERT_TRUE(child->went_well());
  Reopen();
  EXPECT_FALSE(*queue().TakeDelivering());
  child->Kill();
  EXPECT_TRUE(*queue().TakeDelivering());
}

TEST_F(ReportQueueTest, WhatAKilledProcessAddedIsThereAsAWhole) {
  Close();
  {
    const Child child([&] {
      const auto other = ReportQueue::Open(path());
      for (const char* domain : {"a.example", "b.example"})
        if (!other ||
            !(*other)->Add(std::vector{ReportAbout(domain, {kMail, kPost})},
                           ExampleIdentity(), kNow))
          return false;
      // In the middle of a third.
      sqlite3* db = nullptr;
      sqlite3_open(path().c_str(), &db);
      return sqlite::Execute(
                 db,
                 "PRAGMA cache_size = 1; PRAGMA cache_spill = 1;"
                 "BEGIN IMMEDIATE;"
                 "INSERT INTO reports SELECT NULL, 'id', identity, day,"
                 " 'c.example', 1, 1, 1, '', zeroblob(1000000) FROM reports"
                 " LIMIT 1;") == SQLITE_OK;
    });
    ASSERT_TRUE(child.went_well());
  }
  Reopen();
  EXPECT_EQ(Rows().size(), 4u);
  EXPECT_EQ(Days().at(0).reports, 2u);
  EXPECT_EQ(Load(kNow).size(), 4u);
  // And is not there twice when the day is built once more.
  Add({ReportAbout("a.example", {kMail, kPost}),
       ReportAbout("b.example", {kMail, kPost}),
       ReportAbout("c.example", {kMail, kPost})});
  EXPECT_EQ(Rows().size(), 6u);
}

TEST_F(ReportQueueTest, AProcessThatIsKilledAnywhereLeavesWholeReports) {
  Close();
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      const auto other = ReportQueue::Open(path());
      for (int i = 0; other; ++i) {
        const std::string domain =
            "d" + std::to_string(round) + "-" + std::to_string(i) + ".example";
        if (!(*other)->Add(std::vector{ReportAbout(domain, {kMail, kPost})},
                           ExampleIdentity(), kNow))
          break;
        if (write(ends[1], "x", 1) != 1) break;
      }
      _exit(1);
    }
    // In the middle of any call, after some.
    close(ends[1]);
    char byte;
    for (int i = 0; i < 3 + round; ++i) ASSERT_EQ(read(ends[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    int64_t told = 3 + round;
    while (read(ends[0], &byte, 1) == 1) ++told;
    close(ends[0]);
    const std::string of_round =
        " FROM reports WHERE domain LIKE 'd" + std::to_string(round) + "-%'";
    const int64_t there = SqlNumber("SELECT count(*)" + of_round);
    // The last may be there and not be told of.
    EXPECT_GE(there, told);
    EXPECT_LE(there, told + 1);
  }
  EXPECT_EQ(SqlNumber("SELECT count(*) FROM reports WHERE (SELECT count(*) FROM"
                      " deliveries WHERE report = reports.number) != 2"),
            0);
  EXPECT_EQ(SqlNumber("SELECT count(*) FROM pragma_integrity_check"
                      " WHERE integrity_check != 'ok'"),
            0);
}

TEST_F(ReportQueueTest, SeveralProcessesMayMakeItAtTheSameTime) {
  Close();
  for (int round = 0; round < 5; ++round) {
    const std::string file =
        folder.PathOf("new" + std::to_string(round) + ".db");
    int start[2];
    ASSERT_EQ(pipe(start), 0);
    std::vector<pid_t> children;
    for (int i = 0; i < 8; ++i) {
      children.push_back(fork());
      if (children.back() == 0) {
        close(start[1]);
        char byte;
        while (read(start[0], &byte, 1) > 0) {
        }
        const auto opened = ReportQueue::Open(file);
        if (!opened)
          std::fprintf(stderr, "%s\n", opened.error().message.c_str());
        _exit(opened && (*opened)->Waiting() ? 0 : 1);
      }
    }
    close(start[0]);
    close(start[1]);  // all of them now
    for (const pid_t child : children) {
      int status = -1;
      waitpid(child, &status, 0);
      EXPECT_EQ(status, 0);
    }
  }
}

}  // namespace
}  // namespace postern
