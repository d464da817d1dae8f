#include "common/metrics.h"

#include <prometheus/text_serializer.h>

namespace postern {

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
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

}  // namespace postern
