#include "policy-daemon/milter.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <mutex>
#include <shared_mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <libmilter/mfapi.h>
#include <pthread.h>

#include "common/log.h"
#include "common/text.h"

#include "policy-daemon/policy_key.h"

// libmilter starts a thread that takes SIGTERM, SIGINT and SIGHUP off the
// process with sigwait() and then stops, and there is no option against that.
// Blocking the signals does not help, for sigwait() is meant for blocked ones.
// Most of the time the kernel prefers the main thread, where Asio handles
// them, but not while one signal is on its way to it and the next comes: a
// SIGTERM would then be lost. So libmilter gets this function for the C
// library's (nobody else here waits for signals in this manner): it waits for
// the set without those three, which is for ever.
extern "C" int sigwait(const sigset_t* set, int* number) {
  sigset_t others = *set;
  for (const int ours : {SIGTERM, SIGINT, SIGHUP}) sigdelset(&others, ours);
  for (;;) {
    const int got = sigwaitinfo(&others, nullptr);
    if (got > 0) {
      *number = got;
      return 0;
    }
    if (errno != EINTR) return errno;
  }
}

namespace postern {
namespace {

// All smtpd(8) processes may connect at once; libmilter's own is 20.
constexpr int kBacklog = 4096;
constexpr size_t kMaxNextHops = 8;
// Longer than any SMTP session is silent (smtpd_timeout is 300 s); libmilter's
// own two hours would let a stuck client keep one of its few workers.
constexpr int kIdleSeconds = 600;

// Names of the filter and of its macros; libmilter takes no const.
char filter_name[] = "postern";
char host_macro[] = "{rcpt_host}";
char transport_macro[] = "{rcpt_mailer}";
char recipient_macros[] = "{rcpt_host} {rcpt_mailer}";

// libmilter's callbacks come without a pointer of ours.
struct Filter {
  std::shared_mutex mutex;
  Milter::OnRecipient on_recipient;  // guarded; empty: nobody listens
  bool used = false;                 // guarded
};

// Never destroyed: libmilter's threads are there to the end.
Filter& TheFilter() {
  static Filter& filter = *new Filter;
  return filter;
}

std::string_view Macro(SMFICTX* context, char* name) {
  const char* value = smfi_getsymval(context, name);
  return value ? value : "";
}

// What the MTA cannot leave out (an old one) is not asked for: libmilter then
// answers it with "continue".
sfsistat OnNegotiate(SMFICTX* context, unsigned long actions,
                     unsigned long steps, unsigned long, unsigned long,
                     unsigned long* our_actions, unsigned long* our_steps,
                     unsigned long* unused, unsigned long* unused_too) {
  constexpr unsigned long kNotNeeded =
      SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NOHDRS |
      SMFIP_NOEOH | SMFIP_NOBODY | SMFIP_NOUNKNOWN;
  *our_steps = steps & (kNotNeeded | SMFIP_NR_RCPT);
  *our_actions = actions & SMFIF_SETSYMLIST;
  // Postfix then sends these macros and no others. If it fails, it sends the
  // usual ones, which these are among.
  if (*our_actions) smfi_setsymlist(context, SMFIM_ENVRCPT, recipient_macros);
  *unused = *unused_too = 0;
  return SMFIS_CONTINUE;
}

sfsistat OnRcpt(SMFICTX* context, char**) {
  try {
    if (MayBeSmtp(Macro(context, transport_macro))) {
      Filter& filter = TheFilter();
      const std::shared_lock lock(filter.mutex);
      for (std::string& next_hop : NextHops(Macro(context, host_macro)))
        if (filter.on_recipient) filter.on_recipient(std::move(next_hop));
    }
  } catch (...) {
    // Out of memory: no warm-up. The callers are C.
  }
  // To an MTA that waits for an answer all the same, libmilter says
  // "continue" in our place (OnNegotiate was offered NR_RCPT by it, then).
  return SMFIS_NOREPLY;
}

// The answer for which Postfix sends what it has kept of the recipients. With
// "accept" it does not come back at the end of the message: one round trip for
// each, as with "continue" there.
sfsistat OnData(SMFICTX*) { return SMFIS_ACCEPT; }

smfiDesc FilterDescription() {
  smfiDesc description{};
  description.xxfi_name = filter_name;
  description.xxfi_version = SMFI_VERSION;
  description.xxfi_flags = SMFIF_NONE;
  description.xxfi_envrcpt = OnRcpt;
  description.xxfi_data = OnData;
  description.xxfi_negotiate = OnNegotiate;
  return description;
}

void RunLibmilter() {
  smfi_main();
  // Nobody asks it to end.
  Log(LogLevel::kError, "milter_ended",
      {{"advice", "see libmilter's lines in syslog; restart the daemon"}});
}

// libmilter's threads inherit the mask of the one that starts them.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

Error CannotStart(const std::string& why) {
  return Error{"cannot start the milter: " + why};
}

}  // namespace

Result<std::unique_ptr<Milter>> Milter::Start(int listening_fd,
                                              OnRecipient on_recipient) {
  Filter& filter = TheFilter();
  const std::unique_lock lock(filter.mutex);
  if (filter.used) return CannotStart("there is one in this process already");
  const int fd = fcntl(listening_fd, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return CannotStart(std::strerror(errno));
  // libmilter polls, then accepts: without this it would hang where a client
  // has left in between.
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  std::string connection = "fd:" + std::to_string(fd);
  if (smfi_register(FilterDescription()) != MI_SUCCESS ||
      smfi_setconn(connection.data()) != MI_SUCCESS ||
      smfi_setbacklog(kBacklog) != MI_SUCCESS ||
      smfi_settimeout(kIdleSeconds) != MI_SUCCESS ||
      smfi_opensocket(false) != MI_SUCCESS) {
    close(fd);
    return CannotStart("libmilter refuses (see its lines in syslog)");
  }
  filter.used = true;
  try {
    const AllSignalsBlocked blocked;
    std::thread(RunLibmilter).detach();
  } catch (const std::system_error& error) {
    return CannotStart(error.what());
  }
  filter.on_recipient = std::move(on_recipient);
  return std::unique_ptr<Milter>(new Milter);
}

Milter::~Milter() {
  Filter& filter = TheFilter();
  const std::unique_lock lock(filter.mutex);
  filter.on_recipient = nullptr;
}

// {rcpt_mailer} is a service name of master.cf, which the administrator is
// free to choose ("smtp", "relay", "slow", "out-2"), so only names that are
// known for something else are left out: those of Postfix's own services that
// are not smtp(8), and the pipe(8) ones of its master.cf and of well-known
// software. A wrong guess costs one lookup here, or one warm-up.
bool MayBeSmtp(std::string_view transport) {
  static constexpr std::string_view kOthers[] = {
      "bsmtp",        "cyrus",   "discard",  "dovecot",  "error",
      "ifmail",       "local",   "maildrop", "mailman",  "old-cyrus",
      "pipe",         "postlog", "procmail", "retry",    "scalemail-backend",
      "spamassassin", "sympa",   "uucp",     "vacation", "virtual"};
  const std::string name = ToLowerAscii(transport);
  if (std::find(std::begin(kOthers), std::end(kOthers), name) !=
      std::end(kOthers))
    return false;
  // lmtp, dovecot-lmtp, lmtp-unix, zlmtp: mail goes to a store.
  return name.find("lmtp") == std::string::npos;
}

std::vector<std::string> NextHops(std::string_view rcpt_host) {
  std::vector<std::string> found;
  for (const std::string_view one : SplitList(rcpt_host, ", \t\r\n")) {
    if (found.size() == kMaxNextHops) break;
    if (one.size() <= kMaxKeyLength) found.emplace_back(one);
  }
  return found;
}

}  // namespace postern
