#include "policy-daemon/cache_command.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "common/accounts.h"
#include "common/domain_name.h"
#include "common/text.h"
#include "common/utc.h"

#include "policy-daemon/engine.h"

namespace postern {
namespace {

constexpr size_t kDomainColumn = 32;
constexpr size_t kColumn = 12;
constexpr size_t kLabelColumn = 17;

WallTime Now() {
  return std::chrono::floor<Seconds>(std::chrono::system_clock::now());
}

std::string Padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size() + 1), ' ');
  return text;
}

std::string In(WallTime time, WallTime now) {
  return time > now ? "in " + Span(time - now) : "now";
}

std::string Ago(WallTime time, WallTime now) {
  return Span(std::max(now - time, Seconds(0))) + " ago";
}

std::string ModeOf(const StsMemory& memory) {
  return memory.policy ? std::string(StsModeName(memory.policy->policy->mode))
                       : "-";
}

// The time of the next look, by the record or by the policy's age.
WallTime NextLook(const StoredPolicy& policy) {
  return std::min(policy.check_at, policy.refetch_at);
}

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

void Member(Writer& writer, const char* key, const std::string& value) {
  writer.Key(key);
  // What strangers wrote may be no UTF-8: printable ASCII is, always.
  const std::string safe = Printable(value, kMaxPolicyBytes * 2);
  writer.String(safe.c_str(), static_cast<rapidjson::SizeType>(safe.size()));
}

void Member(Writer& writer, const char* key, WallTime time) {
  Member(writer, key, FormatUtc(time));
}

int Usage() {
  std::fprintf(stderr,
               "postern-policy: cache list | cache show DOMAIN | cache purge "
               "DOMAIN... | cache purge --all (each with --json)\n");
  return 2;
}

int List(PolicyFileBeside& file, bool json) {
  const WallTime now = Now();
  size_t count = 0;
  if (!json) std::puts(CacheListHead().c_str());
  const Status read =
      file.ForEach([&](const std::string& domain, const StsMemory& memory) {
        ++count;
        std::puts((json ? CacheJson(domain, memory, now)
                        : CacheListLine(domain, memory, now))
                      .c_str());
      });
  if (!read) {
    std::fprintf(stderr, "postern-policy: %s\n", read.error().message.c_str());
    return 2;
  }
  std::fflush(stdout);
  if (!json) std::fprintf(stderr, "%zu domains\n", count);
  return 0;
}

int Show(PolicyFileBeside& file, const std::string& domain, bool json) {
  const StsMemory memory = file.Find(domain);
  if (!memory.policy && !memory.failure) {
    std::fprintf(stderr, "postern-policy: nothing is remembered of %s\n",
                 domain.c_str());
    return 1;
  }
  const std::string text = json ? CacheJson(domain, memory, Now()) + "\n"
                                : CacheText(domain, memory, Now());
  std::fputs(text.c_str(), stdout);
  return 0;
}

// "" for all.
int Purge(PolicyFileBeside& file, const std::vector<std::string>& domains,
          bool json) {
  uint64_t purged = 0;
  for (const std::string& domain : domains) {
    const auto result = file.Purge(domain, Now());
    if (!result) {
      std::fprintf(stderr, "postern-policy: %s\n",
                   result.error().message.c_str());
      return 2;
    }
    if (*result == 0 && !domain.empty())
      std::fprintf(stderr, "postern-policy: nothing was remembered of %s\n",
                   domain.c_str());
    purged += *result;
  }
  const auto count = static_cast<unsigned long long>(purged);
  if (json)
    std::printf("{\"purged\":%llu}\n", count);
  else
    std::printf("%llu purged; a running daemon follows within 2 s\n", count);
  return purged > 0 || domains.front().empty() ? 0 : 1;
}

}  // namespace

std::string Span(Seconds seconds) {
  constexpr std::array<std::pair<int64_t, const char*>, 4> kUnits = {
      {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}};
  int64_t left = std::max<int64_t>(seconds.count(), 0);
  for (size_t i = 0; i + 1 < kUnits.size(); ++i) {
    const auto [size, unit] = kUnits[i];
    if (left < size) continue;
    const auto [next_size, next_unit] = kUnits[i + 1];
    std::string text = std::to_string(left / size) + " " + unit;
    const int64_t rest = left % size / next_size;
    // Seconds beside minutes tell nobody anything.
    if (rest > 0 && next_size > 1)
      text += " " + std::to_string(rest) + " " + next_unit;
    return text;
  }
  return std::to_string(left) + " s";
}

std::string CacheListHead() {
  return Padded("DOMAIN", kDomainColumn) + Padded("MODE", kColumn) +
         Padded("FETCHED", kColumn) + Padded("HOLDS FOR", kColumn) +
         Padded("NEXT LOOK", kColumn) + Padded("USED", kColumn) +
         "LAST FAILURE";
}

std::string CacheListLine(const std::string& domain, const StsMemory& memory,
                          WallTime now) {
  std::string line = Padded(Printable(domain, 255), kDomainColumn) +
                     Padded(ModeOf(memory), kColumn);
  if (memory.policy) {
    const StoredPolicy& policy = *memory.policy;
    const bool holds = policy.expires_at > now;
    line += Padded(Span(now - policy.fetched_at), kColumn) +
            Padded(holds ? Span(policy.expires_at - now) : "expired", kColumn) +
            Padded(Span(NextLook(policy) - now), kColumn) +
            Padded(Span(now - policy.used_at), kColumn);
  } else {
    for (int i = 0; i < 4; ++i) line += Padded("-", kColumn);
  }
  line += memory.failure ? Printable(memory.failure->reason, 60) : "-";
  return line;
}

std::string CacheText(const std::string& domain, const StsMemory& memory,
                      WallTime now) {
  std::string text = Printable(domain, 255) + "\n";
  const auto line = [&](const char* label, const std::string& value) {
    text += "  " + Padded(label, kLabelColumn) + value + "\n";
  };
  if (memory.policy) {
    const StoredPolicy& policy = *memory.policy;
    line("mode", ModeOf(memory));
    for (const std::string& mx : policy.policy->mx) line("mx", mx);
    line("max_age", Span(policy.policy->max_age));
    line("id", Printable(policy.id, 100));
    line("fetched", FormatUtc(policy.fetched_at) + " (" +
                        Ago(policy.fetched_at, now) + ")");
    line(
        "holds until",
        FormatUtc(policy.expires_at) + " (" +
            (policy.expires_at > now ? In(policy.expires_at, now) : "expired") +
            ")");
    line("next look",
         FormatUtc(NextLook(policy)) + " (" + In(NextLook(policy), now) + ")");
    line("refetched", "after " + FormatUtc(policy.refetch_at) + " (" +
                          In(policy.refetch_at, now) + ")");
    line("last used",
         FormatUtc(policy.used_at) + " (" + Ago(policy.used_at, now) + ")");
    line("stays", policy.days_used > 1
                      ? "used on more than one day"
                      : "until others need its room: used on one day only");
    if (policy.expired_days > 0)
      line("expired", "seen so on " + std::to_string(policy.expired_days) +
                          " days of an even clock; goes on the " +
                          std::to_string(kExpiredDays) + "th");
  } else {
    line("policy", "none is remembered");
  }
  if (memory.failure) {
    const FailedFetch& failure = *memory.failure;
    line("last failure",
         FormatUtc(failure.last_at) + " (" + Ago(failure.last_at, now) + ")");
    line("", "of id " + Printable(failure.id, 100) + ", tried " +
                 std::to_string(failure.tries) +
                 " times: " + Printable(failure.reason));
  }
  return text;
}

std::string CacheJson(const std::string& domain, const StsMemory& memory,
                      WallTime now) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.StartObject();
  Member(writer, "domain", domain);
  if (memory.policy) {
    const StoredPolicy& policy = *memory.policy;
    Member(writer, "mode", ModeOf(memory));
    Member(writer, "id", policy.id);
    writer.Key("mx");
    writer.StartArray();
    for (const std::string& mx : policy.policy->mx) writer.String(mx.c_str());
    writer.EndArray();
    writer.Key("max-age");
    writer.Int64(policy.policy->max_age.count());
    writer.Key("in-force");
    writer.Bool(policy.expires_at > now);
    Member(writer, "fetched-at", policy.fetched_at);
    Member(writer, "expires-at", policy.expires_at);
    Member(writer, "next-look-at", NextLook(policy));
    Member(writer, "refetch-at", policy.refetch_at);
    Member(writer, "used-at", policy.used_at);
    writer.Key("days-used");
    writer.Int(policy.days_used);
    writer.Key("expired-days");
    writer.Int(policy.expired_days);
  }
  if (memory.failure) {
    const FailedFetch& failure = *memory.failure;
    writer.Key("failure");
    writer.StartObject();
    Member(writer, "id", failure.id);
    Member(writer, "reason", failure.reason);
    Member(writer, "first-at", failure.first_at);
    Member(writer, "last-at", failure.last_at);
    writer.Key("tries");
    writer.Int(failure.tries);
    writer.EndObject();
  }
  writer.EndObject();
  return buffer.GetString();
}

int Cache(const CommandLine& line) {
  const auto& words = line.arguments;
  const std::string what = words.empty() ? "" : words.front();
  const bool purge = what == "purge";
  const size_t domains = words.size() - (words.empty() ? 0 : 1);
  const bool fits = (what == "list" && domains == 0 && !line.all) ||
                    (what == "show" && domains == 1 && !line.all) ||
                    (purge && (domains > 0) != line.all);
  if (!fits) return Usage();
  std::vector<std::string> names;
  for (size_t i = 1; i < words.size(); ++i) {
    const auto name = NormalizeDomain(words[i]);
    if (!name) {
      std::fprintf(stderr, "postern-policy: %s is no domain\n",
                   Printable(words[i]).c_str());
      return 2;
    }
    names.push_back(*name);
  }
  if (line.all) names = {""};
  if (const Status become = Become(PolicyCommandAccount(line.options));
      !become) {
    std::fprintf(stderr, "postern-policy: %s\n",
                 become.error().message.c_str());
    return 2;
  }
  Metrics metrics;
  auto file = PolicyFileBeside::Open(PolicyFilePath(line.options),
                                     purge ? PolicyFileBeside::Access::kPurge
                                           : PolicyFileBeside::Access::kRead,
                                     metrics);
  if (!file) {
    std::fprintf(stderr, "postern-policy: %s (see cache.directory)\n",
                 file.error().message.c_str());
    return 2;
  }
  if (purge) return Purge(**file, names, line.json);
  if (what == "show") return Show(**file, names.front(), line.json);
  return List(**file, line.json);
}

}  // namespace postern
