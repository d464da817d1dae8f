#include "report-sender/report_engine.h"

#include <utility>

#include "common/accounts.h"
#include "common/log.h"
#include "common/privileges.h"
#include "common/spool_files.h"

#include "report-sender/dkim_record.h"
#include "report-sender/queue_takeover.h"
#include "report-sender/read_day.h"
#include "report-sender/schedule.h"

namespace postern {
namespace {

// Ten million lines take ten seconds.
constexpr Seconds kReadPatience{3600};

}  // namespace

Result<std::unique_ptr<ReportEngine>> ReportEngine::Create(
    boost::asio::io_context& loop, ReportConfigurationPtr configuration,
    std::unique_ptr<ReportQueue> queue) {
  Outside outside;
  outside.metrics = std::make_unique<Metrics>();
  outside.clock = std::make_unique<LoopClock>(loop);
  auto resolver = GetdnsResolver::Create(
      loop, *outside.clock, configuration->options.dns, *outside.metrics);
  if (!resolver) return resolver.error();
  outside.resolver = std::move(*resolver);
  return std::unique_ptr<ReportEngine>(new ReportEngine(
      loop, std::move(configuration), std::move(queue), std::move(outside)));
}

ReportEngine::ReportEngine(boost::asio::io_context& asio_loop,
                           ReportConfigurationPtr first,
                           std::unique_ptr<ReportQueue> reports,
                           Outside outside)
    : loop(asio_loop),
      configuration(std::move(first)),
      metrics(std::move(outside.metrics)),
      clock(std::move(outside.clock)),
      resolver(std::move(outside.resolver)),
      https(loop, configuration->trust),
      queue(std::move(reports)),
      transport({loop.get_executor(), *clock, *resolver, https}, configuration),
      builder({loop.get_executor(), *clock, *resolver, *queue, *metrics}),
      deliverer({loop.get_executor(), *clock, *queue, transport, *metrics},
                {.retry_for = configuration->options.report.retry_for}),
      files_(new DiskThread(loop.get_executor(), *clock, [] {})) {}

Status ReportEngine::Use(ReportConfigurationPtr wanted) {
  const Status used = resolver->Use(wanted->options.dns);
  if (!used) return used.error();
  configuration = std::move(wanted);
  https.Use(configuration->trust);
  transport.Use(configuration);
  deliverer.Use(configuration->options.report.retry_for);
  return Done{};
}

Awaitable<Result<ReportEngine::SpoolDay>> ReportEngine::Read(Day day) {
  const auto had_outcomes = queue->HadOutcomes();
  if (!had_outcomes) co_return had_outcomes.error();
  using Totals = Result<SpoolDay>;
  std::function<Totals()> work = [spools = configuration->Spools(),
                                  had_outcomes = *had_outcomes,
                                  day]() -> Totals {
    try {
      auto totals = std::make_shared<DayTotals>();
      auto missing = ReadDay(spools, had_outcomes, day, *totals);
      if (!missing) return missing.error();
      return SpoolDay{std::move(totals), std::move(*missing)};
    } catch (const std::exception& error) {
      return Error{std::string("the spool could not be read: ") + error.what()};
    }
  };
  auto totals = co_await files_->Run<Totals>(std::move(work), kReadPatience);
  if (!totals) co_return Error{"the spool could not be read in time"};
  co_return std::move(*totals);
}

Awaitable<Result<BuiltDay>> ReportEngine::Queue(Day day, std::string domain,
                                                DayBuilder::Progress progress) {
  const auto spool = co_await Read(day);
  if (!spool) co_return spool.error();
  for (const std::string& folder : spool->missing) {
    if (IsLastChance(day, clock->WallNow())) {
      Log(LogLevel::kError, "spool_missing",
          {{"folder", folder},
           {"day", FormatDay(day)},
           {"effect",
            "the day is reported without it, after three days of waiting"}});
      continue;
    }
    co_return Error{folder +
                    " is not there: is it mounted? The day waits for it, up to "
                    "three days (see spool.directory)"};
  }
  const std::shared_ptr<const DayTotals> totals = spool->totals;
  const auto built = co_await builder.Build(day, totals, configuration, domain,
                                            std::move(progress));
  if (!built || !domain.empty()) co_return built;
  ClosedDay closed;
  closed.day = day;
  closed.at = clock->WallNow();
  closed.lines = totals->lines();
  closed.skipped = totals->skipped();
  closed.lost = totals->lost();
  closed.domains = built->domains;
  // The clock may have been set back meanwhile.
  if (!HasEnded(day, closed.at))
    co_return Error{FormatDay(day) + " has not ended by the clock any more"};
  const Status written = queue->Close(closed);
  if (!written) co_return written.error();
  // So that whoever wrote them need not keep them longer.
  for (const std::string& folder : configuration->Spools())
    if (const Status marked = MarkReported(folder, day); !marked)
      Log(LogLevel::kInfo, "day_not_marked",
          {{"reason", marked.error().message},
           {"effect",
            "its outcomes are kept twice as long as "
            "spool.keep_days"}});
  Log(LogLevel::kInfo, "day_closed",
      {{"day", FormatDay(day)},
       {"lines", closed.lines},
       {"skipped", closed.skipped},
       {"lost", closed.lost},
       {"domains", built->domains},
       {"reports", built->reports},
       {"unwanted", built->unwanted},
       {"unknown", built->unknown},
       {"suppressed", built->suppressed},
       {"our_own", built->our_own},
       {"too_many", built->too_many},
       {"broken", built->broken}});
  co_return built;
}

Awaitable<void> ReportEngine::CheckDkim() {
  const ReportConfigurationPtr current = configuration;
  if (current->signers.empty())
    Log(LogLevel::kWarn, "mails_not_signed",
        {{"effect",
          "receivers ignore reports without a DKIM signature (RFC 8460 "
          "section 3)"},
         {"advice",
          "set report.dkim_key and report.dkim_selector, unless Postfix's "
          "milter signs what sendmail takes"}});
  for (const std::string& parameter : current->rewriters)
    Log(LogLevel::kWarn, "sender_rewritten",
        {{"parameter", parameter},
         {"address", current->identity.sender},
         {"effect",
          "Postfix rewrites the From field behind our DKIM signature: "
          "receivers "
          "ignore the reports"},
         {"advice",
          "set report.sender_address to an address that it leaves alone"}});
  const std::vector<PublishedKey> keys = co_await PublishedKeys();
  for (const PublishedKey& key : keys) {
    if (key.problem.empty())
      Log(LogLevel::kInfo, "dkim_key_published",
          {{"name", key.name}, {"algorithm", key.algorithm}});
    else
      Log(LogLevel::kWarn, "dkim_key_not_usable",
          {{"name", key.name},
           {"reason", key.problem},
           {"effect", "receivers ignore reports that they cannot verify"},
           {"advice", "postern-report dkim prints what to publish"}});
  }
}

Awaitable<std::vector<PublishedKey>> ReportEngine::PublishedKeys() {
  const ReportConfigurationPtr current = configuration;
  std::vector<PublishedKey> keys;
  for (const DkimSigner& signer : current->signers) {
    PublishedKey key;
    key.name = signer.selector + "._domainkey." + signer.domain;
    key.algorithm = signer.key.algorithm();
    key.record = signer.key.DnsRecord();
    const DnsAnswer answer = co_await resolver->Query(key.name, DnsType::kTxt);
    key.problem = answer.failed() ? "DNS failed: " + answer.failure
                                  : DkimRecordProblem(answer.txt, signer.key);
    keys.push_back(std::move(key));
  }
  co_return keys;
}

Result<std::unique_ptr<ReportQueue>> OpenOwnQueue(
    const ReportConfiguration& configuration) {
  const Options& options = configuration.options;
  const std::string& folder = options.report.queue_directory;
  const Account account = ReportAccount(options);
  const Status made = PrepareFolder(folder, account.user, account.group, 0700);
  if (!made)
    return Error{made.error().message +
                 "; make it for report.user, or set report.queue_directory"};
  const Status become = Become(account);
  if (!become) return become.error();
  const auto taken = TakeOverQueue(options.spool.directory, folder);
  if (!taken) return taken.error();
  if (*taken)
    Log(LogLevel::kInfo, "queue_taken_over",
        {{"from", options.spool.directory + "/reports"},
         {"to", folder},
         {"effect", "what is in the old one is not looked at again"}});
  return ReportQueue::Open(configuration.QueuePath());
}

Result<std::unique_ptr<ReportQueue>> OpenNoQueue(
    const ReportConfiguration& configuration) {
  const Options& options = configuration.options;
  const Status become =
      Become(CommandAccount(ReportAccount(options), options.spool.directory));
  if (!become) return become.error();
  return ReportQueue::Open(":memory:");
}

}  // namespace postern
