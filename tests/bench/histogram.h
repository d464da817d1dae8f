// Latencies in logarithmic buckets: 64 to each power of two, so a quantile is
// off by at most 1.6 % while recording costs a shift and an increment.
//
// Why not keep every sample: a closed loop makes 700,000 of them a second, and
// storing them would slow the load program that is measuring.

#ifndef TESTS_BENCH_HISTOGRAM_H_
#define TESTS_BENCH_HISTOGRAM_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

class Histogram {
 public:
  void Record(int64_t nanoseconds) {
    uint64_t value = nanoseconds > 0 ? static_cast<uint64_t>(nanoseconds) : 0;
    ++buckets_[Index(value)];
    ++count_;
    if (value > max_) max_ = value;
  }

  void Clear() { *this = Histogram(); }

  uint64_t count() const { return count_; }
  double MaxMicroseconds() const { return static_cast<double>(max_) / 1e3; }

  // The latency in microseconds that `fraction` of the samples do not exceed.
  double QuantileMicroseconds(double fraction) const;

 private:
  static constexpr int kSubBits = 6;

  // The first 128 values have a bucket each; after that the top seven bits
  // choose.
  static size_t Index(uint64_t value) {
    int shift = static_cast<int>(std::bit_width(value)) - (kSubBits + 1);
    if (shift <= 0) return value;
    return (static_cast<size_t>(shift) << kSubBits) + (value >> shift);
  }
  static double Middle(size_t index);

  std::vector<uint64_t> buckets_ = std::vector<uint64_t>(64 << kSubBits);
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

#endif  // TESTS_BENCH_HISTOGRAM_H_
