#include "tests/support/fake_dns.h"

#include <algorithm>

namespace postern {
namespace {

// For those who wait for ever.
constexpr auto kAges = std::chrono::hours(24 * 365 * 10);

}  // namespace

FakeResolver::FakeResolver(boost::asio::any_io_executor executor, Clock& clock)
    : executor_(executor), clock_(clock), given_up_(executor, clock) {}

FakeAnswer& FakeResolver::Put(const std::string& name, DnsType type,
                              DnsAnswer::Kind kind) {
  FakeAnswer& fake = answers_[{name, type}];
  fake = {};
  fake.answer.kind = kind;
  fake.answer.secure = true;
  fake.answer.ttl = Seconds(3600);
  fake.answer.canonical_name = name;
  return fake;
}

FakeAnswer& FakeResolver::Mx(const std::string& name, const Names& exchanges) {
  FakeAnswer& fake = Put(name, DnsType::kMx, DnsAnswer::Kind::kData);
  for (size_t i = 0; i < exchanges.size(); ++i)
    fake.answer.mx.push_back(
        {static_cast<uint16_t>(10 * (i + 1)), exchanges[i]});
  return fake;
}

FakeAnswer& FakeResolver::A(const std::string& name,
                            const std::string& address) {
  return Addresses(name, {address});
}

FakeAnswer& FakeResolver::Addresses(const std::string& name, const Names& v4) {
  FakeAnswer& fake = Put(name, DnsType::kA, DnsAnswer::Kind::kData);
  for (const std::string& address : v4)
    fake.answer.addresses.push_back(IpAddress::Parse(address).value());
  return fake;
}

FakeAnswer& FakeResolver::Aaaa(const std::string& name,
                               const std::string& address) {
  FakeAnswer& fake = Put(name, DnsType::kAaaa, DnsAnswer::Kind::kData);
  fake.answer.addresses.push_back(IpAddress::Parse(address).value());
  return fake;
}

FakeAnswer& FakeResolver::Tlsa(const std::string& name,
                               const std::vector<TlsaRecord>& records) {
  FakeAnswer& fake = Put(name, DnsType::kTlsa, DnsAnswer::Kind::kData);
  fake.answer.tlsa = records;
  return fake;
}

FakeAnswer& FakeResolver::Txt(const std::string& name, const Names& records) {
  FakeAnswer& fake = Put(name, DnsType::kTxt, DnsAnswer::Kind::kData);
  fake.answer.txt = records;
  return fake;
}

FakeAnswer& FakeResolver::Cname(const std::string& name,
                                const std::string& target) {
  return Put(name, DnsType::kCname, DnsAnswer::Kind::kData).Alias(target);
}

FakeAnswer& FakeResolver::NoData(const std::string& name, DnsType type) {
  return Put(name, type, DnsAnswer::Kind::kNoData);
}

FakeAnswer& FakeResolver::NxDomain(const std::string& name, DnsType type) {
  return Put(name, type, DnsAnswer::Kind::kNxDomain);
}

FakeAnswer& FakeResolver::Fail(const std::string& name, DnsType type,
                               const std::string& why) {
  FakeAnswer& fake = Put(name, type, DnsAnswer::Kind::kFailed);
  fake.answer = {};
  fake.answer.failure = why;
  fake.answer.servfail = why == "SERVFAIL";
  return fake;
}

void FakeResolver::Bogus(const std::string& name, DnsType type) {
  Fail(name, type);
  bogus_.insert({name, type});
}

void FakeResolver::DaneHost(const std::string& host, const std::string& base) {
  A(host, "198.51.100.1");
  NoData(host, DnsType::kAaaa);
  Tlsa("_25._tcp." + (base.empty() ? host : base), {UsableTlsa()});
}

void FakeResolver::PlainHost(const std::string& host) {
  A(host, "198.51.100.2").Insecure();
  NoData(host, DnsType::kAaaa).Insecure();
}

void FakeResolver::SilentHost(const std::string& host) {
  NoData(host, DnsType::kA).Never();
  NoData(host, DnsType::kAaaa).Never();
}

int FakeResolver::queries(const std::string& name, DnsType type) const {
  const auto found = queries_.find({name, type});
  return found == queries_.end() ? 0 : found->second;
}

int FakeResolver::queries_of_type(DnsType type) const {
  int sum = 0;
  for (const auto& [key, count] : queries_)
    if (key.second == type) sum += count;
  return sum;
}

Awaitable<DnsAnswer> FakeResolver::Query(std::string name, DnsType type) {
  const Key key(name, type);
  ++queries_[key];
  ++total_;
  most_in_flight_ = std::max(most_in_flight_, ++in_flight_);
  FakeAnswer fake;
  fake.answer.kind = DnsAnswer::Kind::kNoData;
  fake.answer.secure = true;
  fake.answer.ttl = Seconds(3600);
  fake.answer.canonical_name = name;
  if (const auto found = answers_.find(key); found != answers_.end())
    fake = found->second;
  if (!at_once) co_await Turn(executor_);
  if (fake.never || fake.delay > Duration(0)) {
    const Duration wait = fake.never ? Duration(kAges) : fake.delay;
    if (co_await given_up_.WaitUntil(clock_.Now() + wait)) {
      fake.answer = {};
      fake.answer.failure = "the test has ended";
    }
  }
  --in_flight_;
  co_return fake.answer;
}

Awaitable<DnsAnswer> FakeResolver::QueryUnchecked(std::string name,
                                                  DnsType type) {
  const bool there = bogus_.contains({name, type});
  DnsAnswer answer = co_await Query(std::move(name), type);
  if (there) answer.kind = DnsAnswer::Kind::kData;
  answer.secure = false;
  co_return answer;
}

TlsaRecord UsableTlsa() { return {3, 1, 1, std::string(32, 'x')}; }

TlsaRecord UnusableTlsa() { return {1, 1, 1, std::string(32, 'x')}; }

}  // namespace postern
