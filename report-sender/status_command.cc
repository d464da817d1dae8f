#include <algorithm>
#include <cstdio>

#include "common/accounts.h"
#include "common/json_text.h"
#include "common/text.h"

#include "report-sender/command_support.h"
#include "report-sender/read_day.h"
#include "report-sender/report_commands.h"

namespace postern {
namespace {

constexpr size_t kShownId = 12;
constexpr size_t kMaxReason = 400;

using Row = std::vector<std::string>;

// Columns as wide as they have to be; the last is not padded.
void PrintTable(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    std::puts(line.c_str());
  }
}

uint64_t Of(const DayRow& day, DeliveryState state) {
  return day.by_state[static_cast<size_t>(state)];
}

Row DayCells(const DayRow& day) {
  return {FormatDay(day.day),
          day.closed ? std::to_string(day.closed->lines) : "open",
          day.closed ? std::to_string(day.closed->domains) : "-",
          std::to_string(day.reports),
          std::to_string(day.reports_delivered),
          std::to_string(Of(day, DeliveryState::kWaiting)),
          std::to_string(Of(day, DeliveryState::kGivenUp)),
          std::to_string(Of(day, DeliveryState::kDropped))};
}

std::string WhenText(const DeliveryRow& row) {
  if (row.next) return FormatUtc(*row.next);
  return row.finished ? FormatUtc(*row.finished) : "-";
}

void PrintText(const std::vector<DayRow>& days,
               const std::vector<DeliveryRow>& deliveries) {
  std::vector<Row> table = {{"DAY", "LINES", "DOMAINS", "REPORTS", "DELIVERED",
                             "WAITING", "GIVEN UP", "DROPPED"}};
  for (const DayRow& day : days) table.push_back(DayCells(day));
  PrintTable(table);
  for (const DayRow& day : days)
    if (day.closed && day.closed->skipped + day.closed->lost > 0)
      std::printf(
          "%s: %s of the spool skipped (torn or foreign), %llu beyond "
          "what a day may hold\n",
          FormatDay(day.day).c_str(),
          Counted(day.closed->skipped, "line").c_str(),
          static_cast<unsigned long long>(day.closed->lost));
  if (deliveries.empty()) return;
  std::puts("");
  table = {
      {"ID", "DAY", "DOMAIN", "STATE", "TRIES", "NEXT OR LAST", "DESTINATION"}};
  for (const DeliveryRow& row : deliveries) {
    table.push_back({row.report_id.substr(0, kShownId), FormatDay(row.day),
                     row.domain, DeliveryStateName(row.state),
                     std::to_string(row.attempts), WhenText(row),
                     row.destination});
    if (!row.reason.empty() && row.state != DeliveryState::kDelivered)
      table.back().back() += "\n  " + Printable(row.reason, kMaxReason);
  }
  PrintTable(table);
}

void PutTime(JsonText& out, const std::optional<WallTime>& time, bool next) {
  if (!time) return;
  if (next)
    out.Put(R"(,"next":")", FormatUtc(*time));
  else
    out.Put(R"(,"finished":")", FormatUtc(*time));
}

void PutStatus(const std::vector<DayRow>& days,
               const std::vector<DeliveryRow>& deliveries,
               const std::vector<PausedAddress>& paused,
               const std::vector<std::string>& missing, JsonText& out) {
  out.PutList(R"({"days":[)", days, [&](const DayRow& day) {
    out.Put(R"({"day":")", FormatDay(day.day));
    if (day.closed) {
      out.Put(R"(,"closed":")", FormatUtc(day.closed->at));
      out.Put(R"(,"lines":)", day.closed->lines);
      out.Put(R"(,"skipped":)", day.closed->skipped);
      out.Put(R"(,"lost":)", day.closed->lost);
      out.Put(R"(,"domains":)", day.closed->domains);
    }
    out.Put(R"(,"reports":)", day.reports);
    out.Put(R"(,"reports-delivered":)", day.reports_delivered);
    out.Put(R"(,"waiting":)", Of(day, DeliveryState::kWaiting));
    out.Put(R"(,"given-up":)", Of(day, DeliveryState::kGivenUp));
    out.Put(R"(,"dropped":)", Of(day, DeliveryState::kDropped));
    out.Put("}");
  });
  out.PutList(R"(,"deliveries":[)", deliveries, [&](const DeliveryRow& row) {
    out.Put(R"({"report-id":")", row.report_id);
    out.Put(R"(,"day":")", FormatDay(row.day));
    out.Put(R"(,"domain":")", row.domain);
    out.Put(R"(,"successful":)", row.successful);
    out.Put(R"(,"failed":)", row.failed);
    out.Put(R"(,"destination":")", row.destination);
    out.Put(R"(,"state":")", DeliveryStateName(row.state));
    out.Put(R"(,"attempts":)", static_cast<uint64_t>(row.attempts));
    PutTime(out, row.next, true);
    PutTime(out, row.finished, false);
    out.PutIfKnown(R"(,"reason":")", row.reason);
    out.Put("}");
  });
  out.PutList(R"(,"paused":[)", paused, [&](const PausedAddress& one) {
    out.Put(R"({"address":")", one.address);
    out.Put(R"(,"until":")", FormatDay(one.until));
    out.Put(R"(,"reason":")", one.reason);
    out.Put("}");
  });
  out.PutList(R"(,"missing-spools":[)", missing);
  out.Put("}");
}

std::string StatusJson(const std::vector<DayRow>& days,
                       const std::vector<DeliveryRow>& deliveries,
                       const std::vector<PausedAddress>& paused,
                       const std::vector<std::string>& missing) {
  std::string json;
  {
    JsonText out(json);
    PutStatus(days, deliveries, paused, missing, out);
  }
  return json;
}

// nullptr: no day has been reported yet. As serve's user: what SQLite makes
// beside the file must be that user's.
Result<std::unique_ptr<ReportQueue>> OpenQueue(const CommandLine& line) {
  const Status become = Become(CommandAccount(
      ReportAccount(line.options), line.options.report.queue_directory));
  if (!become) return become.error();
  ReportConfiguration configuration;
  configuration.options = line.options;
  return ReportQueue::OpenExisting(configuration.QueuePath());
}

}  // namespace

int ReportStatus(const CommandLine& line) {
  std::optional<Day> day;
  if (line.day) {
    const auto given = DayOption(line);
    if (!given) return Complain(given.error().message, kUsage);
    day = *given;
  }
  const auto queue = OpenQueue(line);
  if (!queue) return Complain(queue.error().message, kUsage);
  if (!*queue) return Complain("no day has been reported yet", kFine);
  auto days = (*queue)->Days();
  if (!days) return Complain(days.error().message, kTemporary);
  if (day)
    std::erase_if(*days, [&](const DayRow& one) { return one.day != *day; });
  const auto deliveries = (*queue)->Deliveries(day, line.all);
  if (!deliveries) return Complain(deliveries.error().message, kTemporary);
  const auto paused = (*queue)->Paused(DayOf(WallNow()));
  if (!paused) return Complain(paused.error().message, kTemporary);
  const auto had_outcomes = (*queue)->HadOutcomes();
  if (!had_outcomes) return Complain(had_outcomes.error().message, kTemporary);
  ReportConfiguration configuration;
  configuration.options = line.options;
  const auto missing = MissingFolders(configuration.Spools(), *had_outcomes);
  if (line.json)
    std::puts(StatusJson(*days, *deliveries, *paused, missing).c_str());
  else
    PrintText(*days, *deliveries);
  if (!line.json)
    for (const PausedAddress& one : *paused)
      std::printf("paused until %s: %s (its mails came back: %s)\n",
                  FormatDay(one.until).c_str(), Printable(one.address).c_str(),
                  Printable(one.reason).c_str());
  if (!line.json)
    for (const std::string& folder : missing)
      std::printf(
          "%s is not there (spool.directory): is it mounted? Days wait "
          "for it, up to three days\n",
          Printable(folder).c_str());
  const bool given_up = std::any_of(
      deliveries->begin(), deliveries->end(), [](const DeliveryRow& row) {
        return row.state == DeliveryState::kGivenUp;
      });
  return given_up || !missing.empty() ? kProblem : kFine;
}

int ChangeReports(const CommandLine& line) {
  const bool retries = line.command == "retry";
  if (line.arguments.size() != 1)
    return Complain(line.command + " needs one ID, as status shows it", kUsage);
  const auto queue = OpenQueue(line);
  if (!queue) return Complain(queue.error().message, kUsage);
  if (!*queue) return Complain("no day has been reported yet", kProblem);
  const std::string& id = line.arguments.front();
  const auto changed =
      retries ? (*queue)->Retry(id, WallNow()) : (*queue)->Drop(id, WallNow());
  if (!changed) return Complain(changed.error().message, kProblem);
  if (*changed == 0)
    return Complain(retries ? "all of it was delivered; nothing to retry"
                            : "nothing of it waits; nothing to drop",
                    kProblem);
  const std::string count =
      std::to_string(*changed) + (*changed == 1 ? " delivery" : " deliveries");
  if (retries)
    std::printf("%s to be tried now, by postern-report serve\n", count.c_str());
  else
    std::printf("%s dropped\n", count.c_str());
  return kFine;
}

}  // namespace postern
