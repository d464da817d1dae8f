// The real Transport: mail by sendmail(1), signed, and HTTPS by POST.
//
// What fails may succeed later, so nothing is told apart but what a person
// should read. Contract: loop thread only.
#pragma once

#include <functional>
#include <memory>

#include "common/beast_https.h"
#include "common/dns.h"

#include "report-sender/report_configuration.h"
#include "report-sender/transport.h"

namespace postern {

// The mail of a report to `parcel.destination`, which is an address: as it is
// handed over, but for the signatures.
std::string MailOf(const Parcel& parcel);

class RealTransport final : public Transport {
 public:
  // Everything given by reference outlives the deliveries.
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    Resolver& resolver;
    HttpsClient& https;
  };
  RealTransport(World world,
                std::shared_ptr<const ReportConfiguration> configuration)
      : world_(world), configuration_(std::move(configuration)) {}

  // For the deliveries to come.
  void Use(std::shared_ptr<const ReportConfiguration> configuration) {
    configuration_ = std::move(configuration);
  }

  Awaitable<Handover> Deliver(Parcel parcel) override;

 private:
  using Configuration = std::shared_ptr<const ReportConfiguration>;
  Awaitable<Handover> Mail(Parcel parcel, Configuration configuration);
  Awaitable<Handover> Post(Parcel parcel, Configuration configuration);

  World world_;
  Configuration configuration_;
};

// Of an answer to a POST.
Handover JudgePost(const HttpsResponse& response);

}  // namespace postern
