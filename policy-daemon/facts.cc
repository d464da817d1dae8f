#include "policy-daemon/facts.h"

#include <algorithm>
#include <utility>

#include "policy-daemon/tlsa.h"

namespace postern {
namespace {

size_t BytesOf(const HostFacts& host) {
  size_t bytes = sizeof(host) + host.name.size() + host.tlsa_base.size() +
                 host.reason.size() + TlsaBytes(host);
  if (host.failed) bytes += host.failed->name.size();
  return bytes;
}

size_t BytesOf(const StsPolicy& policy) {
  size_t bytes = sizeof(policy);
  for (const std::string& pattern : policy.mx)
    bytes += sizeof(pattern) + pattern.size();
  for (const auto& [name, value] : policy.fields)
    bytes += 2 * sizeof(name) + name.size() + value.size();
  return bytes;
}

}  // namespace

void TakeTlsa(std::vector<TlsaRecord> records, HostFacts& host) {
  host.web_tlsa_only =
      std::all_of(records.begin(), records.end(),
                  [](const TlsaRecord& record) { return record.usage < 2; });
  std::vector<TlsaRecord> others;
  size_t usable = 0;
  size_t bytes = 0;
  host.tlsa.clear();
  const auto keep = [&](TlsaRecord& record) {
    if (host.tlsa.size() >= kMaxTlsaRecords ||
        bytes + record.data.size() > kMaxTlsaBytes)
      return;
    bytes += record.data.size();
    host.tlsa.push_back(std::move(record));
  };
  for (TlsaRecord& record : records) {
    // Enough are usable: the others need no look.
    if (usable < kMaxTlsaRecords && IsUsable(record)) {
      ++usable;
      keep(record);
    } else if (others.size() < kMaxTlsaRecords) {
      others.push_back(std::move(record));
    }
  }
  for (TlsaRecord& record : others) keep(record);
  host.state = usable > 0 ? HostState::kUsable : HostState::kUnusable;
  host.tlsa_left_out = records.size() - host.tlsa.size();
  host.tlsa.shrink_to_fit();
}

void LeaveOutTlsa(HostFacts& host) {
  host.tlsa_left_out += host.tlsa.size();
  host.tlsa = {};
}

size_t TlsaBytes(const HostFacts& host) {
  size_t bytes = 0;
  for (const TlsaRecord& record : host.tlsa)
    bytes += sizeof(record) + record.data.size();
  return bytes;
}

size_t BytesOf(const Facts& facts) {
  const StsFacts& sts = facts.sts;
  size_t bytes = sizeof(facts) + facts.key.domain.size() +
                 facts.mx.reason.size() + sts.id.size() +
                 sts.txt_reason.size() + sts.fetch_reason.size();
  for (const HostFacts& host : facts.hosts) bytes += BytesOf(host);
  if (sts.policy) bytes += BytesOf(*sts.policy);
  return bytes;
}

}  // namespace postern
