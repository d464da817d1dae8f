// JsonTree: strangers' JSON as a RapidJSON document, read with bounds.
//
// RapidJSON 1.1 reads out of bounds while it makes a double of
// 0.0000000000e-2147483639 (CVE-2024-38517), so it makes none: whole numbers
// are read here, and others are just numbers.
#pragma once

#include <charconv>
#include <climits>
#include <cstdint>

#include <rapidjson/document.h>

#include "common/plain_text.h"

namespace postern {

// UTF-8 of which RapidJSON takes plain text at once, too. (Its own way to,
// RAPIDJSON_SSE2, lets control characters through.)
struct QuickUtf8 : rapidjson::UTF8<> {};

}  // namespace postern

// RapidJSON's place for what copies a character, of none that mean something.
template <>
struct rapidjson::Transcoder<postern::QuickUtf8, postern::QuickUtf8>
    : Transcoder<UTF8<>, UTF8<>> {
  using Transcoder<UTF8<>, UTF8<>>::Transcode;  // of other streams
  static bool Transcode(InsituStringStream& in, InsituStringStream&) {
    Take(in, 1);  // means nothing, plain or not
    size_t bytes = 0;
    do {
      bytes = postern::PlainLengthInStep(in.src_);
      Take(in, bytes);
    } while (bytes == postern::kPlainStep);
    return true;
  }

 private:
  static void Take(InsituStringStream& in, size_t bytes) {
    if (in.src_ != in.dst_) std::memmove(in.dst_, in.src_, bytes);
    in.src_ += bytes;
    in.dst_ += bytes;
  }
};

namespace postern {

// NULs that stand behind what is parsed: the length of a look ahead.
inline constexpr size_t kAfterJson = kPlainStep;

using JsonPool = rapidjson::MemoryPoolAllocator<>;
using JsonValue = rapidjson::GenericValue<rapidjson::UTF8<>, JsonPool>;

template <unsigned kHow, int kMaxDepth>
class JsonTree
    : public rapidjson::GenericDocument<rapidjson::UTF8<>, JsonPool, JsonPool> {
  using Base =
      rapidjson::GenericDocument<rapidjson::UTF8<>, JsonPool, JsonPool>;

 public:
  // `pool` outlives the tree.
  explicit JsonTree(JsonPool& pool) : Base(&pool, kStackBytes, &pool) {}

  // `text`, `length` bytes and kAfterJson NULs, is parsed in place and must
  // stay. False: no JSON, or nested too deep. Strings may be bad UTF-8, or half
  // a surrogate pair.
  bool Read(char* text, size_t length) {
    bool good = false;
    const auto generate = [&](Base&) {
      rapidjson::GenericReader<QuickUtf8, QuickUtf8, JsonPool> reader(
          &this->GetAllocator());
      rapidjson::InsituStringStream in(text);
      // To RapidJSON any NUL is the end.
      good = !reader.Parse<kFlags>(in, *this).IsError() && in.Tell() == length;
      return good;
    };
    this->Populate(generate);
    return good;
  }

  // Called by the parser, as the other functions that the base has for it;
  // false ends it.
  bool StartObject() { return Descend() && Base::StartObject(); }
  bool StartArray() { return Descend() && Base::StartArray(); }
  bool EndObject(rapidjson::SizeType size) {
    --depth_;
    return Base::EndObject(size);
  }
  bool EndArray(rapidjson::SizeType size) {
    --depth_;
    return Base::EndArray(size);
  }
  bool RawNumber(const char* digits, rapidjson::SizeType length, bool) {
    int64_t value = 0;
    const char* const end = digits + length;
    const auto read = std::from_chars(digits, end, value);
    const bool whole = read.ec == std::errc() && read.ptr == end;
    return whole ? this->Int64(value) : this->Double(0);
  }

 private:
  static constexpr size_t kStackBytes = 2048;
  static constexpr unsigned kFlags = kHow | rapidjson::kParseInsituFlag |
                                     rapidjson::kParseNumbersAsStringsFlag;

  bool Descend() { return ++depth_ <= kMaxDepth; }

  int depth_ = 0;
};

// Read by the recursive parser, a tenth faster (of a whole datagram).
using ShallowJson = JsonTree<rapidjson::kParseDefaultFlags, 32>;
// However deep: the stack suffices.
using DeepJson = JsonTree<rapidjson::kParseIterativeFlag, INT_MAX>;

}  // namespace postern
