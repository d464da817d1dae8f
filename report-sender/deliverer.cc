#include "report-sender/deliverer.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/asio/post.hpp>

#include "common/text.h"

#include "report-sender/schedule.h"

namespace postern {
namespace {

constexpr Seconds kLookAtAll{60};
constexpr char kAttempts[] = "postern_report_deliveries_total";
constexpr char kAttemptsHelp[] = "Attempts to deliver a report, by their end";

// Of what was looked at, the last is looked at again: another program tells the
// time, and then has to wait until it may write (report_queue.cc: 10 s). What
// takes longer still is found by the look at all.
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
      delivered_by_post_(
          world_.metrics.Counter(kAttempts, kAttemptsHelp,
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
  retries_.limit = settings_.retries;
  retries_.limit_of_host = 1;
}

Deliverer::Lane& Deliverer::LaneOf(const DueDelivery& due) {
  if (due.by_mail) return mails_;
  return due.was_tried ? retries_ : posts_;
}

size_t Deliverer::under_way() const {
  return mails_.running + posts_.running + retries_.running + unwritten_.size();
}

void Deliverer::Look() {
  Write();
  if (failing_) return;
  const WallTime now = world_.clock.WallNow();
  // Once more from a bit before: another program may have been kept waiting
  // with its `now`. All of them, where the clock was set back.
  WallTime from = looked_until_ - kOverlap;
  if (now < looked_until_ || world_.clock.Now() >= look_at_all_) {
    from = {};
    look_at_all_ = world_.clock.Now() + kLookAtAll;
  }
  const auto due = world_.queue.Due(from, now);
  if (!due) return NoteTrouble(due.error());
  looked_until_ = now;
  for (const DueDelivery& one : *due)
    if (known_.insert(one.number).second) LaneOf(one).Add(one);
  Start();
}

void Deliverer::Start() {
  for (Lane* lane : {&mails_, &posts_, &retries_}) {
    while (!stopping_ && !failing_) {
      auto due = lane->Take();
      if (!due) break;
      Spawn(world_.executor, Attempt(*lane, std::move(*due)));
    }
  }
}

Awaitable<void> Deliverer::Attempt(Lane& lane, DueDelivery due) {
  // However it ends, its place is free. What was not tried is looked for again.
  struct Leave {
    Deliverer& deliverer;
    Lane& lane;
    const DueDelivery& due;
    bool has_ended = false;
    ~Leave() {
      lane.Leave(due.host);
      if (!has_ended) deliverer.known_.erase(due.number);
      deliverer.WriteSoon();
    }
  };
  Leave leave{*this, lane, due};
  // Not inside of whoever started it: one that fails at once starts the next.
  co_await boost::asio::post(world_.executor, boost::asio::use_awaitable);
  const auto parcel = world_.queue.Load(due.number);
  if (!parcel) NoteTrouble(parcel.error());
  if (!parcel || !*parcel) co_return;  // or dropped meanwhile
  EndedAttempt attempt{**parcel, {}};
  attempt.parcel.text.clear();
  attempt.parcel.gzip.clear();
  unwritten_.reserve(under_way() + 1);  // what was accepted must not get lost
  Parcel whole = **parcel;
  const Handover handover = co_await HandOver(std::move(whole));
  attempt.settlement =
      SettlementOf(attempt.parcel, handover, world_.clock.WallNow(),
                   settings_.retry_for, settings_.clock_is_even);
  unwritten_.push_back(std::move(attempt));
  leave.has_ended = true;
  Count(unwritten_.back().parcel, unwritten_.back().settlement);
}

// What it throws is no end of an attempt that nobody hears of.
Awaitable<Handover> Deliverer::HandOver(Parcel parcel) {
  Handover handover;
  handover.reason = parcel.unreadable;
  handover.unwanted = !parcel.unreadable.empty();
  if (handover.unwanted) co_return handover;
  try {
    handover = co_await world_.transport.Deliver(std::move(parcel));
  } catch (const std::exception& error) {
    handover.reason = Printable(error.what());
  }
  co_return handover;
}

// With all that ends in this turn of the loop; and then the next may start.
void Deliverer::WriteSoon() {
  if (std::exchange(writes_soon_, true)) return;
  boost::asio::post(world_.executor, [this] {
    writes_soon_ = false;
    Write();
    Start();
  });
}

void Deliverer::Write() {
  if (!unwritten_.empty()) {
    Status written = Error{""};
    try {
      written = world_.queue.Settle(unwritten_);
    } catch (const std::exception& error) {
      written = Error{Printable(error.what())};
    }
    failing_ = !written;
    if (!written) NoteTrouble(written.error());
    for (const EndedAttempt& one : unwritten_)
      if (written) known_.erase(one.parcel.number);
    if (written) unwritten_.clear();
  }
  unwritten_count_.Set(static_cast<double>(unwritten_.size()));
}

void Deliverer::Count(const Parcel& parcel, const Settlement& settlement) {
  uint64_t suppressed = 0;
  const SteadyTime now = world_.clock.Now();
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
      if (!given_up_log_.Allow(now, &suppressed)) return;
      Log(LogLevel::kWarn, "report_given_up",
          {{"domain", parcel.domain},
           {"to", to},
           {"id", id},
           {"attempts", parcel.attempts + 1},
           {"reason", settlement.reason},
           {"suppressed", suppressed}});
      return;
    case DeliveryState::kDropped:
      Log(LogLevel::kInfo, "report_dropped",
          {{"domain", parcel.domain},
           {"to", to},
           {"id", id},
           {"reason", settlement.reason}});
      return;
    case DeliveryState::kWaiting:
      ++totals_.failed;
      failed_.Increment();
      if (!deferred_log_.Allow(now, &suppressed)) return;
      Log(LogLevel::kInfo, "report_deferred",
          {{"domain", parcel.domain},
           {"to", to},
           {"id", id},
           {"again", settlement.again ? FormatUtc(*settlement.again) : "-"},
           {"reason", settlement.reason},
           {"suppressed", suppressed}});
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
