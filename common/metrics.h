// Counters and gauges of a program, and their Prometheus text.
//
// A Metrics object owns one registry. Modules ask for their counters once, at
// construction, and keep the references: they live as long as the Metrics.
// Counter and gauge calls are safe from any thread.
#pragma once

#include <map>
#include <string>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace postern {

using Labels = std::map<std::string, std::string>;

class Metrics {
 public:
  Metrics();

  // The same name and labels give the same counter.
  prometheus::Counter& Counter(const std::string& name, const std::string& help,
                               const Labels& labels = {});
  prometheus::Gauge& Gauge(const std::string& name, const std::string& help,
                           const Labels& labels = {});
  // Seconds, in buckets from 1 ms to 60 s.
  prometheus::Histogram& Latency(const std::string& name,
                                 const std::string& help,
                                 const Labels& labels = {});

  // The text exposition format, version 0.0.4.
  std::string Text() const;

 private:
  prometheus::Registry registry_;
  prometheus::Gauge& resident_;
  prometheus::Counter& failed_work_;
};

}  // namespace postern
