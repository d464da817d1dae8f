#include "report-sender/handover.h"

#include <algorithm>
#include <utility>

#include "common/host_addresses.h"
#include "common/https_proxy.h"
#include "common/text.h"

#include "report-sender/dkim.h"
#include "report-sender/report_mail.h"
#include "report-sender/sendmail.h"

namespace postern {
namespace {

constexpr Seconds kSendmailPatience{60};
constexpr Seconds kConnectTimeout{10};
constexpr Seconds kPostTimeout{60};
// Nobody reads it.
constexpr size_t kMaxAnswer = 64 * 1024;
constexpr size_t kMaxReason = 300;
constexpr uint64_t kMaxRetryAfter = 7 * 86400;
// Of a host's addresses, each for kConnectTimeout: a place is not held for
// longer.
constexpr size_t kMaxTries = 3;

Handover Refused(const std::string& reason) {
  return {.reason = Printable(reason, kMaxReason)};
}

Awaitable<Handover> Unwanted(std::string reason) {
  Handover handover;
  handover.reason = std::move(reason);
  handover.unwanted = true;
  co_return handover;
}

}  // namespace

std::string MailOf(const Parcel& parcel) {
  return FormatReportMail(
      {.domain = parcel.domain,
       .day = parcel.day,
       .sender = parcel.identity.sender,
       .recipient = std::get<MailAddress>(parcel.destination).address,
       .date = parcel.date,
       .text = parcel.text,
       .gzip = parcel.gzip,
       .message_id = parcel.message_id},
      parcel.identity.submitter);
}

Handover JudgePost(const HttpsResponse& response) {
  // RFC 8460 section 5.4. What comes behind the status does not matter.
  if (response.status >= 200 && response.status < 300)
    return {.accepted = true};
  if (response.status == 0) return Refused(response.detail);
  std::string reason = "the server answered " + std::to_string(response.status);
  if (response.status >= 300 && response.status < 400)
    reason += " (redirects are not followed)";
  if (!response.detail.empty()) reason += "; " + response.detail;
  Handover refused = Refused(reason);
  // A date is not taken: our own intervals will do.
  if (const auto seconds = ParseUint(response.retry_after, kMaxRetryAfter))
    refused.retry_after = Seconds(*seconds);
  return refused;
}

Awaitable<Handover> RealTransport::Deliver(Parcel parcel) {
  // Also where it was queued before the operator said so.
  if (configuration_->suppressions.HasDestination(
          parcel.destination, DayOf(world_.clock.WallNow())) ||
      configuration_->suppressions.HasDomain(parcel.domain,
                                             DayOf(world_.clock.WallNow())))
    return Unwanted("suppressed (report.suppress)");
  if (std::holds_alternative<MailAddress>(parcel.destination))
    return Mail(std::move(parcel), configuration_);
  return Post(std::move(parcel), configuration_);
}

Awaitable<Handover> RealTransport::Mail(Parcel parcel,
                                        Configuration configuration) {
  // With the report's date: so that a repeat is the same, byte for byte.
  const auto mail =
      DkimSign(MailOf(parcel), configuration->signers, parcel.date);
  if (!mail) co_return Refused(mail.error().message);
  SendmailCall call{configuration->options.report.sendmail,
                    parcel.identity.sender,
                    std::get<MailAddress>(parcel.destination).address, *mail};
  SendmailResult result =
      co_await RunSendmail(world_.executor, std::move(call), kSendmailPatience);
  co_return Handover{.accepted = result.accepted,
                     .reason = std::move(result.reason)};
}

Awaitable<Handover> RealTransport::Post(Parcel parcel,
                                        Configuration configuration) {
  const Options::Report& options = configuration->options.report;
  if (!options.https) co_return Refused("report.https is no");
  const HttpsUrl url = std::get<HttpsUrl>(parcel.destination);
  const HostAddresses addresses =
      co_await AddressesOf(world_.executor, world_.clock, world_.resolver,
                           url.host, options.allow_private);
  if (addresses.refused)
    co_return Refused(addresses.problem +
                      " (report.allow_private lets them in)");
  if (addresses.usable.empty()) co_return Refused(addresses.problem);
  std::optional<HttpsProxy> proxy;
  if (const auto name = ProxyName::Parse(configuration->options.sts.proxy))
    proxy = co_await FindProxy(world_.executor, world_.clock, world_.resolver,
                               *name);
  const SteadyTime deadline = world_.clock.Now() + kPostTimeout;
  HttpsResponse response;
  size_t tries = 0;
  for (const IpAddress& address : addresses.usable) {
    HttpsRequest post;
    post.host = url.host;
    post.address = address;
    post.proxy = proxy;
    post.port = url.port;
    post.path = url.target;
    // RFC 8460 section 5.4: the report itself, compressed.
    post.content = HttpsContent{"application/tlsrpt+gzip", parcel.gzip};
    post.max_body = kMaxAnswer;
    post.deadline = deadline;
    post.connect_deadline =
        std::min(deadline, world_.clock.Now() + kConnectTimeout);
    HttpsResponse answer = co_await world_.https.Ask(std::move(post));
    if (answer.failure != HttpsFailure::kNone)
      answer.detail = address.ToString() + ": " + answer.detail;
    if (proxy) {  // it resolves the name itself
      response = std::move(answer);
      break;
    }
    // An address that nobody here can reach costs no try: where there is no
    // IPv4, all of IPv4's must not use up those of the others.
    if (answer.failure == HttpsFailure::kLocal) {
      if (tries == 0) response = std::move(answer);
      continue;
    }
    response = std::move(answer);
    // Another address is tried only where this one was not reached: what was
    // sent may have arrived.
    if (response.status != 0 || response.failure == HttpsFailure::kProtocol ||
        response.failure == HttpsFailure::kTimeout ||
        world_.clock.Now() >= deadline || ++tries == kMaxTries)
      break;
  }
  if (response.failure == HttpsFailure::kLocal && !addresses.not_global.empty())
    response.detail += "; not tried: " + ListOf(addresses.not_global) +
                       " (report.allow_private lets them in)";
  co_return JudgePost(response);
}

}  // namespace postern
