// Do the configured bounds fit into the memory that the service may use?
//
// The bounds are of the bytes that are kept; beside them stand connections,
// lookups under way, the allocator's pages and SQLite's. So together they may
// be half of the limit, and no more: a service that meets MemoryHigh= is slowed
// down, and one that meets MemoryMax= is killed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/options.h"

namespace postern {

// Where the package's unit has its limits while it runs.
inline constexpr char kUnitCgroup[] = "/system.slice/postern-policy.service";

// The lowest of memory.high and memory.max of a control group ("/a/b.service")
// and of those above it, in bytes. nullopt: there is none, or no control groups
// of version 2. `read` returns a file of /sys/fs/cgroup, "" where it cannot be
// read.
using ReadFile = std::function<std::string(const std::string& path)>;
std::optional<uint64_t> MemoryLimit(const std::string& cgroup,
                                    const ReadFile& read);

// What to say where they do not fit: which keys, what follows, what to do.
std::optional<std::string> MemoryWarning(const Options& options,
                                         std::optional<uint64_t> limit);

// MemoryWarning of this process, by /proc/self/cgroup, and of the package's
// unit, while it runs. Block shortly.
std::optional<std::string> OwnMemoryWarning(const Options& options);
std::optional<std::string> UnitMemoryWarning(const Options& options);

}  // namespace postern
