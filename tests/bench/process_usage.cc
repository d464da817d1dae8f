#include "tests/bench/process_usage.h"

#include <cstdio>
#include <fstream>
#include <sstream>

#include <unistd.h>

namespace {

double ReadCpuSeconds(const std::string& folder) {
  std::ifstream file(folder + "/stat");
  std::string line;
  std::getline(file, line);
  // The second field, the name in parentheses, may hold blanks.
  size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user_ticks = 0;
  double system_ticks = 0;
  fields >> user_ticks >> system_ticks;
  return (user_ticks + system_ticks) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

ProcessUsage ReadProcessUsage(int pid) {
  std::string folder = "/proc/" + std::to_string(pid);
  ProcessUsage usage;
  usage.cpu_seconds = ReadCpuSeconds(folder);
  std::ifstream status(folder + "/status");
  for (std::string line; std::getline(status, line);) {
    std::sscanf(line.c_str(), "VmRSS: %ld", &usage.rss_kib);
    std::sscanf(line.c_str(), "VmHWM: %ld", &usage.peak_rss_kib);
  }
  return usage;
}

UsageMeter::UsageMeter(const std::vector<int>& pids) : pids_(pids) {
  for (int pid : pids_) before_.push_back(ReadProcessUsage(pid));
}

std::string UsageMeter::Json() const {
  std::string json = "[";
  for (size_t i = 0; i < pids_.size(); ++i) {
    ProcessUsage now = ReadProcessUsage(pids_[i]);
    char item[160];
    std::snprintf(item, sizeof(item),
                  "%s{\"pid\":%d,\"cpu_seconds\":%.2f,\"rss_kib\":%ld,"
                  "\"peak_rss_kib\":%ld}",
                  i > 0 ? "," : "", pids_[i],
                  now.cpu_seconds - before_[i].cpu_seconds, now.rss_kib,
                  now.peak_rss_kib);
    json += item;
  }
  return json + "]";
}
