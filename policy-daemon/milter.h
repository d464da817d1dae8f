// Milter: hears of recipients as Postfix accepts them, so that the policies of
// their destinations are known before smtp(8) asks.
//
// It listens only. It asks for envelope recipients and answers none of them,
// but says "accept" once a message, at DATA: Postfix sends unanswered events
// only together with one that it wants an answer to, and at the end of the
// message, which is the other choice, smtp(8) is about to ask already.
//
// It changes no mail, and whatever goes wrong here, mail goes on: with this
// filter gone, Postfix needs
// smtpd_milters = { unix:..., default_action=accept }.
//
// libmilter has threads of its own and one filter a process: one Milter may be
// started, once. Its threads end with the process; a Milter that goes only
// stops calling. Signals stay with the other threads, SIGTERM, SIGINT and
// SIGHUP included, which libmilter would like to handle itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace postern {

class Milter {
 public:
  // Called from libmilter's threads, from several at once; must not wait.
  using OnRecipient = std::function<void(std::string next_hop)>;

  // `listening_fd`: a listening stream socket, which stays the caller's (it is
  // duplicated). Its file, if it has one, is not touched.
  static Result<std::unique_ptr<Milter>> Start(int listening_fd,
                                               OnRecipient on_recipient);
  Milter(const Milter&) = delete;
  Milter& operator=(const Milter&) = delete;
  // No call is under way, and none comes, once this returns.
  ~Milter();

 private:
  Milter() = default;
};

// The rest is pure.

// Whether mail that Postfix gives to this transport ({rcpt_mailer}) may be
// delivered by smtp(8), and so ask for a policy.
bool MayBeSmtp(std::string_view transport);

// The policy keys in a next hop ({rcpt_host}): one, but "[a], [b]:587" in a
// relayhost or transport table has one for each. At most eight, none longer
// than kMaxKeyLength.
std::vector<std::string> NextHops(std::string_view rcpt_host);

}  // namespace postern
