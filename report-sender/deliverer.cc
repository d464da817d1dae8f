#include "report-sender/deliverer.h"

#include <utility>

#include "common/text.h"

#include "report-sender/schedule.h"

namespace postern {
namespace {

constexpr char kAttempts[] = "postern_report_deliveries_total";
constexpr char kAttemptsHelp[] = "Attempts to deliver a report, by their end";

// Of what was looked at, the last is looked at again: another program tells the
// time, and then has to wait until it may write (report_queue.cc: 10 s).
constexpr Seconds kOverlap{60};

}  // namespace

// --- lanes

void Deliverer::Lane::QueueUp(const std::string& name, const Host& host) {
  if (!host.waiting.empty() && host.running < limit_of_host)
    turns.push_back(name);
}

void Deliverer::Lane::Add(const DueDelivery& due) {
  Host& host = hosts[due.host];
  host.waiting.push_back(due.number);
  // With more, it has its place, or as many as it may under way.
  if (host.waiting.size() == 1) QueueUp(due.host, host);
}

std::optional<DueDelivery> Deliverer::Lane::Take() {
  if (running >= limit || turns.empty()) return std::nullopt;
  DueDelivery due;
  due.host = std::move(turns.front());
  turns.pop_front();
  Host& host = hosts[due.host];
  due.number = host.waiting.front();
  host.waiting.pop_front();
  ++host.running;
  ++running;
  QueueUp(due.host, host);
  return due;
}

void Deliverer::Lane::Leave(const std::string& name) {
  const auto place = hosts.find(name);
  Host& host = place->second;
  --running;
  // One that had as many as it may lost its place.
  if (host.running-- == limit_of_host) QueueUp(name, host);
  if (host.running == 0 && host.waiting.empty()) hosts.erase(place);
}

// --- deliveries

Deliverer::Deliverer(World world, Settings settings)
    : world_(std::move(world)),
      settings_(settings),
      delivered_by_mail_(world_.metrics.Counter(
          kAttempts, kAttemptsHelp, {{"result", "delivered"}, {"by", "mail"}})),
      delivered_by_post_(world_.metrics.Counter(
          kAttempts, kAttemptsHelp,
          {{"result", "delivered"}, {"by", "https"}})),
      failed_(world_.metrics.Counter(kAttempts, kAttemptsHelp,
                                     {{"result", "failed"}})),
      given_up_(world_.metrics.Counter(kAttempts, kAttemptsHelp,
                                       {{"result", "given-up"}})),
      unwritten_count_(world_.metrics.Gauge(
          "postern_report_unwritten",
          "Deliveries whose end could not be written into the queue")) {
  mails_.limit = mails_.limit_of_host = settings_.mails;
  posts_.limit = settings_.posts;
  posts_.limit_of_host = settings_.posts_to_host;
}

size_t Deliverer::under_way() const {
  return mails_.running + posts_.running + unwritten_.size();
}

void Deliverer::Look() {
  for (auto one = unwritten_.begin(); one != unwritten_.end();) {
    if (!Write(one->parcel, one->settlement)) return;
    known_.erase(one->parcel.number);
    one = unwritten_.erase(one);
    unwritten_count_.Set(static_cast<double>(unwritten_.size()));
  }
  const WallTime now = world_.clock.WallNow();
  // All of it where the clock was set back.
  const WallTime from =
      now < looked_until_ ? WallTime{} : looked_until_ - kOverlap;
  const auto due = world_.queue.Due(from, now);
  if (!due) return NoteTrouble(due.error());
  looked_until_ = now;
  for (const DueDelivery& one : *due)
    if (known_.insert(one.number).second) LaneOf(one.by_mail).Add(one);
  Start();
}

void Deliverer::Start() {
  for (const bool by_mail : {true, false}) {
    while (!stopping_) {
      auto due = LaneOf(by_mail).Take();
      if (!due) break;
      due->by_mail = by_mail;
      Spawn(world_.executor, Attempt(std::move(*due)));
    }
  }
}

Awaitable<void> Deliverer::Attempt(DueDelivery due) {
  // However it ends, its place is free.
  struct Leave {
    Deliverer& deliverer;
    const DueDelivery& due;
    bool written = true;
    ~Leave() {
      deliverer.LaneOf(due.by_mail).Leave(due.host);
      if (written) deliverer.known_.erase(due.number);
      deliverer.Start();
    }
  };
  Leave leave{*this, due};
  const auto parcel = world_.queue.Load(due.number);
  if (!parcel) {
    NoteTrouble(parcel.error());
    looked_until_ = {};  // so that it is found again
    co_return;
  }
  if (!*parcel) co_return;  // dropped meanwhile
  const Parcel& loaded = **parcel;
  const Handover handover = co_await HandOver(loaded);
  const Settlement settlement = SettlementOf(
      loaded, handover, world_.clock.WallNow(), settings_.retry_for);
  Count(loaded, settlement);
  if (Write(loaded, settlement)) co_return;
  leave.written = false;
  unwritten_.push_back({loaded, settlement});
  unwritten_count_.Set(static_cast<double>(unwritten_.size()));
}

Awaitable<Handover> Deliverer::HandOver(Parcel parcel) {
  try {
    co_return co_await world_.transport.Deliver(std::move(parcel));
  } catch (const std::exception& error) {
    // Out of memory, or our bug: it is tried again as any other.
    co_return Handover{false, Printable(error.what()), std::nullopt};
  }
}

bool Deliverer::Write(const Parcel& parcel, const Settlement& settlement) {
  const Status written = world_.queue.Settle(parcel, settlement);
  if (!written) NoteTrouble(written.error());
  return written.has_value();
}

void Deliverer::Count(const Parcel& parcel, const Settlement& settlement) {
  const std::string id =
      ReportId(parcel.day, parcel.domain, parcel.identity.submitter);
  const std::string to = DestinationUri(parcel.destination);
  switch (settlement.state) {
    case DeliveryState::kDelivered:
      ++totals_.delivered;
      (std::holds_alternative<MailAddress>(parcel.destination)
           ? delivered_by_mail_
           : delivered_by_post_)
          .Increment();
      Log(LogLevel::kInfo, "report_delivered",
          {{"domain", parcel.domain}, {"to", to}, {"id", id}});
      return;
    case DeliveryState::kGivenUp:
      ++totals_.given_up;
      given_up_.Increment();
      Log(LogLevel::kWarn, "report_given_up",
          {{"domain", parcel.domain},
           {"to", to},
           {"id", id},
           {"attempts", parcel.attempts + 1},
           {"reason", settlement.reason}});
      return;
    default:
      ++totals_.failed;
      failed_.Increment();
      Log(LogLevel::kInfo, "report_deferred",
          {{"domain", parcel.domain},
           {"to", to},
           {"id", id},
           {"again", settlement.again ? FormatUtc(*settlement.again) : "-"},
           {"reason", settlement.reason}});
  }
}

void Deliverer::NoteTrouble(const Error& error) {
  uint64_t suppressed = 0;
  if (trouble_log_.Allow(world_.clock.Now(), &suppressed))
    Log(LogLevel::kError, "queue_trouble",
        {{"reason", error.message},
         {"suppressed", suppressed},
         {"effect", "reports wait until it is mended; none is lost"}});
}

}  // namespace postern
