#include <cstdio>
#include <cstdlib>

#include <signal.h>

#include "common/log.h"
#include "common/privileges.h"
#include "common/text.h"

#include "report-sender/command_support.h"
#include "report-sender/report_commands.h"
#include "report-sender/schedule.h"

namespace postern {
namespace {

constexpr uint64_t kFiles = 4096;
constexpr std::chrono::milliseconds kLookInterval{200};
// Of many deliveries: to count what is left takes longer.
constexpr uint64_t kMany = 1000;
constexpr std::chrono::milliseconds kLongInterval{2000};
// Where the daemon delivers: as long as any attempt may take, and a bit.
constexpr Seconds kDaemonPatience{120};

struct Request {
  Day day;
  std::string domain;  // "": all
  std::optional<MailAddress> to;
};

std::string DeliveriesText(uint64_t count) {
  return std::to_string(count) + (count == 1 ? " delivery" : " deliveries");
}

// What became of the day's deliveries, and the exit code for it.
int Summarize(ReportQueue& queue, const Request& request) {
  const auto rows = queue.Deliveries(request.day, true);
  if (!rows) return Complain(rows.error().message, kTemporary);
  uint64_t counts[4] = {};
  for (const DeliveryRow& row : *rows) {
    if (!request.domain.empty() && row.domain != request.domain) continue;
    ++counts[static_cast<size_t>(row.state)];
    if (row.state == DeliveryState::kDelivered) continue;
    std::fprintf(stderr, "%s: %s, to %s: %s\n", row.domain.c_str(),
                 DeliveryStateName(row.state), row.destination.c_str(),
                 Printable(row.reason, 400).c_str());
  }
  if (counts[0] + counts[1] + counts[2] + counts[3] == 0) {
    std::printf(
        "%s: no report%s\n", FormatDay(request.day).c_str(),
        request.domain.empty() ? "" : (" about " + request.domain).c_str());
    return request.domain.empty() ? kFine : kProblem;
  }
  std::printf("%s: %s made, %llu waiting, %llu given up, %llu dropped\n",
              FormatDay(request.day).c_str(), DeliveriesText(counts[1]).c_str(),
              static_cast<unsigned long long>(counts[0]),
              static_cast<unsigned long long>(counts[2]),
              static_cast<unsigned long long>(counts[3]));
  if (counts[0] > 0) {
    std::puts("What waits is tried again by postern-report serve.");
    return kTemporary;
  }
  return counts[2] > 0 ? kProblem : kFine;
}

class Sender {
 public:
  Sender(ReportEngine& engine, Request request)
      : engine_(engine), request_(std::move(request)) {}

  Awaitable<void> Run(int* exit_code) {
    // (g++ 12 destroys the results of "?:" around co_await twice.)
    Status done = Done{};
    if (request_.to)
      done = co_await SendCopies();
    else
      done = co_await Send();
    if (!done)
      *exit_code = Complain(done.error().message, kTemporary);
    else if (!request_.to)
      *exit_code = Summarize(*engine_.queue, request_);
  }

 private:
  Awaitable<Status> Send() {
    co_await engine_.CheckDkim();
    const auto closed = engine_.queue->IsClosed(request_.day, WallNow());
    if (!closed) co_return closed.error();
    if (!*closed) {
      std::fprintf(stderr, "reading the spool of %s ...\n",
                   FormatDay(request_.day).c_str());
      const auto meter = std::make_shared<ProgressMeter>("reports built");
      DayBuilder::Progress progress = [meter](uint64_t done, uint64_t all) {
        meter->Show(done, all);
      };
      const auto built = co_await engine_.Queue(request_.day, request_.domain,
                                                std::move(progress));
      if (!built) co_return built.error();
      std::printf(
          "%s: %s, %s wanted; %llu ask for none, %llu suppressed, %llu with "
          "mails of ours alone, %llu of which DNS does not say%s\n",
          FormatDay(request_.day).c_str(),
          Counted(built->domains, "domain").c_str(),
          Counted(built->reports, "report").c_str(),
          static_cast<unsigned long long>(built->unwanted),
          static_cast<unsigned long long>(built->suppressed),
          static_cast<unsigned long long>(built->our_own),
          static_cast<unsigned long long>(built->unknown),
          built->broken > 0 ? "; some could not be built, see the log" : "");
      std::fflush(stdout);
    }
    co_return co_await Deliver();
  }

  // By ourselves, or by the daemon where one runs.
  Awaitable<Status> Deliver() {
    const WallTime now = WallNow();
    const auto hastened =
        engine_.queue->Hasten(request_.day, request_.domain, now);
    if (!hastened) co_return hastened.error();
    const auto ours = engine_.queue->TakeDelivering();
    if (!ours) co_return ours.error();
    if (!*ours) std::fputs("postern-report serve delivers them ...\n", stderr);
    ProgressMeter meter("deliveries tried");
    SteadyTime deadline = engine_.clock->Now() + kDaemonPatience;
    for (uint64_t left = *hastened; left > 0;) {
      if (*ours) engine_.deliverer.Look();
      Event pause(engine_.loop.get_executor(), *engine_.clock);
      co_await pause.WaitUntil(engine_.clock->Now() +
                               (left > kMany ? kLongInterval : kLookInterval));
      const auto overdue =
          engine_.queue->Overdue(request_.day, request_.domain, now);
      if (!overdue) co_return overdue.error();
      if (*overdue < left) deadline = engine_.clock->Now() + kDaemonPatience;
      left = *overdue;
      meter.Show(*hastened - left, *hastened);
      if (!*ours && left > 0 && engine_.clock->Now() > deadline)
        co_return Error{
            "no delivery has ended for two minutes; see the log of "
            "postern-report serve"};
    }
    // Of other days, too: what was accepted must be written down.
    engine_.deliverer.Stop();
    while (engine_.deliverer.under_way() > 0) {
      Event pause(engine_.loop.get_executor(), *engine_.clock);
      co_await pause.WaitUntil(engine_.clock->Now() + kLookInterval);
      engine_.deliverer.Look();
    }
    co_return Done{};
  }

  Awaitable<Status> SendCopies() {
    const auto spool = co_await engine_.Read(request_.day);
    if (!spool) co_return spool.error();
    TellMissing(spool->missing);
    const auto& totals = spool->totals;
    const Identity& identity = engine_.configuration->identity;
    uint64_t sent = 0;
    for (const std::string_view name : totals->domains()) {
      if (!request_.domain.empty() && name != request_.domain) continue;
      const auto one = totals->Of(name);
      if (!one) continue;
      NewReport report = MakeReport(*one, request_.day, identity);
      Parcel parcel;
      parcel.destination = *request_.to;
      parcel.identity = identity;
      parcel.day = request_.day;
      parcel.domain = report.domain;
      parcel.date = WallNow();
      parcel.text = std::move(report.text);
      parcel.gzip = std::move(report.gzip);
      const Handover handover =
          co_await engine_.transport.Deliver(std::move(parcel));
      if (!handover.accepted) co_return Error{handover.reason};
      ++sent;
    }
    if (sent == 0)
      co_return Error{
          "no outcome of " + FormatDay(request_.day) +
          (request_.domain.empty() ? "" : " at " + request_.domain) +
          " is in the spool"};
    std::printf("%s sent to %s; that is not recorded\n",
                Counted(sent, "report").c_str(), request_.to->address.c_str());
    co_return Done{};
  }

  ReportEngine& engine_;
  const Request request_;
};

Result<Request> RequestOf(const CommandLine& line) {
  if (!line.day) return Error{"send needs --day, such as --day yesterday"};
  const auto day = DayOption(line);
  if (!day) return day.error();
  const auto domain = DomainArgument(line);
  if (!domain) return domain.error();
  Request request{*day, *domain, std::nullopt};
  if (line.to) {
    const auto to = ParseDestination("mailto:" + *line.to);
    if (!to || !std::holds_alternative<MailAddress>(*to))
      return Error{"--to cannot be '" + Printable(*line.to) +
                   "'; expected an address"};
    request.to = std::get<MailAddress>(*to);
  } else if (!HasEnded(*day, WallNow())) {
    return Error{FormatDay(*day) +
                 " has not ended (a day ends at 00:05 UTC of the next): its "
                 "report would be in part; preview shows it, and --to ADDRESS "
                 "sends a copy"};
  }
  return request;
}

}  // namespace

int SendReports(const CommandLine& line) {
  signal(SIGPIPE, SIG_IGN);
  auto request = RequestOf(line);
  if (!request) return Complain(request.error().message, kUsage);
  auto configuration = LoadReportConfiguration(line.options, HostName());
  if (!configuration) return Complain(configuration.error().message, kUsage);
  if (const std::string& missing = (*configuration)->not_sending;
      !missing.empty())
    return Complain(missing, kUsage);
  RaiseOpenFiles(kFiles);
  auto queue = request->to ? OpenNoQueue(**configuration)
                           : OpenOwnQueue(**configuration);
  if (!queue) return Complain(queue.error().message, kTemporary);
  boost::asio::io_context loop(1);
  auto engine = ReportEngine::Create(loop, *configuration, std::move(*queue));
  if (!engine) return Complain(engine.error().message, kUsage);
  Sender sender(**engine, std::move(*request));
  int exit_code = kFine;
  RunToItsEnd(loop, sender.Run(&exit_code));
  std::fflush(stdout);
  std::_Exit(exit_code);
}

}  // namespace postern
