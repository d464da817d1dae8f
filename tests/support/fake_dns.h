// DNS under the test's hands.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/dns.h"
#include "common/event.h"

#include "tests/support/fake_clock.h"

namespace postern {

// What a test says about one name and type. Secure unless told otherwise.
struct FakeAnswer {
  DnsAnswer answer;
  Duration delay{0};
  bool never = false;

  FakeAnswer& Insecure() { return answer.secure = false, *this; }
  FakeAnswer& Ttl(int seconds) { return answer.ttl = Seconds(seconds), *this; }
  FakeAnswer& After(Duration d) { return delay = d, *this; }
  FakeAnswer& Never() { return never = true, *this; }
  // The name is a CNAME that leads to `target`.
  FakeAnswer& Alias(std::string target) {
    answer.is_alias = true;
    answer.canonical_name = std::move(target);
    return *this;
  }
};

// DNS as a map. What it does not hold is NODATA: secure, with a TTL of 1 h.
class FakeResolver final : public Resolver {
 public:
  FakeResolver(boost::asio::any_io_executor executor, Clock& clock);

  using Names = std::vector<std::string>;
  FakeAnswer& Mx(const std::string& name, const Names& exchanges);
  FakeAnswer& A(const std::string& name, const std::string& address);
  FakeAnswer& Addresses(const std::string& name, const Names& v4);
  FakeAnswer& Aaaa(const std::string& name, const std::string& address);
  FakeAnswer& Tlsa(const std::string& name,
                   const std::vector<TlsaRecord>& records);
  FakeAnswer& Txt(const std::string& name, const Names& records);
  FakeAnswer& Cname(const std::string& name, const std::string& target);
  FakeAnswer& NoData(const std::string& name, DnsType type);
  FakeAnswer& NxDomain(const std::string& name, DnsType type);
  FakeAnswer& Fail(const std::string& name, DnsType type,
                   const std::string& why = "SERVFAIL");
  // Fails, but is there.
  void Bogus(const std::string& name, DnsType type);

  // A DANE host as it should be: secure address, one usable record.
  void DaneHost(const std::string& host, const std::string& base = "");
  // What an unsigned zone gives.
  void PlainHost(const std::string& host);
  // Nobody says whether it has an address.
  void SilentHost(const std::string& host);

  int queries(const std::string& name, DnsType type) const;
  int queries_of_type(DnsType type) const;
  int queries() const { return total_; }
  int in_flight() const { return in_flight_; }
  int most_in_flight() const { return most_in_flight_; }

  // Whoever waits for an answer gets a failure.
  void GiveUp() { given_up_.Set(); }

  Awaitable<DnsAnswer> Query(std::string name, DnsType type) override;
  // What was put for it with Bogus(), else as Query().
  Awaitable<DnsAnswer> QueryUnchecked(std::string name, DnsType type) override;
  DnssecState Dnssec() const override { return dnssec; }

  DnssecState dnssec = DnssecState::kOn;

  // Answers without suspending, as where getdns refuses a question at once.
  bool at_once = false;

 private:
  using Key = std::pair<std::string, DnsType>;
  FakeAnswer& Put(const std::string& name, DnsType type, DnsAnswer::Kind kind);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  Event given_up_;
  std::map<Key, FakeAnswer> answers_;
  std::set<Key> bogus_;
  std::map<Key, int> queries_;
  int total_ = 0;
  int in_flight_ = 0;
  int most_in_flight_ = 0;
};

// "3 1 1" with some digest: what a good host publishes.
TlsaRecord UsableTlsa();
// "1 1 1": a usage that SMTP does not define.
TlsaRecord UnusableTlsa();

}  // namespace postern
