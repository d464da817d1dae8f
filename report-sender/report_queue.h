// ReportQueue: reports on their way, in a file that outlives us (SQLite).
//
// A report stands for a day and a domain, and is there once, however often the
// day is built. Each of its destinations is a delivery with a state of its own.
// What a delivery sends never changes: the compressed JSON, the text, the date
// and who we were when it was built are kept with the report until all of its
// deliveries are over.
//
// Every change is one transaction, on disk when the call returns: kill -9
// between two calls loses nothing. A delivery is repeated only where we end
// after it was accepted and before Settle() returned.
//
// Contract: blocking. Several programs may have the file open: serve, and the
// commands that look or change something; one of them delivers, by the lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/result.h"
#include "common/sqlite.h"
#include "common/utc.h"

#include "report-sender/report_id.h"
#include "report-sender/tlsrpt_record.h"

namespace postern {

// Whom a report names as its sender.
struct Identity {
  Submitter submitter;
  std::string sender;  // an address

  friend bool operator==(const Identity&, const Identity&) = default;
};

struct NewReport {
  Day day;
  std::string domain;
  uint64_t successful = 0;  // sessions
  uint64_t failed = 0;
  std::string text;  // ReportText()
  std::string gzip;  // of ReportJson()
  struct To {
    Destination destination;
    WallTime not_before;  // or when it is added
    // Not empty: it is dropped at once, and this is why. `retry` sends it.
    std::string refused = "";
  };
  std::vector<To> to;
};

// What became of a day.
struct ClosedDay {
  Day day;
  WallTime at;
  uint64_t lines = 0;
  uint64_t skipped = 0;  // torn or foreign
  uint64_t lost = 0;     // beyond the bounds of DayTotals
  uint64_t domains = 0;
};

enum class DeliveryState { kWaiting, kDelivered, kGivenUp, kDropped };
const char* DeliveryStateName(DeliveryState state);

// A delivery that is due.
struct DueDelivery {
  int64_t number = 0;
  std::string host;  // of the destination: what limits are for
  bool by_mail = false;
  bool was_tried = false;
};

// All that it takes to deliver.
struct Parcel {
  int64_t number = 0;
  Destination destination;
  Identity identity;
  Day day;
  std::string domain;
  WallTime date;  // when the report was built
  std::string text;
  std::string gzip;
  std::string message_id = "";  // of its mail; "": the report-id
  int attempts = 0;             // so far
  std::optional<WallTime> first_attempt;
  // Not empty: the file holds nonsense in its place, and this is what.
  std::string unreadable = "";
};

// How an attempt ended.
struct Settlement {
  DeliveryState state = DeliveryState::kWaiting;
  WallTime at;                    // of the attempt
  std::optional<WallTime> again;  // kWaiting: when
  std::string reason;             // why not delivered
};

// An attempt that has ended. Of the parcel, text and gzip do not matter.
struct EndedAttempt {
  Parcel parcel;
  Settlement settlement;
};

// For people: `status`.
struct DeliveryRow {
  std::string report_id;
  Day day;
  std::string domain;
  uint64_t successful = 0;
  uint64_t failed = 0;
  std::string destination;
  DeliveryState state = DeliveryState::kWaiting;
  int attempts = 0;
  std::optional<WallTime> next;      // kWaiting
  std::optional<WallTime> finished;  // else
  std::string reason;                // of the last attempt that failed
};

struct DayRow {
  std::optional<ClosedDay> closed;
  Day day;
  uint64_t reports = 0;
  uint64_t by_state[4] = {};  // deliveries, by DeliveryState
  // RFC 8460 section 3: delivered when one of its destinations has taken it.
  uint64_t reports_delivered = 0;
};

// An address that gets no reports for a while: its mails came back.
struct PausedAddress {
  std::string address;  // in lower case
  Day until;            // from then on it gets reports again
  std::string reason;   // of the last that came back
};

// Three different days of permanent failure in thirty pause an address for
// thirty days from the last of them.
inline constexpr int kBounceDays = 3;
inline constexpr std::chrono::days kPause{30};

class ReportQueue {
 public:
  // Opens `path`, or makes it.
  static Result<std::unique_ptr<ReportQueue>> Open(const std::string& path);
  // nullptr: there is none yet.
  static Result<std::unique_ptr<ReportQueue>> OpenExisting(
      const std::string& path);

  // True: this process delivers, until it ends. False: another one does.
  Result<bool> TakeDelivering();

  // A day that was closed later than `now` was closed by a clock that was
  // ahead: it is still open.
  Result<bool> IsClosed(Day day, WallTime now);
  // All or none; those that are there stay as they are. None is due before
  // `now`.
  Status Add(std::span<const NewReport> reports, const Identity& identity,
             WallTime now);
  // Closes it once; again only where it had been closed later than `day.at`.
  Status Close(const ClosedDay& day);
  // A day that was closed had some.
  Result<bool> HadOutcomes();
  // Mails of ours handed over on `day` to addresses at `domain`.
  Result<uint64_t> MailsTo(const std::string& domain, Day day);

  // Deliveries whose time came between the two, both included; also those whose
  // time is further off than it could be.
  Result<std::vector<DueDelivery>> Due(WallTime after, WallTime until);
  // nullopt: it waits no longer.
  Result<std::optional<Parcel>> Load(int64_t number);
  // All or none.
  Status Settle(std::span<const EndedAttempt> attempts);

  // By the operator's word. Returns how many deliveries it changed.
  // What waits of `day`, of `domain` or all (""), is due now.
  Result<uint64_t> Hasten(Day day, const std::string& domain, WallTime now);
  // `id`: a report-id, its first part, or at least 6 of its first characters.
  Result<uint64_t> Retry(const std::string& id, WallTime now);
  Result<uint64_t> Drop(const std::string& id, WallTime now);

  // The mail with this Message-ID came back. `address`: from whom; "": not
  // known. False: it is no Message-ID of ours, or that mail was not handed over
  // to that address in the ten days before.
  Result<bool> NoteBounce(const std::string& message_id,
                          const std::string& address, WallTime now,
                          const std::string& reason);
  Result<std::vector<PausedAddress>> Paused(Day today);
  // By the operator's word. False: nothing had come back from it.
  Result<bool> Resume(const std::string& address);

  Result<std::vector<DayRow>> Days();
  // `day`: that one alone. Without `all`, what was delivered is left out.
  Result<std::vector<DeliveryRow>> Deliveries(std::optional<Day> day, bool all);
  // Deliveries that wait; of them, those of `day` and `domain` ("": all of the
  // day's) that are due and have not been tried.
  Result<uint64_t> Waiting();
  Result<uint64_t> Overdue(Day day, const std::string& domain, WallTime now);

  // Forgets the reports and mails of all but the newest `keep` closed days; not
  // what waits, and never that a day was closed. No clock is asked: one that
  // was wrong costs as many days of history as it closed, and no more.
  // REQUIRES: keep > 0.
  Status Forget(uint32_t keep);

 private:
  explicit ReportQueue(std::string path) : path_(std::move(path)) {}
  static Result<std::unique_ptr<ReportQueue>> OpenWith(const std::string& path,
                                                       int flags);
  Status Prepare();
  // Makes it where there is none.
  Status ReadSecret();
  // Of the mail that carries a report to an address: the report-id with a part
  // that nobody can guess, always the same.
  std::string MessageIdFor(const std::string& report_id,
                           const std::string& address) const;
  Error Failed(const std::string& doing) const;
  Result<int64_t> IdentityNumber(const Identity& identity);
  Status AddOne(const NewReport& report, int64_t identity, WallTime now);
  Status SettleOne(const Parcel& parcel, const Settlement& settlement);
  // Runs it; what it returned if it could be committed.
  template <class Work>
  Status Transact(const std::string& doing, Work work);
  Status Run(const std::string& doing, sqlite::Statement& statement) const;
  Result<int64_t> ReportNumber(const std::string& id);

  std::string path_;
  sqlite::Database db_;
  std::string secret_;
  int lock_ = -1;  // held as long as the process lives
};

}  // namespace postern
