// What browsers and curl take as an answer is one.
#include "common/http_answer.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using State = HttpAnswer::State;

constexpr size_t kMaxBody = 100;

// In pieces of every size, the answer is the same.
HttpAnswer Read(const std::string& bytes, size_t piece, bool clean = true) {
  HttpAnswer answer(kMaxBody);
  for (size_t at = 0; at < bytes.size(); at += piece)
    answer.Feed(std::string_view(bytes).substr(at, piece));
  answer.End(clean);
  return answer;
}

void ExpectTaken(const std::string& bytes, int status, const std::string& body,
                 bool clean = true) {
  for (const size_t piece : {size_t{1}, size_t{7}, bytes.size()}) {
    HttpAnswer answer = Read(bytes, piece, clean);
    EXPECT_EQ(answer.state(), State::kDone) << bytes << answer.problem();
    EXPECT_EQ(answer.status(), status) << bytes;
    EXPECT_EQ(answer.TakeBody(), body) << bytes;
  }
}

void ExpectState(const std::string& bytes, State state, int status,
                 bool clean = true) {
  for (const size_t piece : {size_t{1}, size_t{7}, bytes.size() + 1}) {
    const HttpAnswer answer = Read(bytes, piece, clean);
    EXPECT_EQ(answer.state(), state) << bytes << answer.problem();
    EXPECT_EQ(answer.status(), status) << bytes;
  }
}

TEST(HttpAnswer, AStatusLineIsTakenInEveryDress) {
  const std::pair<const char*, int> table[] = {
      {"HTTP/1.1 200 OK", 200},
      {"HTTP/1.1 200 ", 200},
      {"HTTP/1.1 200", 200},  // RFC 9112 section 4 demands the blank
      {"HTTP/1.1 202\t", 202},
      {"HTTP/1.0 404 Not Found", 404},
      {"HTTP/1.1  200  OK", 200},
      {"HTTP/1.1\t200 OK", 200},
      {"http/1.1 200 ok", 200},
      {"HTTP/1.1 200OK", 200},
      {"HTTP/2 200", 200},
      {"HTTP/1.1 200 \xff\x01 caf\xe9", 200},
      {"\r\n\r\nHTTP/1.1 200 OK", 200},
      {"HTTP/1.1 999 x", 999},
  };
  for (const auto& [line, status] : table) {
    ExpectTaken(std::string(line) + "\r\nContent-Length: 2\r\n\r\nhi", status,
                "hi");
    ExpectTaken(std::string(line) + "\nContent-Length: 2\n\nhi", status, "hi");
  }
}

TEST(HttpAnswer, WhatIsNoStatusLineIsNotHttp) {
  for (const char* line :
       {"SSH-2.0-OpenSSH", "220 mail ESMTP", "HTTP/1.1", "HTTP/1.1 ",
        "HTTP/1.1 OK", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 099 x",
        "HTTP/ 200 OK", "HTTP 200 OK", "HTTP/1.1 -200", "<html>"})
    ExpectState(std::string(line) + "\r\nContent-Length: 2\r\n\r\nhi",
                State::kBroken, 0);
}

TEST(HttpAnswer, OddHeaderLinesDoNoHarm) {
  for (const char* header :
       {"", "Server\r\n", ": nameless\r\n", "X Y: z\r\n", "S\xc3\xa9: \xff\r\n",
        "X:\r\n", " folded from nothing\r\n", "X: a\r\n\tb\r\n  c\r\n",
        "X: bare\n", "(){}<>@,;\\\"/[]?=: x\r\n", "X: a\rb\r\n",
        "Content-Length : 2\r\n", "content-LENGTH:2\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n"})
    ExpectTaken(std::string("HTTP/1.1 200 OK\r\n") + header +
                    (std::string(header).find("ength") == std::string::npos
                         ? "Content-Length: 2\r\n\r\nhi"
                         : "\r\nhi"),
                200, "hi");
}

TEST(HttpAnswer, AHeaderMayBeFolded) {
  const HttpAnswer answer = Read(
      "HTTP/1.1 200 OK\r\nContent-Type:\r\n text/plain;\r\n\tcharset=x\r\n"
      "Retry-After: 5\r\nContent-Encoding: gzip\r\nContent-Encoding: br\r\n"
      "Content-Type: text/html\r\nContent-Length: 0\r\n\r\n",
      3);
  EXPECT_EQ(answer.content_type(), "text/plain; charset=x");
  EXPECT_EQ(answer.retry_after(), "5");
  EXPECT_EQ(answer.content_encoding(), "gzip, br") << "none is overlooked";
}

TEST(HttpAnswer, TheBodyEndsWhereTheAnswerSays) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  ExpectTaken(head + "Content-Length: 2\r\n\r\nhi and more", 200, "hi");
  ExpectTaken(head + "Content-Length: 0\r\n\r\n", 200, "");
  ExpectTaken(head + "\r\nto the end", 200, "to the end");
  ExpectTaken(head + "Transfer-Encoding: identity\r\n\r\nend", 200, "end");
  ExpectTaken("HTTP/1.1 204 No Content\r\n\r\n", 204, "");
  ExpectTaken("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", 304, "");
}

TEST(HttpAnswer, ChunksAreJoined) {
  const std::string chunks = "3\r\nabc\r\n2;x=y\r\nde\r\n";
  for (const char* header :
       {"Transfer-Encoding: chunked\r\n", "transfer-encoding:CHUNKED\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        // RFC 9112 section 6.3: the Content-Length beside it does not count.
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 99999\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: none\r\n"})
    for (const char* end : {"0\r\n\r\n", "000\r\n\r\n", "0\n\n",
                            "0 \r\nX: trailer\r\n\r\n", "0\r\n"})
      ExpectTaken(
          "HTTP/1.1 200 OK\r\n" + std::string(header) + "\r\n" + chunks + end,
          200, "abcde");
}

TEST(HttpAnswer, ManySmallChunksAreOne) {
  std::string bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 20000; ++i) bytes += "1\r\nx\r\n";
  HttpAnswer answer(65536);
  answer.Feed(bytes + "0\r\n\r\n");
  EXPECT_EQ(answer.state(), State::kDone) << answer.problem();
  EXPECT_EQ(answer.TakeBody(), std::string(20000, 'x'));
}

TEST(HttpAnswer, InterimAnswersAreNone) {
  ExpectTaken(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nContent-Type: x\r\n"
      "Content-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
      200, "hi");
  ExpectState("HTTP/1.1 100 Continue\r\n\r\n", State::kBroken, 0);
  ExpectTaken("HTTP/1.1 101 Switching\r\n\r\nxx", 101, "");
}

// A truncated policy would be another policy.
TEST(HttpAnswer, ABodyThatMayBeCutOffIsNone) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  for (const std::string& bytes :
       {head + "Content-Length: 3\r\n\r\nhi", chunked + "3\r\nab",
        chunked + "3\r\nabc", chunked + "3\r\nabc\r\n", chunked,
        head + "Content-Length: 3\r\n", head + "X: y", head,
        std::string("HTTP/1.1 200"), std::string("HTTP/1.1 200 O")})
    ExpectState(bytes, State::kBroken, 200);
  ExpectState(head + "\r\nto the end", State::kBroken, 200, /*clean=*/false);
}

TEST(HttpAnswer, ABodyWithoutAPlainEndIsNone) {
  for (const char* rest :
       {"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
        "Content-Length: 2, 3\r\n\r\nhi!", "Content-Length: -2\r\n\r\nhi",
        "Content-Length:\r\n\r\nhi", "Content-Length: 0x2\r\n\r\nhi",
        "Content-Length: 99999999999999999999\r\n\r\nhi",
        "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
        "Transfer-Encoding: chunked\r\n\r\nhi",
        "Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2 3\r\nhi\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n"})
    ExpectState("HTTP/1.1 200 OK\r\n" + std::string(rest), State::kBroken, 200);
}

TEST(HttpAnswer, NothingIsWithoutBound) {
  const std::string head = "HTTP/1.1 202 OK\r\n";
  ExpectState(head + "Content-Length: 101\r\n\r\n", State::kTooLarge, 202);
  ExpectTaken(head + "Content-Length: 100\r\n\r\n" + std::string(100, 'x'), 202,
              std::string(100, 'x'));
  ExpectState(head + "\r\n" + std::string(101, 'x'), State::kTooLarge, 202);
  ExpectState(head + "Transfer-Encoding: chunked\r\n\r\n65\r\n",
              State::kTooLarge, 202);
  ExpectState(head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
              State::kTooLarge, 202);
  const std::string much(HttpAnswer::kMaxHead, 'x');
  ExpectState(head + much, State::kBroken, 202);
  ExpectState("HTTP/1.1 " + much, State::kBroken, 0);
  ExpectState(head + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + much,
              State::kBroken, 202);
  ExpectState(head + "Transfer-Encoding: chunked\r\n\r\n1;" + much,
              State::kBroken, 202);
  std::string interim;
  while (interim.size() <= HttpAnswer::kMaxHead)
    interim += "HTTP/1.1 100 Continue\r\n\r\n";
  ExpectState(interim + head + "\r\n", State::kBroken, 0);
}

TEST(HttpAnswer, ToConnectEndsWithItsHead) {
  for (const char* head :
       {"HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}) {
    HttpAnswer answer = HttpAnswer::ToConnect();
    EXPECT_EQ(answer.Feed(head), State::kDone) << head;
    EXPECT_EQ(answer.status(), 200);
  }
}

}  // namespace
}  // namespace postern
