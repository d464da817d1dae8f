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
    : executor_(executor),
      clock_(clock),
      max_fetches_(max_fetches),
      all_(executor, clock, max_fetches),
      background_(executor, clock, background_places()) {}

FetchSeats::Seat::~Seat() { seats_.Leave(*this); }

size_t FetchSeats::background_places() const {
  return std::max<size_t>(max_fetches_ / kBackgroundShare, 1);
}

void FetchSeats::SetLimit(size_t max_fetches) {
  max_fetches_ = max_fetches;
  all_.SetLimit(max_fetches);
  background_.SetLimit(background_places());
}

Awaitable<std::unique_ptr<FetchSeats::Seat>> FetchSeats::Take(
    Wanted wanted, SteadyTime deadline) {
  // First the address, then the place among all: whoever waits for a crowded
  // server takes nobody's place.
  const auto turn =
      std::make_shared<Turn>(executor_, clock_, std::move(wanted));
  const std::vector<IpAddress>& addresses = turn->wanted.addresses;
  const bool background = turn->wanted.background;
  for (const IpAddress& address : addresses)
    if (Enter(*turn, address)) break;
  if (!turn->address)
    for (const IpAddress& address : addresses)
      servers_[ServerOf(address)].waiting.push_back(turn);
  while (!turn->address) {
    const SteadyTime room_at = background ? deadline : MakeRoom(*turn);
    co_await turn->come.WaitUntil(std::min(deadline, room_at));
    if (!turn->address && clock_.Now() >= deadline) {
      ForgetTurn(turn);
      co_return nullptr;
    }
  }
  std::unique_ptr<Seat> seat(new Seat(*this, turn->wanted, *turn->address));
  if (background) {
    seat->background_.emplace(co_await background_.Enter(0, deadline));
    if (!*seat->background_) co_return nullptr;
  }
  for (;;) {
    const SteadyTime room_at = background ? deadline : MakeRoomAmongAll();
    seat->place_.emplace(co_await all_.Enter(0, std::min(deadline, room_at)));
    if (*seat->place_) break;
    if (clock_.Now() >= deadline) co_return nullptr;
  }
  seat->since_ = clock_.Now();
  seat->runs_ = true;
  running_.push_back(seat.get());
  servers_[ServerOf(seat->address_)].running.push_back(seat.get());
  co_return seat;
}

bool FetchSeats::Enter(Turn& turn, const IpAddress& address) {
  Server& server = servers_[ServerOf(address)];
  const bool is_free =
      server.inside < kPerAddress &&
      server.Of(turn.wanted.parent) < kPerParent &&
      (!turn.wanted.background || server.background < kBackgroundPerAddress);
  if (!is_free) return false;
  ++server.inside;
  ++server.of_parent[turn.wanted.parent];
  if (turn.wanted.background) ++server.background;
  turn.address = address;
  return true;
}

void FetchSeats::Leave(const Seat& seat) {
  const auto found = servers_.find(ServerOf(seat.address_));
  Server& server = found->second;
  if (seat.runs_) {
    std::erase(running_, &seat);
    std::erase(server.running, &seat);
  }
  --server.inside;
  if (seat.is_background_) --server.background;
  const auto of_parent = server.of_parent.find(seat.parent_);
  if (--of_parent->second == 0) server.of_parent.erase(of_parent);
  // In the order in which they came, but for those whose parent, or background,
  // has its share.
  std::erase_if(server.waiting, [&](const std::shared_ptr<Turn>& turn) {
    if (turn->address) return true;  // he is at another server
    if (server.inside == kPerAddress) return false;
    for (const IpAddress& address : turn->wanted.addresses)
      if (ServerOf(address) == found->first && Enter(*turn, address)) {
        turn->come.Set();
        return true;
      }
    return false;
  });
  if (server.inside == 0 && server.waiting.empty()) servers_.erase(found);
}

void FetchSeats::ForgetTurn(const std::shared_ptr<Turn>& turn) {
  for (const IpAddress& address : turn->wanted.addresses) {
    const auto found = servers_.find(ServerOf(address));
    if (found == servers_.end()) continue;
    std::erase(found->second.waiting, turn);
    if (found->second.inside == 0 && found->second.waiting.empty())
      servers_.erase(found);
  }
}

SteadyTime FetchSeats::MakeRoom(const Turn& turn) {
  Seat* longest = nullptr;
  for (const IpAddress& address : turn.wanted.addresses) {
    Server& server = servers_[ServerOf(address)];
    const bool parent_is_full = server.Of(turn.wanted.parent) >= kPerParent;
    const auto found = std::find_if(
        server.running.begin(), server.running.end(), [&](const Seat* seat) {
          return !parent_is_full || seat->parent_ == turn.wanted.parent;
        });
    if (found != server.running.end() &&
        (!longest || (*found)->since_ < longest->since_))
      longest = *found;
  }
  return longest ? Displace(longest) : clock_.Now() + kPatience;
}

SteadyTime FetchSeats::MakeRoomAmongAll() {
  return running_.size() < max_fetches_ ? clock_.Now() + kPatience
                                        : Displace(running_.front());
}

SteadyTime FetchSeats::Displace(Seat* longest) {
  const SteadyTime room_at = longest->since_ + kPatience;
  if (clock_.Now() < room_at) return room_at;
  std::erase(running_, longest);
  std::erase(servers_[ServerOf(longest->address_)].running, longest);
  longest->runs_ = false;
  longest->displaced_ = true;
  longest->cancel_->Cancel();
  return clock_.Now() + kPatience;
}

}  // namespace postern
