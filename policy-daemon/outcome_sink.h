// OutcomeSink: where the daemon tells what it found wrong with a domain.
//
// Postfix reports how its own sessions went; failures that only the policy
// lookup sees (RFC 8460 section 4.3.2) start here.
#pragma once

#include <optional>

#include "common/dns.h"
#include "common/outcome.h"

namespace postern {

// A failure that only the policy lookup sees.
struct Finding {
  // Without its time and the TLSRPT record.
  Outcome outcome;
  // It is one only if the answer to this, which failed, is there and bogus.
  std::optional<DnsQuestion> if_bogus;
  // It rests on a policy host that could not be connected to: that may be
  // trouble of ours.
  bool unreached = false;
};

class OutcomeSink {
 public:
  virtual ~OutcomeSink() = default;
  // Called from the loop; must not block.
  virtual void Record(Finding finding) = 0;
};

// Nobody wants to know.
class NoOutcomes final : public OutcomeSink {
 public:
  void Record(Finding) override {}
};

}  // namespace postern
