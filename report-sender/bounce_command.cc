#include <cstdio>

#include "common/log.h"
#include "common/privileges.h"
#include "common/text.h"

#include "report-sender/bounce_message.h"
#include "report-sender/command_support.h"
#include "report-sender/report_commands.h"

namespace postern {
namespace {

// nullptr: there is none yet. As serve's user: what SQLite makes beside the
// file must be that user's.
Result<std::unique_ptr<ReportQueue>> OpenQueue(const CommandLine& line) {
  const Status become =
      BecomeUser(line.options.run.user, line.options.run.group);
  if (!become) return become.error();
  ReportConfiguration configuration;
  configuration.options = line.options;
  return ReportQueue::OpenExisting(configuration.QueuePath());
}

// All that comes is taken, or the mail system would be told that we failed.
std::string ReadMail() {
  std::string mail;
  char buffer[65536];
  for (size_t size; (size = fread(buffer, 1, sizeof buffer, stdin)) > 0;)
    if (mail.size() < kMaxBounceBytes) mail.append(buffer, size);
  return mail;
}

}  // namespace

int TakeBounce(const CommandLine& line) {
  const auto bounce = ParseBounce(ReadMail());
  // An answer to what anybody may send would hit somebody else.
  if (!bounce)
    return Complain("ignored a mail: " + bounce.error().message, kFine);
  const auto queue = OpenQueue(line);
  if (!queue) return Complain(queue.error().message, kTemporary);
  uint64_t counted = 0;
  for (const Bounce::Failure& failure : bounce->failures) {
    const bool is_only = bounce->failures.size() == 1;
    for (const std::string& address :
         {failure.original_recipient, failure.final_recipient, std::string()}) {
      // Without an address: it was forwarded where it went.
      if (!*queue || (address.empty() && !is_only)) continue;
      const auto noted = (*queue)->NoteBounce(bounce->message_id, address,
                                              WallNow(), failure.status);
      if (!noted) return Complain(noted.error().message, kTemporary);
      if (!*noted) continue;
      ++counted;
      break;
    }
  }
  if (counted == 0)
    return Complain("ignored a mail: no report of ours came back with it",
                    kFine);
  return kFine;
}

int ResumeAddress(const CommandLine& line) {
  if (line.arguments.size() != 1)
    return Complain("resume needs one address, as status shows it", kUsage);
  const auto queue = OpenQueue(line);
  if (!queue) return Complain(queue.error().message, kTemporary);
  const std::string& address = line.arguments.front();
  const auto resumed = *queue ? (*queue)->Resume(address) : Result<bool>(false);
  if (!resumed) return Complain(resumed.error().message, kTemporary);
  if (!*resumed)
    return Complain("nothing came back from " + Printable(address), kProblem);
  std::printf("%s gets reports again\n", Printable(address).c_str());
  return kFine;
}

}  // namespace postern
