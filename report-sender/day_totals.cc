#include "report-sender/day_totals.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "common/clean_text.h"
#include "common/domain_name.h"
#include "common/ip_address.h"
#include "common/outcome_bounds.h"
#include "common/outcome_json.h"
#include "common/text.h"
#include "common/utc.h"

#include "report-sender/told_outside.h"

namespace postern {
namespace {

// Of foreign writers; ours keeps to less (common/outcome_bounds.h).
constexpr size_t kMaxPolicyString = 8192;
constexpr size_t kMaxName = 255;
constexpr size_t kMaxText = 1024;
// Texts of one domain that a digest can stand for.
constexpr size_t kMaxDigests = 1000;
// What a text takes besides its bytes, about: nodes of maps, strings.
constexpr size_t kOverhead = 160;

// --- lines

struct Numbers {
  std::string_view time;
  uint64_t successful = 0;
  uint64_t failed = 0;
};

// As AppendOutcomeLine() writes it; false where something else is there.
bool TakeNumber(std::string_view& text, uint64_t& number) {
  const char* const begin = text.data();
  const auto read = std::from_chars(begin, begin + text.size(), number);
  if (read.ec != std::errc() || number > kMaxSessions) return false;
  const auto digits = static_cast<size_t>(read.ptr - begin);
  if (*begin == '0' && digits > 1) return false;  // no JSON
  text.remove_prefix(digits);
  return true;
}

bool Take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// The numbers of a line, the rest in `text`. Where the line is one that
// AppendOutcomeLine() could have written, two of them with the same rest differ
// in these numbers only: in a string, `"` has a `\` before it. Otherwise they
// may be anything.
std::optional<Numbers> Divide(std::string_view line, std::string& text) {
  static constexpr size_t kTime = sizeof "2026-11-22T13:05:07Z" - 1;
  static constexpr std::string_view kSuccessful = ",\"successful\":";
  if (!Take(line, "{\"at\":\"") || line.size() < kTime) return std::nullopt;
  Numbers numbers;
  numbers.time = line.substr(0, kTime);
  line.remove_prefix(kTime);
  size_t end = line.find(kSuccessful);
  if (end == line.npos) return std::nullopt;
  end += kSuccessful.size();
  text.assign(line, 0, end);  // with the name: so where the numbers are counts
  line.remove_prefix(end);
  if (!TakeNumber(line, numbers.successful) || !Take(line, ",\"failed\":") ||
      !TakeNumber(line, numbers.failed))
    return std::nullopt;
  text += line;
  return numbers;
}

void Add(uint64_t& sum, uint64_t sessions) {
  sum = std::min(sum + sessions, kMaxSessions);
}

// --- packed policies and details: a byte for the type, and strings that '\0'
// ends (CleanText() leaves none in them). Sorted, they are in a report's order.

constexpr char kEnd = '\0';

void Pack(const std::string& text, std::string& out) {
  out.append(text).push_back(kEnd);
}

std::string TakePacked(std::string_view& packed) {
  const size_t end = packed.find(kEnd);
  std::string text(packed.substr(0, end));
  packed.remove_prefix(end + 1);
  return text;
}

char TypeByte(auto type) {
  return static_cast<char>('A' + static_cast<int>(type));
}

template <class Type>
Type TakeType(std::string_view& packed) {
  const auto type = static_cast<Type>(packed.front() - 'A');
  packed.remove_prefix(1);
  return type;
}

std::string UpperAscii(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

std::vector<std::string> Clean(const std::vector<std::string>& texts) {
  std::vector<std::string> clean;
  for (const std::string& text : texts) {
    std::string one = CleanText(text, kMaxPolicyString);
    if (!one.empty()) clean.push_back(std::move(one));
  }
  return clean;
}

std::vector<std::string> AsSet(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return texts;
}

// A list, which no empty string is in.
void Pack(const std::vector<std::string>& texts, std::string& out) {
  for (const std::string& text : texts) Pack(text, out);
  out.push_back(kEnd);
}

std::vector<std::string> TakePackedList(std::string_view& packed) {
  std::vector<std::string> texts;
  for (std::string text; !(text = TakePacked(packed)).empty();)
    texts.push_back(std::move(text));
  return texts;
}

std::string PackedPolicy(const Outcome& outcome) {
  std::vector<std::string> strings = Clean(outcome.policy_string);
  std::vector<std::string> hosts = Clean(outcome.mx_host);
  // RFC 8460 section 4.4: only an MTA-STS policy names hosts, and where there
  // is no policy, there is nothing of it.
  if (outcome.policy_type != PolicyType::kSts) hosts.clear();
  if (outcome.policy_type == PolicyType::kNoPolicyFound) strings.clear();
  for (std::string& host : hosts) host = ToLowerAscii(host);
  if (outcome.policy_type == PolicyType::kTlsa) {
    for (std::string& record : strings) record = UpperAscii(std::move(record));
    strings = AsSet(std::move(strings));
  }
  std::string packed(1, TypeByte(outcome.policy_type));
  Pack(NormalizeDomain(outcome.policy_domain).value_or(outcome.domain), packed);
  Pack(strings, packed);
  Pack(AsSet(std::move(hosts)), packed);
  return packed;
}

// Of a text: it is the policy's of this type and domain.
std::string DigestKey(const Outcome& outcome, const std::string& digest) {
  std::string key(1, TypeByte(outcome.policy_type));
  Pack(outcome.policy_domain, key);
  return key + digest;
}

PolicyTotals UnpackedPolicy(std::string_view packed) {
  PolicyTotals policy;
  policy.type = TakeType<PolicyType>(packed);
  policy.domain = TakePacked(packed);
  policy.strings = TakePackedList(packed);
  policy.mx_hosts = TakePackedList(packed);
  return policy;
}

std::string CleanHost(const std::string& text) {
  if (text.empty()) return "";
  return NormalizeDomain(text).value_or(CleanText(text, kMaxName));
}

std::string PackedDetail(const FailureDetail& detail) {
  std::string packed(1, TypeByte(detail.result_type));
  Pack(AddressForReport(detail.sending_mta_ip), packed);
  Pack(CleanHost(detail.receiving_mx_hostname), packed);
  Pack(CleanText(detail.receiving_mx_helo, kMaxName), packed);
  Pack(AddressForReport(detail.receiving_ip), packed);
  for (const std::string* text :
       {&detail.additional_information, &detail.failure_reason_code})
    Pack(ReasonForReport(CleanText(*text, kMaxText)), packed);
  return packed;
}

FailureDetail UnpackedDetail(std::string_view packed, uint64_t sessions) {
  FailureDetail detail;
  detail.result_type = TakeType<ResultType>(packed);
  detail.failed_session_count = sessions;
  for (std::string* part :
       {&detail.sending_mta_ip, &detail.receiving_mx_hostname,
        &detail.receiving_mx_helo, &detail.receiving_ip,
        &detail.additional_information, &detail.failure_reason_code})
    *part = TakePacked(packed);
  return detail;
}

}  // namespace

void DayTotals::AddLine(std::string_view line) {
  ++lines_;
  const auto numbers = Divide(line, text_);
  if (numbers && IsTime(numbers->time)) {
    const auto found = known_.find(text_);
    if (found != known_.end())
      return Count(found->second, numbers->successful, numbers->failed);
  }
  const auto outcome = ParseOutcomeLine(line);
  if (!outcome) {
    ++skipped_;
    return;
  }
  const auto places = PlacesOf(*outcome);
  if (!places) {
    ++lost_;
    return;
  }
  Count(*places, outcome->successful, outcome->failed);
  if (numbers && IsAsWeWrite(*outcome, line)) Remember(*places);
}

void DayTotals::Count(const Places& places, uint64_t successful,
                      uint64_t failed) {
  Add(places.policy->successful, successful);
  Add(places.policy->failed, failed);
  for (const auto& [sum, sessions] : places.details) Add(*sum, sessions);
}

bool DayTotals::IsAsWeWrite(const Outcome& outcome, std::string_view line) {
  again_.clear();
  AppendOutcomeLine(outcome, again_);
  return again_ == line;
}

// Of lines that follow each other, most have the same.
bool DayTotals::IsTime(std::string_view text) {
  if (text == time_) return true;
  if (!ParseUtc(text)) return false;
  time_ = text;
  return true;
}

void DayTotals::Remember(const Places& places) {
  const size_t bytes =
      text_.size() + kOverhead + places.details.size() * sizeof(Places::Detail);
  if (known_bytes_ + bytes > limits_.known_bytes) {
    known_.clear();
    known_bytes_ = 0;
  }
  known_bytes_ += bytes;
  known_.emplace(text_, places);
}

std::vector<std::string_view> DayTotals::domains() const {
  std::vector<std::string_view> names;
  names.reserve(domains_.size());
  for (const auto& [name, domain] : domains_) names.emplace_back(name);
  return names;
}

std::optional<DomainTotals> DayTotals::Of(std::string_view domain) const {
  const auto found = domains_.find(domain);
  if (found == domains_.end()) return std::nullopt;
  DomainTotals totals;
  totals.domain = found->first;
  totals.record = found->second.record;
  for (const auto& [packed, sums] : found->second.policies) {
    PolicyTotals& policy = totals.policies.emplace_back(UnpackedPolicy(packed));
    policy.successful = sums.successful;
    policy.failed = sums.failed;
    for (const auto& [detail, sessions] : sums.details)
      policy.details.push_back(UnpackedDetail(detail, sessions));
  }
  return totals;
}

std::optional<DayTotals::Places> DayTotals::PlacesOf(const Outcome& outcome) {
  auto found = domains_.find(outcome.domain);
  if (found == domains_.end()) {
    if (bytes_ >= 2 * limits_.bytes) return std::nullopt;
    found = domains_.try_emplace(outcome.domain).first;
    bytes_ += outcome.domain.size() + kOverhead;
  }
  Domain& domain = found->second;
  if (!outcome.record.empty() && outcome.record.size() <= kMaxRecordBytes) {
    bytes_ += outcome.record.size();
    bytes_ -= domain.record.size();
    domain.record = outcome.record;
  }
  Places places;
  places.policy = PolicyOf(domain, outcome);
  if (!places.policy) {
    if (domain.policies.empty()) domains_.erase(found);
    return std::nullopt;
  }
  for (const FailureDetail& detail : outcome.failure_details) {
    uint64_t* const sum = DetailOf(domain, *places.policy, detail);
    if (sum) places.details.push_back({sum, detail.failed_session_count});
  }
  if (places.details.size() < outcome.failure_details.size()) ++lost_;
  return places;
}

DayTotals::Sums* DayTotals::PolicyOf(Domain& domain, const Outcome& outcome) {
  const bool has_text =
      !outcome.policy_string.empty() || !outcome.mx_host.empty();
  if (!has_text && !outcome.policy_digest.empty()) {
    const auto known =
        domain.digests.find(DigestKey(outcome, outcome.policy_digest));
    if (known != domain.digests.end()) return known->second;
  }
  Outcome bare;
  bare.domain = outcome.domain;
  bare.policy_type = outcome.policy_type;
  Sums* const policy = Find(domain, domain.policies, PackedPolicy(outcome),
                            limits_.policies, PackedPolicy(bare));
  if (policy && has_text) NoteDigest(domain, outcome, policy);
  return policy;
}

void DayTotals::NoteDigest(Domain& domain, const Outcome& outcome,
                           Sums* policy) {
  if (domain.digests.size() >= kMaxDigests || bytes_ >= limits_.bytes) return;
  const std::string key = DigestKey(outcome, PolicyDigest(outcome));
  if (domain.digests.try_emplace(key, policy).second)
    bytes_ += key.size() + kOverhead;
}

uint64_t* DayTotals::DetailOf(Domain& domain, Sums& policy,
                              const FailureDetail& detail) {
  FailureDetail bare;
  bare.result_type = detail.result_type;
  bare.additional_information = kTooManyDetails;
  return Find(domain, policy.details, PackedDetail(detail), limits_.details,
              PackedDetail(bare));
}

template <class Value>
Value* DayTotals::Find(Domain& domain, std::map<std::string, Value>& map,
                       const std::string& key, size_t limit,
                       const std::string& overflow) {
  auto found = map.find(key);
  if (found != map.end()) return &found->second;
  const size_t bytes = key.size() + kOverhead;
  const bool fits = map.size() < limit &&
                    domain.bytes + bytes <= limits_.domain_bytes &&
                    bytes_ + bytes <= limits_.bytes;
  const std::string& place = fits ? key : overflow;
  found = map.find(place);
  if (found != map.end()) return &found->second;
  if (bytes_ >= 2 * limits_.bytes) return nullptr;
  domain.bytes += place.size() + kOverhead;
  bytes_ += place.size() + kOverhead;
  return &map[place];
}

}  // namespace postern
