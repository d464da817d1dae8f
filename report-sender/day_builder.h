// DayBuilder: from what a day's spool adds up to, to the queue: for each domain
// that asks for reports, one.
//
//   totals -> record at _smtp._tls.<domain> -> destinations -> report -> queue
//
// Some hundred domains are looked up at a time, and what is built goes into the
// queue in batches: memory does not grow with the day, and a day that was
// broken off is built once more, to the same end.
//
// Contract: loop thread only; the queue's calls block it shortly.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/dns.h"
#include "common/event.h"
#include "common/metrics.h"

#include "report-sender/day_totals.h"
#include "report-sender/report_configuration.h"
#include "report-sender/report_queue.h"
#include "report-sender/target_limits.h"

namespace postern {

// What became of a day's domains.
struct BuiltDay {
  uint64_t domains = 0;
  uint64_t reports = 0;     // wanted, and built; in the queue from now on
  uint64_t unwanted = 0;    // no usable record
  uint64_t unknown = 0;     // DNS failed, and the spool has no record
  uint64_t suppressed = 0;  // by report.suppress or report.failures_only
  uint64_t our_own = 0;     // all sessions may have been mails of ours
  uint64_t broken = 0;      // could not be built: our fault, told in the log
  // Destinations that get no report: inside our own domains; of too many.
  uint64_t inside = 0;
  uint64_t too_many = 0;
};

// Where reports about a domain go, and what stands in their way.
struct Wishes {
  std::vector<Destination> destinations;
  std::vector<std::string> problems;  // for a person, printable
  bool from_spool = false;            // DNS failed
  bool unknown = false;               // and the spool has no record
};

// Whether there is to be a report about a domain, and for whom.
struct ReportPlan {
  enum class Verdict { kWanted, kUnwanted, kUnknown, kSuppressed, kOurOwn };
  Verdict verdict = Verdict::kWanted;
  std::vector<Destination> to;  // kWanted: at least one
  std::string why;              // else: for a person
  struct Refused {
    Destination destination;
    std::string why;
  };
  // Wanted, but not by us; of the queue's status.
  std::vector<Refused> refused;
};

// By what is known before a lookup: no report whatever the record says.
// `mails`: of ours, that were handed over to the domain on the day.
ReportPlan PlanBeforeLookup(const DomainTotals& totals, uint64_t mails,
                            const ReportConfiguration& configuration,
                            Day today);
// By what `domain` wishes. `limits`: of the day.
ReportPlan PlanFor(const std::string& domain, const Wishes& wishes,
                   const ReportConfiguration& configuration,
                   TargetLimits& limits, Day today);

// Moves destinations that are paused from `plan.to` to `plan.refused`.
void LeaveOutPaused(const std::vector<PausedAddress>& paused, ReportPlan& plan);

class DayBuilder {
 public:
  // Everything given by reference outlives the builder's coroutines.
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    Resolver& resolver;
    ReportQueue& queue;
    Metrics& metrics;
  };
  using Progress = std::function<void(uint64_t done, uint64_t all)>;

  explicit DayBuilder(World world);

  // `domain`: that one alone; "": all. An Error: something is not in the
  // queue, and all of it may be built again.
  Awaitable<Result<BuiltDay>> Build(Day day,
                                    std::shared_ptr<const DayTotals> totals,
                                    ReportConfigurationPtr configuration,
                                    std::string domain, Progress progress);

 private:
  struct Work;
  Awaitable<void> WorkOn(std::shared_ptr<Work> work);
  Awaitable<void> BuildOne(std::shared_ptr<Work> work, std::string domain);
  void NoteProblems(const std::string& domain, const Wishes& wishes);
  void NoteRefused(Work& work, const std::string& domain,
                   const ReportPlan& plan);
  void Flush(Work& work);

  World world_;
  LogLimiter problem_log_;
  LogLimiter refused_log_;
  prometheus::Counter& inside_;
  prometheus::Counter& too_many_;
  prometheus::Counter& built_;
};

// The wishes of `domain`: of its record now, or of `recorded`, which came with
// its outcomes, where DNS fails.
Awaitable<Wishes> WishesOf(Resolver& resolver, std::string domain,
                           std::string recorded);

// Whether `mails` mails of ours may have been all that there was: RFC 8460
// section 3 wants no report about reports, lest two of us write to each other
// for ever. Numbers are never changed: Postfix may have sent many mails in a
// session, or one of them in several, so nobody knows how many were ours.
bool MayAllBeOurs(uint64_t mails, const DomainTotals& totals);

bool HasFailures(const DomainTotals& totals);

// The report itself, for each of `destinations`.
NewReport MakeReport(const DomainTotals& totals, Day day,
                     const Identity& identity);

}  // namespace postern
