#include "tests/support/fake_https.h"

#include <algorithm>

namespace postern {

FakeHttps::FakeHttps(boost::asio::any_io_executor executor, Clock& clock)
    : executor_(executor), clock_(clock) {}

FakeSite& FakeHttps::Serve(const std::string& host, const std::string& body,
                           const std::string& address) {
  FakeSite& site = sites_[{host, address}];
  site = {};
  site.response.status = 200;
  site.response.content_type = "text/plain";
  site.response.body = body;
  return site;
}

FakeSite& FakeHttps::Fail(const std::string& host, HttpsFailure failure,
                          const std::string& address) {
  FakeSite& site = sites_[{host, address}];
  site = {};
  site.response.failure = failure;
  site.response.detail = "as the test wants it";
  return site;
}

FakeSite& FakeHttps::BlackHole(const std::string& host,
                               const std::string& address) {
  FakeSite& site = Fail(host, HttpsFailure::kConnect, address);
  site.black_hole = true;
  return site;
}

FakeSite& FakeHttps::Drip(const std::string& host, const std::string& address) {
  FakeSite& site = Fail(host, HttpsFailure::kTimeout, address);
  site.drips = true;
  return site;
}

int FakeHttps::fetches(const std::string& host) const {
  return static_cast<int>(
      std::count_if(requests.begin(), requests.end(),
                    [&](const auto& one) { return one.host == host; }));
}

const FakeSite* FakeHttps::Find(const HttpsRequest& request) const {
  auto found = sites_.find({request.host, request.address.ToString()});
  if (found == sites_.end()) found = sites_.find({request.host, ""});
  return found == sites_.end() ? nullptr : &found->second;
}

Awaitable<HttpsResponse> FakeHttps::Ask(HttpsRequest request) {
  requests.push_back(request);
  times.push_back(clock_.Now());
  most_in_flight_ = std::max(most_in_flight_, ++in_flight_);
  most_at_one_address_ =
      std::max(most_at_one_address_, ++at_address_[request.address]);
  FakeSite site;
  site.response.failure = HttpsFailure::kConnect;
  site.response.detail = "connection refused";
  if (const FakeSite* found = Find(request)) site = *found;
  if (site.response.body.size() > request.max_body) {
    site.response = {};
    site.response.failure = HttpsFailure::kTooLarge;
  }
  SteadyTime until = clock_.Now() + site.delay;
  if (site.black_hole) until = request.connect_deadline;
  if (site.drips) until = request.deadline;
  if (until > request.deadline || clock_.Now() >= request.deadline) {
    until = request.deadline;
    site.response = {};
    site.response.failure = HttpsFailure::kTimeout;
    site.response.detail = "too slow";
  }
  Event cancelled(executor_, clock_);
  if (request.cancel) request.cancel->call = [&cancelled] { cancelled.Set(); };
  running_.insert(&cancelled);
  if (given_up_) cancelled.Set();
  co_await Turn(executor_);
  if (until > clock_.Now() && co_await cancelled.WaitUntil(until)) {
    site.response = {};
    site.response.failure = HttpsFailure::kTimeout;
    site.response.detail = "cancelled";
  }
  running_.erase(&cancelled);
  if (request.cancel) request.cancel->call = nullptr;
  --in_flight_;
  --at_address_[request.address];
  co_return site.response;
}

}  // namespace postern
