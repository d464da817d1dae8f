// JsonText: JSON as we write it, in the spool and in reports: printable ASCII
// without a blank outside of strings.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/plain_text.h"

namespace postern {

// Appends to a string, which is left alone meanwhile. What has no value of its
// own (brackets, commas, names) is given as literals around the values:
// Put(R"({"a":")", "x"); Put("}"). The string grows for many pieces at once and
// has its length when the writer is gone: a line of the spool takes half the
// instructions of as many appends.
class JsonText {
 public:
  explicit JsonText(std::string& out)
      : out_(out), end_(out.data() + out.size()), room_end_(end_) {}
  ~JsonText() { out_.resize(static_cast<size_t>(end_ - out_.data())); }
  JsonText(const JsonText&) = delete;
  JsonText& operator=(const JsonText&) = delete;

  template <size_t kSize>
  void Put(const char (&literal)[kSize]) {
    MakeRoom(kSize);
    std::memcpy(end_, literal, kSize);
    end_ += kSize - 1;
  }

  // The literal has the opening quotation mark; the closing one is put here.
  // What is not plain is escaped, bytes that are not UTF-8 become U+FFFD.
  template <size_t kSize>
  void Put(const char (&literal)[kSize], std::string_view value) {
    Put(literal);
    if (PlainLength(value) == value.size()) {
      MakeRoom(value.size() + 1);
      end_ += value.copy(end_, value.size());
      *end_++ = '"';
    } else {
      PutEscaped(value);
    }
  }

  template <size_t kSize>
  void Put(const char (&literal)[kSize], uint64_t number) {
    Put(literal);
    PutNumber(number);
  }

  template <size_t kSize>
  void PutIfKnown(const char (&literal)[kSize], std::string_view value) {
    if (!value.empty()) Put(literal, value);
  }

  // The literal opens the list; `put` is called with each item, between commas.
  template <size_t kSize, class Items, class PutItem>
  void PutList(const char (&literal)[kSize], const Items& items, PutItem put) {
    Put(literal);
    bool first = true;
    for (const auto& item : items) {
      if (!first) Put(",");
      first = false;
      put(item);
    }
    Put("]");
  }

  template <size_t kSize>
  void PutList(const char (&literal)[kSize],
               const std::vector<std::string>& values) {
    PutList(literal, values,
            [this](const std::string& value) { Put("\"", value); });
  }

 private:
  void MakeRoom(size_t bytes) {
    if (static_cast<size_t>(room_end_ - end_) < bytes) Grow(bytes);
  }

  void Grow(size_t bytes);
  void PutEscaped(std::string_view value);
  void PutEscapedCharacter(std::string_view& text);
  void PutUnit(char32_t unit);
  void PutNumber(uint64_t number);

  std::string& out_;
  char* end_;  // of what is written; then room
  char* room_end_;
};

}  // namespace postern
