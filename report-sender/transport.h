// Transport: hands a report to where it goes. The seam of the deliverer: the
// tests have one that answers from a table.
#pragma once

#include <optional>
#include <string>

#include "common/awaitable.h"
#include "common/clock.h"

#include "report-sender/report_queue.h"

namespace postern {

struct Handover {
  bool accepted = false;
  std::string reason = "";  // why not: printable, for the operator
  // Where the other side says so.
  std::optional<Seconds> retry_after = std::nullopt;
  bool unwanted = false;  // by our operator: not to be tried any more
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Ends by itself, in about a minute.
  virtual Awaitable<Handover> Deliver(Parcel parcel) = 0;
};

}  // namespace postern
