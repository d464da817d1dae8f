// Who may fetch a policy file now: the fetch limiter.
//
//   at most                       in all          at one server
//   fetches                       max_fetches     kPerAddress
//   of one parent (registrable)                   kPerParent
//     domain
//   background fetches            a quarter       kBackgroundPerAddress
//
// Of IPv6, a /64 counts as one server. Who knows several addresses waits for
// all of them at once. Where no place is left, a fetch that has run for
// kPatience makes room for a question's: the longest of the server, of the
// parent, or of all, whichever is full. Who waited for it has had his answer
// by then, so hosts that drip a byte a second keep nobody waiting.
//
// Contract: loop thread only. The seats outlive every wait and seat.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/gate.h"
#include "common/https.h"

namespace postern {

class FetchSeats {
 public:
  static constexpr size_t kPerAddress = 16;
  static constexpr size_t kPerParent = 4;
  static constexpr size_t kBackgroundPerAddress = 4;
  static constexpr size_t kBackgroundShare = 4;  // one of so many
  static constexpr Seconds kPatience{10};

  FetchSeats(boost::asio::any_io_executor executor, Clock& clock,
             size_t max_fetches);

  struct Wanted {
    std::vector<IpAddress> addresses;  // any of them; the first is preferred
    std::string parent;                // of the domain
    bool background = false;           // no question waits for it
  };

  // Held while a request runs.
  class Seat {
   public:
    ~Seat();
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    const IpAddress& address() const { return address_; }
    // For the request: it is cancelled where the seat is needed.
    const std::shared_ptr<HttpsCancel>& cancel() const { return cancel_; }
    bool displaced() const { return displaced_; }

   private:
    friend FetchSeats;
    Seat(FetchSeats& seats, const Wanted& wanted, IpAddress address)
        : seats_(seats),
          parent_(wanted.parent),
          is_background_(wanted.background),
          address_(address) {}

    FetchSeats& seats_;
    std::string parent_;
    bool is_background_;
    IpAddress address_;
    std::optional<Gate<int>::Permit> background_;
    std::optional<Gate<int>::Permit> place_;
    std::shared_ptr<HttpsCancel> cancel_ = std::make_shared<HttpsCancel>();
    SteadyTime since_{};  // when it got all that it needs
    bool runs_ = false;
    bool displaced_ = false;
  };

  // Null if the turn did not come before `deadline`.
  Awaitable<std::unique_ptr<Seat>> Take(Wanted wanted, SteadyTime deadline);

  size_t background_places() const;
  void SetLimit(size_t max_fetches);

 private:
  // Somebody who waits for a place at one of his servers.
  struct Turn {
    Turn(boost::asio::any_io_executor executor, Clock& clock, Wanted what)
        : come(std::move(executor), clock), wanted(std::move(what)) {}
    Event come;
    Wanted wanted;
    std::optional<IpAddress> address;  // where the place is that he got
  };
  struct Server {
    size_t inside = 0;
    size_t background = 0;
    std::map<std::string, size_t> of_parent;
    size_t Of(const std::string& parent) const {
      const auto found = of_parent.find(parent);
      return found == of_parent.end() ? 0 : found->second;
    }
    std::list<Seat*> running;  // the longest first, without displaced ones
    std::deque<std::shared_ptr<Turn>> waiting;
  };

  // Takes a place for him at `address`, if there is one.
  bool Enter(Turn& turn, const IpAddress& address);
  void Leave(const Seat& seat);
  void ForgetTurn(const std::shared_ptr<Turn>& turn);
  // When the longest running one that stands in his way may be displaced; it
  // is, if that is now. Then, or where all that stand there are leaving, when
  // to look again.
  SteadyTime MakeRoom(const Turn& turn);
  SteadyTime MakeRoomAmongAll();
  SteadyTime Displace(Seat* longest);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  size_t max_fetches_;
  std::map<IpAddress, Server> servers_;
  Gate<int> all_;
  Gate<int> background_;
  std::list<Seat*> running_;  // as of a server
};

}  // namespace postern
