#include "report-sender/day_builder.h"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/log.h"
#include "common/text.h"

#include "report-sender/gzip.h"
#include "report-sender/report_json.h"
#include "report-sender/report_text.h"
#include "report-sender/schedule.h"
#include "report-sender/tlsrpt_record.h"

namespace postern {
namespace {

constexpr size_t kLookupsAtOnce = 200;
constexpr size_t kBatch = 500;
// Of reports that wait for their batch to be complete.
constexpr size_t kBatchBytes = 16 << 20;
// Longer than all lookups of a day take.
constexpr Seconds kForEver{7 * 86400};
constexpr char kRefused[] = "postern_report_destinations_refused_total";
constexpr char kRefusedHelp[] =
    "Destinations that wanted a report and get none from us";
constexpr char kInside[] = "inside our own domains";
constexpr char kTooMany[] =
    "too many reports for this target on one day (report.max_per_target)";

}  // namespace

struct DayBuilder::Work {
  Work(const boost::asio::any_io_executor& executor, Clock& clock,
       uint32_t max_per_target)
      : limits(max_per_target), done(executor, clock) {}

  Day day;
  std::shared_ptr<const DayTotals> totals;
  ReportConfigurationPtr configuration;
  std::vector<std::string_view> domains;  // of `totals`
  Progress progress;
  size_t next = 0;      // of domains
  size_t finished = 0;  // of them
  size_t workers = 0;
  std::vector<NewReport> batch;
  size_t batch_bytes = 0;
  BuiltDay built;
  std::vector<PausedAddress> paused;
  TargetLimits limits;
  std::optional<Error> error;
  Event done;
};

DayBuilder::DayBuilder(World world)
    : world_(std::move(world)),
      inside_(world_.metrics.Counter(kRefused, kRefusedHelp,
                                     {{"reason", "inside"}})),
      too_many_(world_.metrics.Counter(kRefused, kRefusedHelp,
                                       {{"reason", "too-many"}})),
      built_(world_.metrics.Counter("postern_report_built_total",
                                    "Reports put into the queue")) {}

Awaitable<Result<BuiltDay>> DayBuilder::Build(
    Day day, std::shared_ptr<const DayTotals> totals,
    ReportConfigurationPtr configuration, std::string domain,
    Progress progress) {
  const auto work =
      std::make_shared<Work>(world_.executor, world_.clock,
                             configuration->options.report.max_per_target);
  work->day = day;
  work->totals = std::move(totals);
  work->configuration = std::move(configuration);
  work->progress = std::move(progress);
  work->domains = work->totals->domains();
  if (!domain.empty())
    std::erase_if(work->domains,
                  [&](std::string_view one) { return one != domain; });
  work->built.domains = work->domains.size();
  const auto paused = world_.queue.Paused(DayOf(world_.clock.WallNow()));
  if (!paused) co_return paused.error();
  work->paused = *paused;
  work->workers = std::min(kLookupsAtOnce, work->domains.size());
  for (size_t i = work->workers; i > 0; --i)
    Spawn(world_.executor, WorkOn(work));
  if (work->workers > 0)
    co_await work->done.WaitUntil(world_.clock.Now() + kForEver);
  Flush(*work);
  if (work->error) co_return *work->error;
  co_return work->built;
}

Awaitable<void> DayBuilder::WorkOn(std::shared_ptr<Work> work) {
  // However it ends, who waits for the day goes on.
  struct Leave {
    Work& work;
    ~Leave() {
      if (--work.workers == 0) work.done.Set();
    }
  };
  const Leave leave{*work};
  while (work->next < work->domains.size() && !work->error) {
    std::string domain(work->domains[work->next++]);
    // Where no lookup is needed, others want to run, too.
    co_await boost::asio::post(world_.executor, boost::asio::use_awaitable);
    try {
      co_await BuildOne(work, domain);
    } catch (const std::exception& error) {
      // One domain's trouble is no other's.
      ++work->built.broken;
      Log(LogLevel::kError, "report_not_built",
          {{"domain", domain},
           {"reason", Printable(error.what())},
           {"effect", "this domain gets no report of the day"},
           {"advice", "please tell the authors of Postern"}});
    }
    ++work->finished;
    if (work->progress) work->progress(work->finished, work->domains.size());
  }
}

Awaitable<void> DayBuilder::BuildOne(std::shared_ptr<Work> work,
                                     std::string domain) {
  const ReportConfiguration& configuration = *work->configuration;
  const auto totals = work->totals->Of(domain);
  if (!totals) co_return;
  const auto mails = world_.queue.MailsTo(domain, work->day);
  if (!mails) {
    work->error = mails.error();
    co_return;
  }
  const Day today = DayOf(world_.clock.WallNow());
  ReportPlan plan = PlanBeforeLookup(*totals, *mails, configuration, today);
  if (plan.verdict == ReportPlan::Verdict::kWanted) {
    const Wishes wishes =
        co_await WishesOf(world_.resolver, domain, totals->record);
    NoteProblems(domain, wishes);
    plan = PlanFor(domain, wishes, configuration, work->limits, today);
    NoteRefused(*work, domain, plan);
    LeaveOutPaused(work->paused, plan);
  }
  switch (plan.verdict) {
    case ReportPlan::Verdict::kUnwanted:
      ++work->built.unwanted;
      co_return;
    case ReportPlan::Verdict::kUnknown:
      ++work->built.unknown;
      co_return;
    case ReportPlan::Verdict::kSuppressed:
      ++work->built.suppressed;
      if (plan.refused.empty()) co_return;
      break;
    case ReportPlan::Verdict::kOurOwn:
      ++work->built.our_own;
      co_return;
    case ReportPlan::Verdict::kWanted:
      ++work->built.reports;
  }
  NewReport report = MakeReport(*totals, work->day, configuration.identity);
  const WallTime now = world_.clock.WallNow();
  for (const Destination& destination : plan.to)
    report.to.push_back(
        {destination,
         DeliveryTime(now, configuration.options.report.jitter,
                      domain + ' ' + DestinationUri(destination) + ' ' +
                          configuration.identity.submitter.instance)});
  // Kept, so that status tells of them, and the operator may send them.
  for (const ReportPlan::Refused& refused : plan.refused)
    report.to.push_back({refused.destination, now, refused.why});
  work->batch_bytes += report.gzip.size() + report.text.size();
  work->batch.push_back(std::move(report));
  if (work->batch.size() >= kBatch || work->batch_bytes >= kBatchBytes)
    Flush(*work);
}

void DayBuilder::NoteProblems(const std::string& domain, const Wishes& wishes) {
  uint64_t suppressed = 0;
  for (const std::string& problem : wishes.problems)
    if (problem_log_.Allow(world_.clock.Now(), &suppressed))
      Log(wishes.unknown ? LogLevel::kWarn : LogLevel::kInfo,
          wishes.unknown ? "domain_not_asked" : "destination_refused",
          {{"domain", domain},
           {"reason", problem},
           {"suppressed", suppressed}});
}

void DayBuilder::NoteRefused(Work& work, const std::string& domain,
                             const ReportPlan& plan) {
  for (const ReportPlan::Refused& refused : plan.refused) {
    const bool is_inside = refused.why == kInside;
    ++(is_inside ? work.built.inside : work.built.too_many);
    (is_inside ? inside_ : too_many_).Increment();
    uint64_t suppressed = 0;
    if (!refused_log_.Allow(world_.clock.Now(), &suppressed)) continue;
    Log(LogLevel::kWarn, "destination_not_served",
        {{"domain", domain},
         {"to", DestinationUri(refused.destination)},
         {"reason", refused.why},
         {"advice",
          is_inside ? "postern-report retry sends it all the same"
                    : "name the target in report.suppress if somebody abuses "
                      "it, or raise report.max_per_target"},
         {"suppressed", suppressed}});
  }
}

void DayBuilder::Flush(Work& work) {
  if (work.batch.empty() || work.error) return;
  const Status added = world_.queue.Add(
      work.batch, work.configuration->identity, world_.clock.WallNow());
  if (!added)
    work.error = added.error();
  else
    built_.Increment(static_cast<double>(work.batch.size()));
  work.batch.clear();
  work.batch_bytes = 0;
}

Awaitable<Wishes> WishesOf(Resolver& resolver, std::string domain,
                           std::string recorded) {
  // RFC 8460 section 3.
  const DnsAnswer answer =
      co_await resolver.Query("_smtp._tls." + domain, DnsType::kTxt);
  Wishes wishes;
  wishes.from_spool = answer.failed();
  std::vector<std::string> records = answer.txt;
  if (wishes.from_spool) {
    records.clear();
    if (!recorded.empty()) records.push_back(std::move(recorded));
  }
  TlsrptRecord record = ParseTlsrptRecords(records);
  wishes.destinations = std::move(record.destinations);
  wishes.problems = std::move(record.problems);
  wishes.unknown = wishes.from_spool && records.empty();
  if (wishes.unknown)
    wishes.problems.push_back("DNS failed, and the outcomes hold no record: " +
                              answer.failure);
  co_return wishes;
}

ReportPlan PlanBeforeLookup(const DomainTotals& totals, uint64_t mails,
                            const ReportConfiguration& configuration,
                            Day today) {
  ReportPlan plan;
  if (configuration.subtract_own && MayAllBeOurs(mails, totals)) {
    plan.verdict = ReportPlan::Verdict::kOurOwn;
    plan.why = "its sessions may all have been reports of ours";
    return plan;
  }
  if (configuration.suppressions.HasDomain(totals.domain, today))
    plan.why = "suppressed (report.suppress)";
  else if (configuration.options.report.failures_only && !HasFailures(totals))
    plan.why = "no failure (report.failures_only)";
  if (!plan.why.empty()) plan.verdict = ReportPlan::Verdict::kSuppressed;
  return plan;
}

ReportPlan PlanFor(const std::string& domain, const Wishes& wishes,
                   const ReportConfiguration& configuration,
                   TargetLimits& limits, Day today) {
  ReportPlan plan;
  OwnDomains& own = *configuration.own_domains;
  // (A POST is no mail from inside: who serves it judges it.)
  const auto is_inside = [&](const Destination& destination) {
    const auto* mail = std::get_if<MailAddress>(&destination);
    return mail &&
           own.Has(mail->address.substr(mail->address.rfind('@') + 1)) &&
           !own.Has(domain);
  };
  for (const Destination& destination : wishes.destinations) {
    if (configuration.suppressions.HasDestination(destination, today))
      plan.why = "suppressed (report.suppress)";
    else if (!configuration.options.report.https &&
             std::holds_alternative<HttpsUrl>(destination))
      plan.why = "by https alone (report.https = no)";
    else if (is_inside(destination))
      plan.refused.push_back({destination, plan.why = kInside});
    else if (!limits.Take(domain, destination))
      plan.refused.push_back({destination, plan.why = kTooMany});
    else
      plan.to.push_back(destination);
  }
  if (!plan.to.empty()) return plan;
  plan.verdict = ReportPlan::Verdict::kSuppressed;
  if (wishes.destinations.empty()) {
    plan.verdict = wishes.unknown ? ReportPlan::Verdict::kUnknown
                                  : ReportPlan::Verdict::kUnwanted;
    plan.why = wishes.unknown ? "DNS does not say" : "it wants no reports";
  }
  return plan;
}

void LeaveOutPaused(const std::vector<PausedAddress>& paused,
                    ReportPlan& plan) {
  std::erase_if(plan.to, [&](const Destination& destination) {
    const auto* mail = std::get_if<MailAddress>(&destination);
    const auto found =
        std::find_if(paused.begin(), paused.end(), [&](const auto& one) {
          return mail && one.address == ToLowerAscii(mail->address);
        });
    if (found == paused.end()) return false;
    plan.why = "paused until " + FormatDay(found->until) +
               ": mails came back on three days (" + found->reason +
               "); postern-report resume ends it";
    plan.refused.push_back({destination, plan.why});
    return true;
  });
  if (plan.verdict == ReportPlan::Verdict::kWanted && plan.to.empty())
    plan.verdict = ReportPlan::Verdict::kSuppressed;
}

bool MayAllBeOurs(uint64_t mails, const DomainTotals& totals) {
  uint64_t successful = 0;
  for (const PolicyTotals& policy : totals.policies)
    successful += policy.successful;
  return mails > 0 && successful <= mails && !HasFailures(totals);
}

bool HasFailures(const DomainTotals& totals) {
  return std::any_of(totals.policies.begin(), totals.policies.end(),
                     [](const PolicyTotals& policy) {
                       return policy.failed > 0 || !policy.details.empty();
                     });
}

NewReport MakeReport(const DomainTotals& totals, Day day,
                     const Identity& identity) {
  NewReport report;
  report.day = day;
  report.domain = totals.domain;
  for (const PolicyTotals& policy : totals.policies) {
    report.successful += policy.successful;
    report.failed += policy.failed;
  }
  report.text = ReportText(totals, day, identity.submitter);
  report.gzip = Gzip(ReportJson(totals, day, identity.submitter));
  return report;
}

}  // namespace postern
