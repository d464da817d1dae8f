#include "policy-daemon/memory_bounds.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace postern {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";
constexpr uint64_t kMiB = uint64_t{1} << 20;

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// "805306368\n"; "max", and anything else, is no limit.
std::optional<uint64_t> BytesOf(const std::string& text) {
  uint64_t bytes = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return bytes;
}

// A line of cgroup v2 is "0::/system.slice/postern-policy.service".
std::string OwnCgroup(const std::string& lines) {
  constexpr std::string_view kPrefix = "0::";
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with(kPrefix)) return line.substr(kPrefix.size());
  return "";
}

std::string InMiB(uint64_t bytes) {
  return std::to_string(bytes / kMiB) + " MiB";
}

}  // namespace

std::optional<uint64_t> MemoryLimit(const std::string& cgroup,
                                    const ReadFile& read) {
  std::optional<uint64_t> lowest;
  std::string group = cgroup;
  while (group.starts_with('/') && group.size() > 1) {
    for (const char* name : {"/memory.high", "/memory.max"})
      if (const auto bytes = BytesOf(read(kRoot + group + name)))
        lowest = std::min(lowest.value_or(*bytes), *bytes);
    group.resize(group.rfind('/'));
  }
  return lowest;
}

std::optional<std::string> MemoryWarning(const Options& options,
                                         std::optional<uint64_t> limit) {
  const uint64_t answers = options.cache.max_bytes;
  const uint64_t policies = options.sts.max_bytes;
  // A sum may be too large for its type.
  if (!limit || (answers <= *limit / 2 && policies <= *limit / 2 - answers))
    return std::nullopt;
  return "cache.max_bytes (" + InMiB(answers) + ") and sts.max_bytes (" +
         InMiB(policies) +
         ") are together more than half of the memory that the service may "
         "use (" +
         InMiB(*limit) +
         ", MemoryHigh= and MemoryMax=): it may be slowed down, or killed, "
         "while mail waits for it; lower them, or raise the limits (systemctl "
         "edit postern-policy)";
}

std::optional<std::string> OwnMemoryWarning(const Options& options) {
  const std::string cgroup = OwnCgroup(FileText("/proc/self/cgroup"));
  return MemoryWarning(options, MemoryLimit(cgroup, FileText));
}

std::optional<std::string> UnitMemoryWarning(const Options& options) {
  return MemoryWarning(options, MemoryLimit(kUnitCgroup, FileText));
}

}  // namespace postern
