// Lines of Postfix's log, each as a line of a file, as a message, and behind
// the words where Postfix repeats what a host has said.
#include <algorithm>

#include "common/domain_name.h"
#include "common/ip_address.h"
#include "common/text.h"

#include "policy-daemon/maillog_sessions.h"
#include "tests/fuzz/fuzz.h"

namespace postern {
namespace {

constexpr LogTime kNow{std::chrono::seconds(1795389000)};

void RequireClean(const SmtpEvent& event) {
  Require(event.peer.host.empty() || IsNormalDomain(event.peer.host),
          "host names are normal");
  if (!event.peer.address.empty()) {
    const auto address = IpAddress::Parse(event.peer.address);
    Require(address && address->ToString() == event.peer.address,
            "addresses are canonical");
  }
  Require(event.reason.size() <= 255 &&
              std::all_of(event.reason.begin(), event.reason.end(),
                          [](char c) { return c > ' ' && c <= '~'; }),
          "reasons are words");
  Require(event.queue_id.size() <= 255 &&
              std::all_of(event.queue_id.begin(), event.queue_id.end(),
                          IsAsciiAlnum),
          "queue ids are letters and digits");
}

// Nothing that a host says changes what is read.
void RequireUnheard(const std::string& place, std::string_view said) {
  Require(ParseSmtpMessage(place + std::string(said)) ==
              ParseSmtpMessage(place + "250 ok"),
          "replies are not read");
}

void TakeAll(std::string_view text) {
  MaillogSessions sessions({.processes = 2, .queries = 2});
  AnsweredPolicy policy;
  policy.demand = AnsweredPolicy::Demand::kAuthentication;
  policy.domain = "example.com";
  const auto shared = std::make_shared<const AnsweredPolicy>(policy);
  LogTime now = kNow;
  for (const std::string_view part : SplitList(text, "\n")) {
    const auto line = ParseMaillogLine(part, kNow);
    if (!line) continue;
    RequireClean(line->event);
    now = std::max(now, line->at);
    sessions.NoteQuery(line->pid, "example.com", shared, line->at);
    for (const Outcome& outcome : sessions.TakeLine(*line, now))
      Require(outcome.domain == "example.com" &&
                  outcome.successful + outcome.failed == 1,
              "an outcome is a session");
    Require(sessions.processes() <= 2, "processes are bounded");
  }
}

}  // namespace
}  // namespace postern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view text = AsText(data, size);
  TakeAll(text);
  if (const auto event = ParseSmtpMessage(text)) RequireClean(*event);
  const std::string_view said = text.substr(0, kMaxLogLine / 2);
  if (said.find('\n') != said.npos) return 0;
  RequireUnheard("D4E0D64: host mx.example.com[192.0.2.1] said: ", said);
  RequireUnheard(
      "D4E0D64: TLS is required, but host mx.example.com[192.0.2.1] refused to "
      "start TLS: ",
      said);
  RequireUnheard("mx.example.com[192.0.2.1]:25: subjectAltName: ", said);
  RequireUnheard(
      "certificate verification failed for mx.example.com[192.0.2.1]:25: "
      "untrusted issuer ",
      said);
  return 0;
}
