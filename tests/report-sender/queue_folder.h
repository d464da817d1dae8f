// A queue of reports in a folder of its own, and reports for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "report-sender/report_queue.h"
#include "tests/report-sender/lines.h"
#include "tests/support/temporary_folder.h"

namespace postern {

inline Identity ExampleIdentity() {
  return {ExampleOrg(), "noreply@example.org"};
}

inline Destination DestinationOf(const std::string& uri) {
  const auto destination = ParseDestination(uri);
  EXPECT_TRUE(destination) << uri;
  return destination ? *destination : Destination();
}

inline NewReport ReportAbout(const std::string& domain,
                             const std::vector<std::string>& uris,
                             WallTime not_before = kNow, Day day = kDay) {
  NewReport report;
  report.day = day;
  report.domain = domain;
  report.successful = 7;
  report.failed = 3;
  report.text = "text about " + domain;
  report.gzip = std::string("gzip\0about ", 11) + domain;
  for (const std::string& uri : uris)
    report.to.push_back({DestinationOf(uri), not_before});
  return report;
}

class QueueFolder {
 public:
  QueueFolder() { Reopen(); }

  std::string path() const { return folder.PathOf("reports.db"); }
  ReportQueue& queue() { return *queue_; }
  void Reopen() {
    Close();
    queue_ = Open();
  }
  // Before a fork: SQLite's state is not to be in two processes.
  void Close() { queue_.reset(); }
  // One more, as another program has it.
  std::unique_ptr<ReportQueue> Open() const {
    auto opened = ReportQueue::Open(path());
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    return opened ? std::move(*opened) : nullptr;
  }
  void Add(const std::vector<NewReport>& reports, WallTime now = kNow,
           const Identity& identity = ExampleIdentity()) {
    const Status added = queue().Add(reports, identity, now);
    EXPECT_TRUE(added) << (added ? "" : added.error().message);
  }
  std::vector<DeliveryRow> Rows(std::optional<Day> day = std::nullopt,
                                bool all = true) {
    auto rows = queue().Deliveries(day, all);
    EXPECT_TRUE(rows);
    return rows ? std::move(*rows) : std::vector<DeliveryRow>();
  }
  std::vector<DayRow> Days() {
    auto days = queue().Days();
    EXPECT_TRUE(days);
    return days ? std::move(*days) : std::vector<DayRow>();
  }
  // Of the delivery to `uri`: "waiting 2", its state and the attempts.
  std::string StateOf(const std::string& uri) {
    std::string states;
    for (const DeliveryRow& row : Rows())
      if (row.destination == uri)
        states += (states.empty() ? "" : ", ") +
                  std::string(DeliveryStateName(row.state)) + " " +
                  std::to_string(row.attempts);
    return states;
  }
  // Everything that is due by `until`.
  std::vector<Parcel> Load(WallTime until) {
    std::vector<Parcel> parcels;
    const auto due = queue().Due(WallTime{}, until);
    EXPECT_TRUE(due);
    for (const DueDelivery& one : *due) {
      auto parcel = queue().Load(one.number);
      EXPECT_TRUE(parcel && *parcel);
      if (parcel && *parcel) parcels.push_back(std::move(**parcel));
    }
    return parcels;
  }
  // The only one that is due.
  Parcel LoadOnly(WallTime until = kNow) {
    auto parcels = Load(until);
    EXPECT_EQ(parcels.size(), 1u);
    return parcels.empty() ? Parcel() : std::move(parcels.front());
  }
  void Settle(const Parcel& parcel, const Settlement& settlement) {
    const std::vector<EndedAttempt> ended = {{parcel, settlement}};
    const Status settled = queue().Settle(ended);
    EXPECT_TRUE(settled) << (settled ? "" : settled.error().message);
  }
  // From outside, as no program of ours does.
  void Sql(const std::string& sql) const {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error);
    EXPECT_EQ(error, nullptr) << sql << ": " << error;
    sqlite3_free(error);
    sqlite3_close(db);
  }
  int64_t SqlNumber(const std::string& sql) const {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
    const auto number = sqlite::Ask(db, sql.c_str());
    sqlite3_close(db);
    EXPECT_TRUE(number) << sql;
    return number.value_or(-1);
  }

  const TemporaryFolder folder;

 private:
  std::unique_ptr<ReportQueue> queue_;
};

}  // namespace postern
