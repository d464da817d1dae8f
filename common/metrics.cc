#include "common/metrics.h"

#include <fstream>

#include <unistd.h>

#include <prometheus/text_serializer.h>

#include "common/awaitable.h"

namespace postern {
namespace {

// proc(5), statm: the second number is of pages. 0 where there is no /proc.
double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  if (!(statm >> size >> resident)) return 0;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Metrics::Metrics()
    : resident_(Gauge("process_resident_memory_bytes",
                      "Memory that the process has from the kernel.")),
      failed_work_(Counter("postern_failed_work_total",
                           "Items of work that an error has ended")) {}

prometheus::Counter& Metrics::Counter(const std::string& name,
                                      const std::string& help,
                                      const Labels& labels) {
  return prometheus::BuildCounter()
      .Name(name)
      .Help(help)
      .Register(registry_)
      .Add(labels);
}

prometheus::Gauge& Metrics::Gauge(const std::string& name,
                                  const std::string& help,
                                  const Labels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(
      labels);
}

prometheus::Histogram& Metrics::Latency(const std::string& name,
                                        const std::string& help,
                                        const Labels& labels) {
  return prometheus::BuildHistogram()
      .Name(name)
      .Help(help)
      .Register(registry_)
      .Add(labels, prometheus::Histogram::BucketBoundaries{
                       0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60});
}

std::string Metrics::Text() const {
  resident_.Set(ResidentBytes());
  failed_work_.Increment(static_cast<double>(failed_work.load()) -
                         failed_work_.Value());
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

}  // namespace postern
