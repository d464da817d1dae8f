#include "policy-daemon/fetch_seats.h"

#include <algorithm>

namespace postern {
namespace {

// What counts as one server.
IpAddress ServerOf(IpAddress address) {
  if (address.v6)
    std::fill(address.bytes.begin() + 8, address.bytes.end(), uint8_t{0});
  return address;
}

}  // namespace

FetchSeats::FetchSeats(boost::asio::any_io_executor executor, Clock& clock,
                       size_t max_fetches)
    : clock_(clock),
      max_fetches_(max_fetches),
      by_address_(executor, clock, kPerAddress),
      all_(executor, clock, max_fetches),
      background_by_address_(executor, clock, kBackgroundPerAddress),
      background_(executor, clock, background_places()) {}

FetchSeats::Seat::~Seat() {
  if (running_) seats_.running_.erase(*running_);
}

size_t FetchSeats::background_places() const {
  return std::max<size_t>(max_fetches_ / kBackgroundShare, 1);
}

void FetchSeats::SetLimit(size_t max_fetches) {
  max_fetches_ = max_fetches;
  all_.SetLimit(max_fetches);
  background_.SetLimit(background_places());
}

Awaitable<std::unique_ptr<FetchSeats::Seat>> FetchSeats::Take(
    IpAddress address, bool background, SteadyTime deadline) {
  const IpAddress server = ServerOf(address);
  std::unique_ptr<Seat> seat(new Seat(*this));
  if (background) {
    seat->background_address_.emplace(
        co_await background_by_address_.Enter(server, deadline));
    if (!*seat->background_address_) co_return nullptr;
    seat->background_.emplace(co_await background_.Enter(0, deadline));
    if (!*seat->background_) co_return nullptr;
  }
  // First the address, then the place among all: whoever waits for a crowded
  // server takes nobody's place.
  seat->address_.emplace(co_await by_address_.Enter(server, deadline));
  if (!*seat->address_) co_return nullptr;
  for (;;) {
    const SteadyTime room_at = background ? deadline : MakeRoom();
    seat->place_.emplace(co_await all_.Enter(0, std::min(deadline, room_at)));
    if (*seat->place_) break;
    if (clock_.Now() >= deadline) co_return nullptr;
  }
  seat->since_ = clock_.Now();
  seat->running_ = running_.insert(running_.end(), seat.get());
  co_return seat;
}

SteadyTime FetchSeats::MakeRoom() {
  if (running_.size() < max_fetches_) return SteadyTime::max();
  Seat& longest = *running_.front();
  const SteadyTime room_at = longest.since_ + kPatience;
  if (clock_.Now() < room_at) return room_at;
  running_.pop_front();
  longest.running_.reset();
  longest.displaced_ = true;
  if (longest.cancel_->call) longest.cancel_->call();
  return SteadyTime::max();
}

}  // namespace postern
