#include "policy-daemon/policy_schema.h"

namespace postern {
namespace {

WallTime Time(int64_t seconds) { return WallTime(Seconds(seconds)); }

}  // namespace

StsMemory ReadRow(const sqlite::Statement& row) {
  StsMemory memory;
  if (!row.IsNull(2)) {
    auto policy = ParseStsPolicy(row.Text(2));
    if (policy) {
      StoredPolicy stored;
      stored.policy = std::make_shared<const StsPolicy>(std::move(*policy));
      stored.id = row.Text(1);
      stored.fetched_at = Time(row.Int(3));
      stored.expires_at = Time(row.Int(4));
      stored.refetch_at = Time(row.Int(5));
      stored.check_at = Time(row.Int(6));
      stored.used_at = Time(row.Int(7));
      memory.policy = std::move(stored);
    }
  }
  if (!row.IsNull(8)) {
    memory.failure =
        FailedFetch{row.Text(8), Time(row.Int(9)), Time(row.Int(10)),
                    static_cast<int>(row.Int(11)), row.Text(12)};
  }
  return memory;
}

bool IsSound(const StsMemory& memory) {
  if (!memory.policy) return false;
  const StoredPolicy& stored = *memory.policy;
  return stored.expires_at == stored.fetched_at + stored.policy->max_age;
}

void WriteRow(sqlite::Statement& put, const std::string& domain,
              const StsMemory& memory) {
  const auto& policy = memory.policy;
  const auto& failure = memory.failure;
  const std::string text = policy ? StsPolicyText(*policy->policy) : "";
  const std::string id = policy ? policy->id : "";
  put.Bind(1, domain).Bind(2, id);
  if (policy) {
    put.Bind(3, text);
    put.Bind(4, UnixTime(policy->fetched_at));
    put.Bind(5, UnixTime(policy->expires_at));
    put.Bind(6, UnixTime(policy->refetch_at));
    put.Bind(7, UnixTime(policy->check_at));
    put.Bind(8, UnixTime(policy->used_at));
  } else {
    put.BindNull(3);
    for (int place : {4, 5, 6, 8}) put.Bind(place, int64_t{0});
    put.Bind(7, UnixTime(failure->first_at + kFailureMemory));
  }
  if (failure) {
    put.Bind(9, failure->id);
    put.Bind(10, UnixTime(failure->first_at));
    put.Bind(11, UnixTime(failure->last_at));
    put.Bind(12, int64_t{failure->tries});
    put.Bind(13, failure->reason);
  } else {
    for (int place = 9; place <= 13; ++place) put.BindNull(place);
  }
  put.Step();
  put.Reset();
}

}  // namespace postern
