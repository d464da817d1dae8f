// bench_spool_day: what it takes to add up a day of the spool.
//
//   bench_spool_day write FILE LINES DOMAINS FAILURES   one in FAILURES failed
//   bench_spool_day lines FILE     finds the lines, and no more
//   bench_spool_day sax FILE       the yardstick: RapidJSON reads each line and
//                                  does nothing with it
//   bench_spool_day totals FILE    DayTotals
//   bench_spool_day reports FILE   and each domain's report, as a mail without
//                                  signature
//
// Prints seconds and the most memory. Domains and reasons are random: a cache
// has never seen the last line's neighbour.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

#include <sys/resource.h>

#include <rapidjson/reader.h>

#include "common/outcome_json.h"
#include "common/spool_reader.h"

#include "report-sender/day_totals.h"
#include "report-sender/gzip.h"
#include "report-sender/report_json.h"
#include "report-sender/report_mail.h"
#include "report-sender/report_text.h"

namespace postern {
namespace {

constexpr Day kDay = std::chrono::year{2026} / 11 / 22;

Outcome RandomOutcome(std::mt19937& random, unsigned domains,
                      unsigned failures) {
  Outcome outcome;
  const std::string number = std::to_string(random() % domains);
  outcome.domain = "customer" + number + ".example.com";
  const std::string host = "mx1." + outcome.domain;
  outcome.record = "v=TLSRPTv1; rua=mailto:tls-reports@" + outcome.domain;
  outcome.policy_domain = outcome.domain;
  outcome.policy_type = PolicyType::kSts;
  outcome.policy_string = {"version: STSv1", "mode: enforce", "mx: " + host,
                           "max_age: 86400"};
  outcome.mx_host = {host};
  if (random() % failures > 0) {
    outcome.successful = 1 + random() % 9;
    return outcome;
  }
  outcome.failed = 1;
  FailureDetail& detail = outcome.failure_details.emplace_back();
  detail.result_type = ResultType::kCertificateNotTrusted;
  detail.sending_mta_ip = "192.0.2.25";
  detail.receiving_mx_hostname = host;
  detail.receiving_mx_helo = host;
  detail.receiving_ip = "198.51.100." + std::to_string(random() % 250);
  detail.failed_session_count = 1;
  detail.failure_reason_code = "self-signed certificate";
  return outcome;
}

void Write(char** arguments) {
  const long lines = std::atol(arguments[1]);
  std::mt19937 random(1);
  std::ofstream file(arguments[0], std::ios::binary);
  std::string text;
  const WallTime midnight = kDay;
  for (long i = 0; i < lines; ++i) {
    Outcome outcome =
        RandomOutcome(random, static_cast<unsigned>(std::atol(arguments[2])),
                      static_cast<unsigned>(std::atol(arguments[3])));
    outcome.at = midnight + Seconds(i * 86400 / lines);
    AppendOutcomeLine(outcome, text);
    if (text.size() < 1 << 20) continue;
    file << text;
    text.clear();
  }
  file << text;
}

size_t MailAll(const DayTotals& totals) {
  const Submitter submitter{"Example", "tls@example.org", "example.org", "mx"};
  ReportMail mail;
  mail.day = kDay;
  mail.sender = mail.recipient = submitter.contact_info;
  mail.date = DayEnd(kDay);
  size_t bytes = 0;
  for (const std::string_view name : totals.domains()) {
    const DomainTotals domain = *totals.Of(name);
    mail.domain = name;
    mail.text = ReportText(domain, kDay, submitter);
    mail.gzip = Gzip(ReportJson(domain, kDay, submitter));
    bytes += FormatReportMail(mail, submitter).size();
  }
  return bytes;
}

uint64_t Read(const std::string& how, const char* path) {
  auto reader = SpoolReader::Open(path);
  if (!reader) {
    std::fprintf(stderr, "%s\n", reader.error().message.c_str());
    std::exit(1);
  }
  DayTotals totals;
  rapidjson::Reader parser;
  rapidjson::BaseReaderHandler<> nothing;
  uint64_t lines = 0;
  while (const auto line = reader->NextLine()) {
    ++lines;
    if (how == "totals" || how == "reports") totals.AddLine(*line);
    if (how != "sax") continue;
    rapidjson::MemoryStream in(line->data(), line->size());
    parser.Parse(in, nothing);
  }
  if (how == "reports") std::printf("%zu bytes of mail\n", MailAll(totals));
  if (how == "totals")
    std::printf("%zu domains, %llu skipped, %llu lost\n",
                totals.domains().size(),
                static_cast<unsigned long long>(totals.skipped()),
                static_cast<unsigned long long>(totals.lost()));
  return lines;
}

}  // namespace
}  // namespace postern

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  if (how == "write" && argc == 6) {
    postern::Write(argv + 2);
    return 0;
  }
  const bool known =
      how == "lines" || how == "sax" || how == "totals" || how == "reports";
  if (!known || argc != 3) {
    std::fprintf(stderr, "usage: see the head of spool_day.cc\n");
    return 2;
  }
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t lines = postern::Read(how, argv[2]);
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - begin;
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "%s: %llu lines in %.2f s, %ld MiB, %.2f s of CPU time\n", how.c_str(),
      static_cast<unsigned long long>(lines), took.count(),
      usage.ru_maxrss / 1024,
      static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
          static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) /
              1e6);
  return 0;
}
