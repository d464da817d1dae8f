#include "common/address_queries.h"

namespace postern {
namespace {

Awaitable<void> AskFamily(Resolver& resolver,
                          std::shared_ptr<AddressQueries> queries,
                          std::string host, DnsType type) {
  DnsAnswer answer = co_await resolver.Query(std::move(host), type);
  const bool has_data = answer.has_data();
  (type == DnsType::kA ? queries->v4 : queries->v6) = std::move(answer);
  const bool both = queries->v4 && queries->v6;
  if (has_data || both) queries->one.Set();
  if (both) queries->both.Set();
}

}  // namespace

std::shared_ptr<AddressQueries> AskForAddresses(
    const boost::asio::any_io_executor& executor, Clock& clock,
    Resolver& resolver, const std::string& host) {
  const auto queries = std::make_shared<AddressQueries>(executor, clock);
  Spawn(executor, AskFamily(resolver, queries, host, DnsType::kA));
  Spawn(executor, AskFamily(resolver, queries, host, DnsType::kAaaa));
  return queries;
}

}  // namespace postern
