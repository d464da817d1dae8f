#include "policy-daemon/engine.h"

namespace postern {
namespace {

StsSettings StsSettingsOf(const Options& options) {
  return {.port = options.sts.port,
          .fetch_timeout = options.sts.fetch_timeout,
          .max_fetches = options.sts.max_fetches,
          .address_filter = options.sts.allow_private};
}

PolicyService::Settings ServiceSettingsOf(const Options& options) {
  return {.answer_timeout = options.policy.answer_timeout,
          .max_lookups = options.policy.max_lookups,
          .max_fetches = options.sts.max_fetches,
          .max_entries = options.cache.max_entries,
          .max_bytes = options.cache.max_bytes,
          .dane_enabled = options.dane.enabled,
          .mixed_reply_dane_only = options.policy.mixed_reply_dane_only,
          .reply = {.testing_reply_may = options.policy.testing_reply_may,
                    .site_level = options.policy.site_level}};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Create(boost::asio::io_context& loop,
                                               const Options& options) {
  Outside outside;
  outside.clock = std::make_unique<LoopClock>(loop);
  outside.metrics = std::make_unique<Metrics>();
  auto resolver = GetdnsResolver::Create(loop, *outside.clock, options.dns,
                                         *outside.metrics);
  if (!resolver) return resolver.error();
  outside.resolver = std::move(*resolver);
  auto https = BeastHttps::Create(loop, options.sts.ca_file);
  if (!https) return https.error();
  outside.https = std::move(*https);
  return std::unique_ptr<Engine>(new Engine(loop, options, std::move(outside)));
}

Engine::Engine(boost::asio::io_context& loop, const Options& options,
               Outside outside)
    : clock(std::move(outside.clock)),
      metrics(std::move(outside.metrics)),
      resolver(std::move(outside.resolver)),
      https(std::move(outside.https)),
      store(*clock, options.cache.max_entries),
      outcomes(*metrics),
      sts({loop.get_executor(), *clock, *resolver, *https, store, outcomes,
           *metrics},
          StsSettingsOf(options)),
      dane(loop.get_executor(), *clock, *resolver),
      service({loop.get_executor(), *clock, dane, sts}, *resolver,
              ServiceSettingsOf(options), *metrics) {}

}  // namespace postern
