// HTTPS under the test's hands.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/event.h"
#include "common/https.h"

#include "tests/support/fake_clock.h"

namespace postern {

// What a host does.
struct FakeSite {
  HttpsResponse response;
  Duration delay{0};
  bool black_hole = false;  // connecting gets no answer
  bool drips = false;       // sends for ever

  FakeSite& After(Duration d) { return delay = d, *this; }
  FakeSite& Status(int status) { return response.status = status, *this; }
  FakeSite& Type(std::string type) {
    return response.content_type = std::move(type), *this;
  }
  FakeSite& Encoding(std::string encoding) {
    return response.content_encoding = std::move(encoding), *this;
  }
};

// HTTPS as a map by host, or by host and address. Keeps the deadlines and
// the bound that a request sets, as HttpsClient must.
class FakeHttps final : public HttpsClient {
 public:
  FakeHttps(boost::asio::any_io_executor executor, Clock& clock);

  FakeSite& Serve(const std::string& host, const std::string& body,
                  const std::string& address = "");
  FakeSite& Fail(const std::string& host, HttpsFailure failure,
                 const std::string& address = "");
  FakeSite& BlackHole(const std::string& host, const std::string& address = "");
  FakeSite& Drip(const std::string& host, const std::string& address = "");

  int fetches(const std::string& host) const;
  int fetches() const { return static_cast<int>(requests.size()); }
  int in_flight() const { return in_flight_; }
  int most_in_flight() const { return most_in_flight_; }
  int most_at_one_address() const { return most_at_one_address_; }

  void GiveUp() {
    given_up_ = true;
    for (Event* request : running_) request->Set();
  }

  Awaitable<HttpsResponse> Ask(HttpsRequest request) override;

  std::vector<HttpsRequest> requests;  // in order
  std::vector<SteadyTime> times;       // of the requests

 private:
  const FakeSite* Find(const HttpsRequest& request) const;

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  bool given_up_ = false;
  std::set<Event*> running_;
  std::map<std::pair<std::string, std::string>, FakeSite> sites_;
  std::map<IpAddress, int> at_address_;
  int in_flight_ = 0;
  int most_in_flight_ = 0;
  int most_at_one_address_ = 0;
};

}  // namespace postern
