#include "common/http_answer.h"

#include <algorithm>
#include <limits>

#include "common/text.h"

namespace postern {
namespace {

// A chunk of one byte may cost so much more: its size, and three line ends.
constexpr size_t kChunkFraming = 16;

// "HTTP/1.1 200 OK" -> 200; 0: it is none. A reason need not follow, nor the
// blank before it (RFC 9112 section 4 demands only that of senders).
int StatusOf(std::string_view line) {
  constexpr std::string_view kName = "http/";
  if (ToLowerAscii(line.substr(0, kName.size())) != kName) return 0;
  line.remove_prefix(kName.size());
  const size_t version = line.find_first_not_of("0123456789.");
  if (version == 0 || version == line.npos || !IsBlank(line[version])) return 0;
  line = TrimBlanks(line.substr(version));
  if (line.size() > 3 && IsAsciiDigit(line[3])) return 0;
  const auto status = ParseUint(line.substr(0, 3), 999);
  return status && *status >= 100 ? static_cast<int>(*status) : 0;
}

// The size of a chunk: hexadecimal, before an extension, if there is one
// (RFC 9112 section 7.1).
std::optional<uint64_t> ChunkSize(std::string_view line) {
  line = TrimBlanks(line.substr(0, line.find(';')));
  if (line.empty() || line.size() > 15) return std::nullopt;
  uint64_t size = 0;
  for (const char c : line) {
    const char lower = AsciiLower(c);
    if (IsAsciiDigit(c))
      size = size * 16 + static_cast<uint64_t>(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      size = size * 16 + static_cast<uint64_t>(lower - 'a' + 10);
    else
      return std::nullopt;
  }
  return size;
}

}  // namespace

HttpAnswer HttpAnswer::ToConnect() {
  HttpAnswer answer(0);
  answer.head_only_ = true;
  return answer;
}

void HttpAnswer::Break(const char* problem) {
  state_ = State::kBroken;
  problem_ = problem;
}

HttpAnswer::State HttpAnswer::Feed(std::string_view bytes) {
  while (state_ == State::kReading && !bytes.empty()) {
    switch (part_) {
      case Part::kBodyOfLength:
      case Part::kBodyToTheEnd:
      case Part::kChunk:
        TakeBody(bytes);
        break;
      default:
        if (TakeLine(bytes)) OnLine();
    }
  }
  return state_;
}

HttpAnswer::State HttpAnswer::End(bool clean) {
  if (state_ != State::kReading) return state_;
  // Three digits are a status, whatever was to follow.
  if (part_ == Part::kStatusLine && StatusOf(line_) != 0) OnStatusLine();
  if (part_ == Part::kTrailer || (part_ == Part::kBodyToTheEnd && clean))
    state_ = State::kDone;
  else
    Break(head_bytes_ == 0 ? "no answer" : "the answer broke off");
  return state_;
}

bool HttpAnswer::TakeLine(std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  const size_t size = end == bytes.npos ? bytes.size() : end + 1;
  if (size > kMaxHead - head_bytes_) {
    Break("the answer's head is too large");
    return false;
  }
  head_bytes_ += size;
  line_ += bytes.substr(0, size);
  bytes.remove_prefix(size);
  if (end == bytes.npos) return false;
  // RFC 9112 section 2.2: a bare LF ends a line as well.
  line_.pop_back();
  if (line_.ends_with('\r')) line_.pop_back();
  return true;
}

void HttpAnswer::OnLine() {
  switch (part_) {
    case Part::kStatusLine:
      if (!line_.empty()) OnStatusLine();
      break;
    case Part::kHeader:
      OnHeaderLine();
      break;
    case Part::kChunkSize:
      OnChunkSize();
      break;
    case Part::kChunkEnd:
      part_ = Part::kChunkSize;
      if (!line_.empty()) Break("a chunk does not end where it should");
      break;
    case Part::kTrailer:
      if (line_.empty()) state_ = State::kDone;
      break;
    default:
      break;
  }
  line_.clear();
}

void HttpAnswer::OnStatusLine() {
  const int status = StatusOf(line_);
  if (status == 0) return Break("the answer is not HTTP");
  // RFC 9110 section 15.2: 1xx is not the answer, which follows; but behind
  // 101 follows something else.
  interim_ = status / 100 == 1 && status != 101;
  if (!interim_) status_ = status;
  part_ = Part::kHeader;
}

void HttpAnswer::OnHeaderLine() {
  // RFC 9112 section 5.2: a line that begins with a blank goes on with the
  // header before.
  if (!line_.empty() && IsBlank(line_.front())) {
    header_ += ' ';
    header_ += TrimBlanks(line_);
    return;
  }
  if (!interim_) OnHeader(header_);
  header_ = line_;
  if (line_.empty()) OnHeadEnd();
}

void HttpAnswer::OnHeader(std::string_view header) {
  const size_t colon = header.find(':');
  if (colon == header.npos) return;  // what it says concerns nobody
  const std::string name = ToLowerAscii(TrimBlanks(header.substr(0, colon)));
  const std::string_view value = TrimBlanks(header.substr(colon + 1));
  if (name == "content-length") {
    OnContentLength(value);
  } else if (name == "transfer-encoding") {
    for (const std::string_view coding : SplitList(value, ", \t")) {
      const std::string lower = ToLowerAscii(coding);
      if (lower == "chunked")
        chunked_ = true;
      else if (lower != "identity")
        encoded_ = true;
    }
  } else if (name == "content-encoding") {
    if (!content_encoding_.empty()) content_encoding_ += ", ";
    content_encoding_ += value;
  } else if (name == "content-type" && content_type_.empty()) {
    content_type_ = value;
  } else if (name == "retry-after" && retry_after_.empty()) {
    retry_after_ = value;
  }
}

void HttpAnswer::OnContentLength(std::string_view value) {
  // RFC 9112 section 6.3: a repetition is none if it says the same.
  const auto parts = SplitList(value, ", \t");
  if (parts.empty()) bad_length_ = true;
  for (const std::string_view part : parts) {
    const auto length = ParseUint(part, std::numeric_limits<int64_t>::max());
    if (!length || (length_ && *length_ != *length)) bad_length_ = true;
    length_ = length;
  }
}

void HttpAnswer::OnHeadEnd() {
  if (interim_) {
    part_ = Part::kStatusLine;
    return;
  }
  if (head_only_ || status_ == 101 || status_ == 204 || status_ == 304) {
    state_ = State::kDone;
  } else if (encoded_) {
    Break("the answer has an unknown Transfer-Encoding");
  } else if (chunked_) {
    // RFC 9112 section 6.3: it overrides the Content-Length.
    part_ = Part::kChunkSize;
  } else if (bad_length_) {
    Break("the answer's Content-Length is not valid");
  } else if (length_) {
    part_ = Part::kBodyOfLength;
    left_ = *length_;
    if (left_ > max_body_) state_ = State::kTooLarge;
    if (left_ == 0) state_ = State::kDone;
  } else {
    part_ = Part::kBodyToTheEnd;
    left_ = std::numeric_limits<uint64_t>::max();
  }
}

void HttpAnswer::OnChunkSize() {
  const auto size = ChunkSize(line_);
  if (!size) return Break("a chunk's size is not valid");
  left_ = *size;
  part_ = left_ == 0 ? Part::kTrailer : Part::kChunk;
  if (left_ > max_body_ - body_.size()) state_ = State::kTooLarge;
}

void HttpAnswer::TakeBody(std::string_view& bytes) {
  const auto size = std::min<uint64_t>(bytes.size(), left_);
  if (size > max_body_ - body_.size()) {
    state_ = State::kTooLarge;
    return;
  }
  body_ += bytes.substr(0, size);
  bytes.remove_prefix(size);
  left_ -= size;
  if (left_ > 0) return;
  if (part_ == Part::kBodyOfLength) state_ = State::kDone;
  // So that small chunks may be many, but not endless.
  head_bytes_ -= std::min(head_bytes_, kChunkFraming);
  part_ = Part::kChunkEnd;
}

}  // namespace postern
