#include "policy-daemon/held_mail.h"

namespace postern {

SteadyTime HeldMail::Note(const std::string& domain, SteadyTime now) {
  while (!order_.empty() && now - notes_[order_.front()] >= kLasts) {
    notes_.erase(order_.front());
    order_.pop_front();
  }
  const auto [note, is_new] = notes_.try_emplace(domain, now);
  const SteadyTime first = note->second;
  if (!is_new) return first;
  order_.push_back(domain);
  if (order_.size() > kMaxNotes) {
    notes_.erase(order_.front());
    order_.pop_front();
  }
  return first;
}

bool HeldMail::Has(const std::string& domain, SteadyTime now) const {
  const auto note = notes_.find(domain);
  return note != notes_.end() && now - note->second < kLasts;
}

}  // namespace postern
