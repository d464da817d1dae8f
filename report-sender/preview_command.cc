#include <cstdio>
#include <cstdlib>

#include "common/log.h"
#include "common/text.h"

#include "report-sender/command_support.h"
#include "report-sender/report_commands.h"
#include "report-sender/report_json.h"
#include "report-sender/report_text.h"

namespace postern {
namespace {

// The address of a preview whose domain wants no mail.
constexpr char kNobody[] = "nobody@example.invalid";

std::string SessionsText(const DomainTotals& totals) {
  uint64_t successful = 0;
  uint64_t failed = 0;
  for (const PolicyTotals& policy : totals.policies) {
    successful += policy.successful;
    failed += policy.failed;
  }
  return Counted(successful, "session") + " fine, " + std::to_string(failed) +
         " failed";
}

// On standard error: where the report would go, or why nowhere.
void Tell(const DomainTotals& totals, const ReportPlan& plan,
          const Wishes& wishes) {
  std::string text = totals.domain + ": " + SessionsText(totals);
  for (const Destination& destination : plan.to)
    text += "\n  to " + DestinationUri(destination);
  for (const ReportPlan::Refused& refused : plan.refused)
    text += "\n  not to " + DestinationUri(refused.destination) + ": " +
            refused.why;
  if (plan.to.empty()) text += "\n  no report: " + plan.why;
  if (wishes.from_spool) text += "\n  DNS failed: by the recorded record";
  for (const std::string& problem : wishes.problems)
    text += "\n  refused: " + problem;
  std::fprintf(stderr, "%s\n", text.c_str());
}

// Signed as it would be.
Status PrintMail(const ReportConfiguration& configuration,
                 const DomainTotals& totals, Day day, const ReportPlan& plan) {
  const NewReport report = MakeReport(totals, day, configuration.identity);
  Parcel parcel;
  parcel.destination = MailAddress{kNobody};
  for (const Destination& destination : plan.to)
    if (std::holds_alternative<MailAddress>(destination)) {
      parcel.destination = destination;
      break;
    }
  parcel.identity = configuration.identity;
  parcel.day = day;
  parcel.domain = totals.domain;
  parcel.date = WallNow();
  parcel.text = report.text;
  parcel.gzip = report.gzip;
  const auto mail =
      DkimSign(MailOf(parcel), configuration.signers, parcel.date);
  if (!mail) return mail.error();
  std::fputs(mail->c_str(), stdout);
  return Done{};
}

// Mails of ours that were handed over, where there is a queue.
uint64_t MailsTo(ReportQueue* sent, const std::string& domain, Day day) {
  const auto mails = sent ? sent->MailsTo(domain, day) : Result<uint64_t>(0);
  return mails ? *mails : 0;
}

// `sent`: the queue of serve; nullptr where there is none.
Awaitable<void> Preview(ReportEngine& engine, ReportQueue* sent, Day day,
                        std::string domain, bool as_mail, int* exit_code) {
  const auto spool = co_await engine.Read(day);
  if (!spool) {
    *exit_code = Complain(spool.error().message, kTemporary);
    co_return;
  }
  TellMissing(spool->missing);
  const auto& totals = spool->totals;
  const ReportConfiguration& configuration = *engine.configuration;
  bool any = false;
  TargetLimits limits(configuration.options.report.max_per_target);
  for (const std::string_view name : totals->domains()) {
    if (!domain.empty() && name != domain) continue;
    const auto one = totals->Of(name);
    if (!one) continue;
    any = true;
    Wishes wishes;
    ReportPlan plan = PlanBeforeLookup(*one, MailsTo(sent, one->domain, day),
                                       configuration, DayOf(WallNow()));
    if (plan.verdict == ReportPlan::Verdict::kWanted) {
      wishes = co_await WishesOf(*engine.resolver, one->domain, one->record);
      plan =
          PlanFor(one->domain, wishes, configuration, limits, DayOf(WallNow()));
      if (const auto paused = sent ? sent->Paused(DayOf(WallNow()))
                                   : Result<std::vector<PausedAddress>>(
                                         std::vector<PausedAddress>()))
        LeaveOutPaused(*paused, plan);
    }
    Tell(*one, plan, wishes);
    if (!as_mail) {
      std::puts(
          ReportJson(*one, day, configuration.identity.submitter).c_str());
    } else if (const Status printed = PrintMail(configuration, *one, day, plan);
               !printed) {
      *exit_code = Complain(printed.error().message, kProblem);
      co_return;
    }
  }
  if (!any)
    *exit_code = Complain("no outcome of " + FormatDay(day) +
                              (domain.empty() ? "" : " at " + domain) +
                              " is in the spool",
                          kProblem);
}

}  // namespace

int PreviewReports(const CommandLine& line) {
  const auto day = DayOption(line);
  if (!day) return Complain(day.error().message, kUsage);
  const auto domain = DomainArgument(line);
  if (!domain) return Complain(domain.error().message, kUsage);
  auto configuration = LoadReportConfiguration(line.options, HostName());
  if (!configuration) return Complain(configuration.error().message, kUsage);
  boost::asio::io_context loop(1);
  auto queue = OpenNoQueue(**configuration);
  if (!queue) return Complain(queue.error().message, kTemporary);
  // As serve's user by now.
  auto sent = ReportQueue::OpenExisting((*configuration)->QueuePath());
  if (!sent) return Complain(sent.error().message, kTemporary);
  if (const std::string& missing = (*configuration)->not_sending;
      !missing.empty())
    std::fprintf(stderr, "postern-report: nothing is sent yet: %s\n",
                 missing.c_str());
  auto engine = ReportEngine::Create(loop, *configuration, std::move(*queue));
  if (!engine) return Complain(engine.error().message, kUsage);
  int exit_code = kFine;
  RunToItsEnd(loop, Preview(**engine, sent->get(), *day, *domain, line.mail,
                            &exit_code));
  std::fflush(stdout);
  std::_Exit(exit_code);
}

}  // namespace postern
