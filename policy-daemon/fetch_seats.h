// Who may fetch a policy file now.
//
// At most `max_fetches` in all and kPerAddress to one server; of IPv6, a /64
// counts as one. Background fetches take a share of each first, so that they
// never take a question's place. Where all places are taken, a fetch that has
// run for kPatience makes room for a question's: whoever waited for it has had
// his answer by then, and hosts that drip a byte a second keep nobody waiting.
//
// Contract: loop thread only. The seats outlive every wait and seat.
#pragma once

#include <list>
#include <memory>
#include <optional>

#include "common/gate.h"
#include "common/https.h"

namespace postern {

class FetchSeats {
 public:
  static constexpr size_t kPerAddress = 16;
  static constexpr size_t kBackgroundPerAddress = 4;
  static constexpr size_t kBackgroundShare = 4;  // one of so many
  static constexpr Seconds kPatience{10};

  FetchSeats(boost::asio::any_io_executor executor, Clock& clock,
             size_t max_fetches);

  // Held while a request runs.
  class Seat {
   public:
    ~Seat();
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    // For the request: it is cancelled where the seat is needed.
    const std::shared_ptr<HttpsCancel>& cancel() const { return cancel_; }
    bool displaced() const { return displaced_; }

   private:
    friend FetchSeats;
    explicit Seat(FetchSeats& seats) : seats_(seats) {}

    FetchSeats& seats_;
    std::optional<Gate<IpAddress>::Permit> background_address_;
    std::optional<Gate<int>::Permit> background_;
    std::optional<Gate<IpAddress>::Permit> address_;
    std::optional<Gate<int>::Permit> place_;
    std::shared_ptr<HttpsCancel> cancel_ = std::make_shared<HttpsCancel>();
    SteadyTime since_{};
    std::optional<std::list<Seat*>::iterator> running_;
    bool displaced_ = false;
  };

  // Null if the turn did not come before `deadline`.
  Awaitable<std::unique_ptr<Seat>> Take(IpAddress address, bool background,
                                        SteadyTime deadline);

  size_t background_places() const;
  void SetLimit(size_t max_fetches);

 private:
  // When the longest running one may be displaced; it is, if that is now.
  SteadyTime MakeRoom();

  Clock& clock_;
  size_t max_fetches_;
  Gate<IpAddress> by_address_;
  Gate<int> all_;
  Gate<IpAddress> background_by_address_;
  Gate<int> background_;
  std::list<Seat*> running_;  // the longest first, without displaced ones
};

}  // namespace postern
