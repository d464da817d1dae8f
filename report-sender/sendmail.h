// Runs sendmail(1): whoever takes a mail from it keeps it.
//
// The program is run as it is, without a shell, by
// `sendmail -i -f SENDER -- ADDRESS`, with the mail on its standard input; all
// of it, even where we are killed meanwhile. Both are addresses as
// tlsrpt_record.h takes them: neither can be an option.
//
// Exit status 0 means accepted. Otherwise the first line that it wrote, or what
// its exit status means (sysexits.h), is the reason. One that does not end in
// time is killed: it must not accept later what is then sent again.
#pragma once

#include <string>

#include <boost/asio/any_io_executor.hpp>

#include "common/awaitable.h"
#include "common/clock.h"

namespace postern {

struct SendmailResult {
  bool accepted = false;
  std::string reason;  // printable
};

struct SendmailCall {
  std::string program;  // a path
  std::string sender;
  std::string recipient;
  std::string mail;  // lines end in '\n'
};

// REQUIRES: SIGPIPE is ignored.
Awaitable<SendmailResult> RunSendmail(boost::asio::any_io_executor executor,
                                      SendmailCall call,
                                      std::chrono::seconds patience);

}  // namespace postern
