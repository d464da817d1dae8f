// Result<T>: a value or an Error.
//
// Why: local trouble (no socket, a bad configuration, a full disk) must reach
// the person who can mend it, so functions that meet it return it instead of
// throwing. What a remote side does wrong is not an Error but a field of the
// facts about it. Member names follow std::expected, so that a later swap is
// mechanical.
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace postern {

struct Error {
  // Complete and for a person: what failed, with which name, what to do.
  std::string message;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Error error) : state_(std::move(error)) {}

  bool has_value() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return has_value(); }

  // REQUIRES: has_value().
  T& operator*() {
    assert(has_value());
    return *std::get_if<T>(&state_);
  }
  const T& operator*() const {
    assert(has_value());
    return *std::get_if<T>(&state_);
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }

  // REQUIRES: !has_value().
  const Error& error() const {
    assert(!has_value());
    return *std::get_if<Error>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

// For functions that only succeed or fail.
struct Done {};
using Status = Result<Done>;

}  // namespace postern
