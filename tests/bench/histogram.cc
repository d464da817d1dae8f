#include "tests/bench/histogram.h"

#include <algorithm>

double Histogram::Middle(size_t index) {
  size_t shift = index >> kSubBits;
  if (shift <= 1) return static_cast<double>(index);  // one value a bucket
  --shift;
  uint64_t low = (index - (shift << kSubBits)) << shift;
  return static_cast<double>(low) + static_cast<double>(1ULL << shift) / 2;
}

double Histogram::QuantileMicroseconds(double fraction) const {
  uint64_t wanted = static_cast<uint64_t>(fraction * double(count_));
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen > wanted) return std::min(Middle(i), double(max_)) / 1e3;
  }
  return MaxMicroseconds();
}
