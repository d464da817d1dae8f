#include "policy-daemon/engine.h"

#include <filesystem>

#include "common/log.h"
#include "common/public_suffix.h"

namespace postern {
namespace {

StsSettings StsSettingsOf(const Options& options) {
  return {.port = options.sts.port,
          .fetch_timeout = options.sts.fetch_timeout,
          .max_fetches = options.sts.max_fetches,
          .address_filter = options.sts.allow_private,
          .proxy = ProxyName::Parse(options.sts.proxy)};
}

PolicyService::Settings ServiceSettingsOf(const Options& options) {
  return {.answer_timeout = options.policy.answer_timeout,
          .max_lookups = options.policy.max_lookups,
          .max_entries = options.cache.max_entries,
          .max_bytes = options.cache.max_bytes,
          .dane_enabled = options.dane.enabled,
          .mixed_reply_dane_only = options.policy.mixed_reply_dane_only,
          .reply = {.testing_reply_may = options.policy.testing_reply_may,
                    .site_level = options.policy.site_level,
                    .with_policy = !options.tlsrpt.maillog.empty()}};
}

PolicyTable::Bounds PolicyBoundsOf(const Options& options) {
  return {.max_policies = options.cache.max_entries,
          .max_bytes = options.sts.max_bytes};
}

// Null: there is none, or it cannot be read.
std::unique_ptr<PolicyFileBeside> OpenBeside(const std::string& path,
                                             Metrics& metrics) {
  std::error_code none;
  if (!std::filesystem::exists(path, none) && !none) return nullptr;
  auto file =
      PolicyFileBeside::Open(path, PolicyFileBeside::Access::kRead, metrics);
  if (file) return std::move(*file);
  Log(LogLevel::kWarn, "remembered_policies_unread",
      {{"reason", file.error().message},
       {"effect", "what the daemon remembers does not count here"}});
  return nullptr;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Create(boost::asio::io_context& loop,
                                               Configuration configuration,
                                               Memory memory) {
  const Options& options = configuration.options;
  LoadPublicSuffixes();
  Outside outside;
  outside.metrics = std::make_unique<Metrics>();
  outside.clock = std::make_unique<LoopClock>(loop);
  auto resolver = GetdnsResolver::Create(loop, *outside.clock, options.dns,
                                         *outside.metrics);
  if (!resolver) return resolver.error();
  outside.resolver = std::move(*resolver);
  const std::string path = PolicyFilePath(options);
  if (memory == Memory::kOwn)
    outside.file = std::make_unique<PolicyFile>(path, *outside.metrics);
  else
    outside.beside = OpenBeside(path, *outside.metrics);
  std::unique_ptr<Engine> engine(
      new Engine(loop, configuration, std::move(outside)));
  const Status used = engine->Use(std::move(configuration));
  if (!used) return used.error();
  return engine;
}

Engine::Engine(boost::asio::io_context& loop,
               const Configuration& configuration, Outside outside)
    : metrics(std::move(outside.metrics)),
      clock(std::move(outside.clock)),
      resolver(std::move(outside.resolver)),
      https(loop, configuration.trust),
      store(outside.file
                ? DurableStore(loop.get_executor(), *clock,
                               std::move(outside.file),
                               PolicyBoundsOf(configuration.options), *metrics)
                : DurableStore(loop.get_executor(), *clock,
                               std::move(outside.beside), *metrics)),
      findings({loop.get_executor(), *clock, *resolver, *metrics,
                [](const std::string& domain) {
                  return std::string(RegistrableDomain(domain));
                }}),
      outage(*clock, findings, *metrics),
      fetcher({loop.get_executor(), *clock, *resolver, https, store, outage,
               *metrics},
              StsSettingsOf(configuration.options)),
      refresher(
          {loop.get_executor(), *clock, *resolver, store, fetcher, *metrics}),
      sts({*clock, *resolver, store, fetcher, *metrics}),
      dane(loop.get_executor(), *clock, *resolver),
      service({{loop.get_executor(), *clock, dane, sts},
               *resolver,
               fetcher,
               outage,
               *metrics},
              ServiceSettingsOf(configuration.options)) {
  fetcher.OnChange([this](const std::string& domain) { service.Drop(domain); });
  resolver->OnDnssecBack([this] { service.Drop(""); });
}

Status Engine::Use(Configuration configuration) {
  const Options& options = configuration.options;
  const Status used = resolver->Use(options.dns);
  if (!used) return used.error();
  // What another resolver said may not be what this one says.
  if (!(options.dns == dns_)) service.Drop("");
  dns_ = options.dns;
  https.Use(std::move(configuration.trust));
  store.SetBounds(PolicyBoundsOf(options));
  fetcher.Use(StsSettingsOf(options));
  service.Use(ServiceSettingsOf(options), std::move(configuration.overrides));
  return Done{};
}

std::string PolicyFilePath(const Options& options) {
  return options.cache.directory + "/policies.db";
}

}  // namespace postern
