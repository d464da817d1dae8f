// What a process has used so far, from /proc: CPU seconds of all its threads
// (to 10 ms, the kernel's tick) and resident memory now and at its peak.

#ifndef TESTS_BENCH_PROCESS_USAGE_H_
#define TESTS_BENCH_PROCESS_USAGE_H_

#include <string>
#include <vector>

struct ProcessUsage {
  double cpu_seconds = 0;
  long rss_kib = 0;
  long peak_rss_kib = 0;
};

// Zeros for a process that does not exist (any more).
ProcessUsage ReadProcessUsage(int pid);

// Takes a reading of each pid when made; Json() tells what each has used since.
class UsageMeter {
 public:
  explicit UsageMeter(const std::vector<int>& pids);

  // [{"pid":1,"cpu_seconds":0.50,"rss_kib":9000,"peak_rss_kib":9100}, ...]
  std::string Json() const;

 private:
  std::vector<int> pids_;
  std::vector<ProcessUsage> before_;
};

#endif  // TESTS_BENCH_PROCESS_USAGE_H_
