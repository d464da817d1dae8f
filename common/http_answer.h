// The answer to one HTTP/1 request, read as its bytes come (RFC 9112).
//
// Why not a library's parser: policy hosts and takers of reports speak HTTP as
// their owners' tools happen to. A report that was taken must not be sent
// again because of an odd header, so this reader takes what browsers and curl
// take: a status line without reason, bare LF, folded, nameless or odd header
// lines, Content-Length beside Transfer-Encoding. Each connection carries one
// request, so nothing can be smuggled behind an answer.
//
// What it is strict about is the end of the body: one that may have been cut
// off is kBroken, never kDone.
//
// Contract: pure. Takes at most kMaxHead bytes of head (each interim answer's,
// chunk sizes and trailers count, too), and `max_body` of body.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

class HttpAnswer {
 public:
  static constexpr size_t kMaxHead = 16 * 1024;

  enum class State {
    kReading,   // more is to come
    kDone,      // all is there
    kTooLarge,  // the body is larger than max_body
    kBroken,    // not HTTP, or cut off: see problem()
  };

  explicit HttpAnswer(size_t max_body) : max_body_(max_body) {}
  // To CONNECT, which has no body where it succeeds (RFC 9110 section 9.3.6),
  // and one of no interest where it does not.
  static HttpAnswer ToConnect();

  // What comes behind the answer's end is not looked at.
  State Feed(std::string_view bytes);
  // The peer sends no more. `clean`: it said so by TLS's close_notify, so that
  // nobody between us can have cut the answer off.
  State End(bool clean);

  State state() const { return state_; }
  const char* problem() const { return problem_; }  // of kBroken

  // Of the final answer; 0 until its status line has come. It stays, whatever
  // is wrong with the rest.
  int status() const { return status_; }
  const std::string& content_type() const { return content_type_; }
  const std::string& content_encoding() const { return content_encoding_; }
  const std::string& retry_after() const { return retry_after_; }
  std::string TakeBody() { return std::move(body_); }

 private:
  enum class Part {
    kStatusLine,
    kHeader,
    kBodyOfLength,
    kBodyToTheEnd,
    kChunkSize,
    kChunk,
    kChunkEnd,
    kTrailer,
  };

  void Break(const char* problem);
  // Takes a line off `bytes`, or its part to line_. False: it goes on.
  bool TakeLine(std::string_view& bytes);
  void OnLine();
  void OnStatusLine();
  void OnHeaderLine();
  void OnHeader(std::string_view header);
  void OnHeadEnd();
  void OnChunkSize();
  void OnContentLength(std::string_view value);
  void TakeBody(std::string_view& bytes);

  size_t max_body_;
  bool head_only_ = false;
  State state_ = State::kReading;
  const char* problem_ = "";
  Part part_ = Part::kStatusLine;
  std::string line_;
  size_t head_bytes_ = 0;
  bool interim_ = false;  // the head that is being read
  std::string header_;    // as far as it is unfolded

  int status_ = 0;
  bool chunked_ = false;
  bool encoded_ = false;  // for the transfer, in a way that nobody asked for
  bool bad_length_ = false;
  std::optional<uint64_t> length_;
  uint64_t left_ = 0;  // of the body of a length, or of a chunk
  std::string content_type_, content_encoding_, retry_after_;
  std::string body_;
};

}  // namespace postern
