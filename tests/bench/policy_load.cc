// What a million remembered policies cost: reading them at the start, and
// memory. And the cost of one more where there is no room.
//
//   bench_policy_load FOLDER [COUNT]     makes FOLDER/bench-policies.db
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "policy-daemon/policy_file.h"

namespace postern {
namespace {

constexpr WallTime kNow{Seconds(1795352707)};

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Bytes.
double Resident() {
  std::ifstream file("/proc/self/statm");
  double total = 0;
  double resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

std::string Name(int i) {
  return "s" + std::to_string(i) + ".example" + std::to_string(i % 7) + ".com";
}

StoredPolicy Policy(const std::string& domain) {
  StoredPolicy stored;
  stored.policy = std::make_shared<const StsPolicy>(
      *ParseStsPolicy("version: STSv1\nmode: enforce\nmx: mx." + domain +
                      "\nmx: *.backup." + domain + "\nmax_age: 604800\n"));
  stored.id = "20261122T130507";
  stored.fetched_at = stored.used_at = kNow;
  stored.expires_at = kNow + stored.policy->max_age;
  stored.refetch_at = stored.check_at = kNow + Seconds(3600);
  stored.days_used = 2;
  return stored;
}

void Run(const std::string& path, int count) {
  Metrics metrics;
  for (const char* part : {"", "-wal", "-shm", ".lock"})
    std::filesystem::remove(path + part);
  {
    PolicyFile file(path, metrics);
    PolicyTable none({});
    file.Load(none);
    const auto start = Clock::now();
    for (int i = 0; i < count;) {
      std::vector<PolicyRow> rows;
      for (; i < count && rows.size() < 10000; ++i) {
        // Each domain has an owner of its own, the dearest case.
        const std::string domain = "s" + std::to_string(i) + ".com";
        StsMemory memory;
        memory.policy = Policy(domain);
        rows.push_back({domain, std::move(memory)});
      }
      file.Write(rows, true);
    }
    std::printf("written    %8d policies in %.2f s\n", count, Since(start));
  }
  PolicyFile file(path, metrics);
  PolicyTable table({});
  const double before = Resident();
  auto start = Clock::now();
  const std::clock_t processor = std::clock();
  file.Load(table);
  std::printf("read       %8zu policies in %.3f s, %.3f s of processor\n",
              table.policies(), Since(start),
              static_cast<double>(std::clock() - processor) / CLOCKS_PER_SEC);
  std::printf("memory     %.0f bytes a policy, by its own count %.0f\n",
              (Resident() - before) / count,
              static_cast<double>(table.bytes()) / count);
  start = Clock::now();
  table.Tick(Seconds(1000), kNow);
  std::printf("a clock that was set back  %.3f s\n", Since(start));
  // Newcomers of many owners push each other out.
  table.SetBounds({table.policies() + 1000, size_t{1} << 40});
  start = Clock::now();
  constexpr int kNewcomers = 100000;
  for (int i = 0; i < kNewcomers; ++i)
    table.PutPolicy(Name(i), Policy(Name(i)), kNow);
  std::printf("newcomer   %.1f us, where there is no room\n",
              Since(start) / kNewcomers * 1e6);
}

}  // namespace
}  // namespace postern

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_policy_load FOLDER [COUNT]\n");
    return 2;
  }
  postern::Run(std::string(argv[1]) + "/bench-policies.db",
               argc > 2 ? std::atoi(argv[2]) : 1000000);
}
