#include "policy-daemon/spool_counters.h"

namespace postern {

SpoolCounters::SpoolCounters(Metrics& metrics)
    : datagrams(metrics.Counter("postern_tlsrpt_datagrams_total",
                                "Datagrams from Postfix, refused ones "
                                "included")),
      lines(metrics.Counter("postern_spool_lines_total",
                            "Lines written to the spool")),
      bytes(metrics.Counter("postern_spool_bytes_total",
                            "Bytes written to the spool")),
      written(metrics.Counter("postern_outcomes_written_total",
                              "Outcomes written to the spool")),
      lost(metrics.Counter("postern_outcomes_lost_total",
                           "Outcomes that could not be written to the "
                           "spool")),
      stalls(metrics.Counter("postern_tlsrpt_stalls_total",
                             "Times that datagrams had to wait in the kernel "
                             "because the spool was slow")),
      failing(metrics.Gauge("postern_spool_failing",
                            "1 while the spool cannot be written")),
      held(metrics.Gauge("postern_outcomes_held",
                         "Outcomes that are counted, to be written within a "
                         "minute")) {
  for (size_t i = 0; i < kSources; ++i)
    outcomes_[i] = &metrics.Counter(
        "postern_outcomes_total", "Outcomes taken in, by who knew of them",
        {{"source", OutcomeSourceName(static_cast<OutcomeSource>(i))}});
  for (size_t i = 0; i < kDatagramFaults; ++i)
    refused_[i] = &metrics.Counter(
        "postern_tlsrpt_refused_total", "Datagrams refused, by reason",
        {{"reason", DatagramFaultName(static_cast<DatagramFault>(i))}});
}

}  // namespace postern
