#include "policy-daemon/memory_bounds.h"

#include <map>

#include <gtest/gtest.h>

namespace postern {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(MemoryLimit, IsTheLowestOfTheGroupAndThoseAboveIt) {
  const std::string unit = "/sys/fs/cgroup/system.slice/p.service/";
  const std::string slice = "/sys/fs/cgroup/system.slice/";
  struct Case {
    std::map<std::string, std::string> files;
    std::optional<uint64_t> limit;
  };
  const Case cases[] = {
      {{}, std::nullopt},
      {{{unit + "memory.high", "max\n"}, {unit + "memory.max", "max\n"}},
       std::nullopt},
      {{{unit + "memory.high", "805306368\n"},
        {unit + "memory.max", "1073741824\n"}},
       805306368},
      {{{unit + "memory.high", "max\n"}, {unit + "memory.max", "1000\n"}},
       1000},
      {{{unit + "memory.max", "1000\n"}, {slice + "memory.max", "500\n"}}, 500},
      {{{slice + "memory.high", "0\n"}}, 0},
      {{{unit + "memory.max", "no number\n"}}, std::nullopt}};
  for (const Case& one : cases)
    EXPECT_EQ(MemoryLimit("/system.slice/p.service",
                          [&](const std::string& path) {
                            const auto found = one.files.find(path);
                            return found == one.files.end() ? ""
                                                            : found->second;
                          }),
              one.limit);
}

TEST(MemoryLimit, IsNoneWithoutAGroup) {
  for (const char* group : {"", "/", "relative"})
    EXPECT_FALSE(MemoryLimit(group, [](const std::string&) { return "1"; }))
        << group;
}

TEST(MemoryWarning, ComesWhereTheBoundsAreMoreThanHalfOfTheLimit) {
  struct Case {
    uint64_t answers, policies;
    std::optional<uint64_t> limit;
    bool warns;
  };
  const uint64_t huge = ~uint64_t{0};
  for (const Case& one :
       {Case{256 * kMiB, 128 * kMiB, 768 * kMiB, false},  // the defaults
        Case{256 * kMiB, 128 * kMiB, std::nullopt, false},
        Case{256 * kMiB + 1, 128 * kMiB, 768 * kMiB, true},
        Case{256 * kMiB, 128 * kMiB + 1, 768 * kMiB, true},
        Case{1024 * kMiB, 1 * kMiB, 768 * kMiB, true},
        Case{1 * kMiB, 512 * kMiB, 768 * kMiB, true},
        Case{huge, huge, 768 * kMiB, true},
        Case{256 * kMiB, 128 * kMiB, 0, true},
        Case{huge, huge, std::nullopt, false}}) {
    Options options;
    options.cache.max_bytes = one.answers;
    options.sts.max_bytes = one.policies;
    EXPECT_EQ(MemoryWarning(options, one.limit).has_value(), one.warns)
        << one.answers << "+" << one.policies << " of "
        << one.limit.value_or(0);
  }
}

TEST(MemoryWarning, NamesTheKeysTheLimitAndWhatToDo) {
  Options options;
  options.cache.max_bytes = 1024 * kMiB;
  options.sts.max_bytes = 128 * kMiB;
  EXPECT_EQ(*MemoryWarning(options, 768 * kMiB),
            "cache.max_bytes (1024 MiB) and sts.max_bytes (128 MiB) are "
            "together more than half of the memory that the service may use "
            "(768 MiB, MemoryHigh= and MemoryMax=): it may be slowed down, or "
            "killed, while mail waits for it; lower them, or raise the limits "
            "(systemctl edit postern-policy)");
}

}  // namespace
}  // namespace postern
