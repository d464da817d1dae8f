// bench_dns_flood_server ADDRESS:PORT ID: a DNS "resolver" that is never the
// bottleneck, for measurements of the daemon alone.
//
// Answers each UDP question at once, from nothing but the question:
//
//   _mta-sts.s<digits>.*  TXT   "v=STSv1; id=ID", TTL 3600
//   .                     SOA   with the AD bit: it "validates"
//   anything else               NXDOMAIN, with a SOA that lets it be held for
//                               an hour
//
// Contract: one question a packet, answers without EDNS, no TCP. Runs until
// killed.

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "tests/bench/endpoint.h"

namespace {

constexpr size_t kBatch = 64;
constexpr size_t kMaxPacket = 512;
constexpr size_t kHeader = 12;
constexpr uint16_t kSoa = 6;
constexpr uint16_t kTxt = 16;
constexpr char kTtl[] = "\x00\x00\x0e\x10";  // an hour

struct Question {
  std::string_view name;  // as on the wire, with its last, empty label
  uint16_t type = 0;
  size_t end = 0;  // in the packet
};

// An empty name: not a question.
Question ReadQuestion(std::string_view packet) {
  Question question;
  size_t end = kHeader;
  while (end < packet.size() && packet[end] != 0) {
    end += 1 + static_cast<unsigned char>(packet[end]);
  }
  if (end + 5 > packet.size()) return question;
  question.name = packet.substr(kHeader, end + 1 - kHeader);
  question.type =
      static_cast<uint16_t>(static_cast<unsigned char>(packet[end + 1]) << 8 |
                            static_cast<unsigned char>(packet[end + 2]));
  question.end = end + 5;
  return question;
}

// _mta-sts.s<digits>, then whatever.
bool HasPolicy(std::string_view name) {
  constexpr std::string_view kStart = "\x08_mta-sts";
  if (!name.starts_with(kStart)) return false;
  name.remove_prefix(kStart.size());
  size_t length = static_cast<unsigned char>(name.front());
  std::string_view label = name.substr(1, length);
  return length > 1 && label.front() == 's' &&
         std::all_of(label.begin() + 1, label.end(),
                     [](unsigned char c) { return std::isdigit(c); });
}

class Responder {
 public:
  explicit Responder(const std::string& id)
      : txt_(std::string("\xc0\x0c\x00\x10\x00\x01", 6) + Ttl() +
             Sized(Short("v=STSv1; id=" + id))),
        // Both names in it are the root's.
        soa_(std::string("\x00\x00\x06\x00\x01", 5) + Ttl() +
             Sized(std::string("\x00\x00\x00\x00\x00\x01", 6) + Ttl() + Ttl() +
                   Ttl() + Ttl())) {}

  // Makes an answer of a question; returns its length, 0 for none.
  size_t Answer(char* packet, size_t size) const {
    Question question = ReadQuestion({packet, size});
    if (size < kHeader || question.name.empty()) return 0;
    bool txt = question.type == kTxt && HasPolicy(question.name);
    bool root = question.name.size() == 1;
    const std::string& record = txt ? txt_ : soa_;
    if (question.end + record.size() > kMaxPacket) return 0;
    packet[2] = static_cast<char>(0x81);                // response, RD
    packet[3] = static_cast<char>(txt    ? 0x80         // RA
                                  : root ? 0x80 | 0x20  // AD
                                         : 0x80 | 0x20 | 0x03);
    // One question; one record: in the answer or the authority section.
    bool answers = txt || (root && question.type == kSoa);
    std::memset(packet + 4, 0, 8);
    packet[5] = 1;
    packet[answers ? 7 : 9] = 1;
    std::memcpy(packet + question.end, record.data(), record.size());
    return question.end + record.size();
  }

 private:
  static std::string Ttl() { return std::string(kTtl, 4); }
  static std::string Short(const std::string& text) {
    return std::string(1, static_cast<char>(text.size())) + text;
  }
  static std::string Sized(const std::string& data) {
    return std::string(1, '\0') + Short(data);
  }

  std::string txt_;
  std::string soa_;
};

int Bind(const std::string& address) {
  size_t colon = address.rfind(':');
  sockaddr_in here = {};
  here.sin_family = AF_INET;
  if (colon == std::string::npos ||
      inet_pton(AF_INET, address.substr(0, colon).c_str(), &here.sin_addr) !=
          1) {
    DieUsage("not ADDRESS:PORT: " + address);
  }
  here.sin_port =
      htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int bytes = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
  if (bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof(here)) < 0) {
    DieErrno("bind " + address);
  }
  return fd;
}

// A batch of packets, and where they came from.
struct Batch {
  Batch() {
    for (size_t i = 0; i < kBatch; ++i) {
      parts[i].iov_base = packets[i].data();
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_name = &peers[i];
    }
  }
  void Clear() {
    for (size_t i = 0; i < kBatch; ++i) {
      parts[i].iov_len = kMaxPacket;
      messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
    }
  }
  char* packet(size_t i) {
    return static_cast<char*>(messages[i].msg_hdr.msg_iov->iov_base);
  }

  std::array<std::array<char, kMaxPacket>, kBatch> packets;
  std::array<sockaddr_in, kBatch> peers;
  std::array<iovec, kBatch> parts;
  std::array<mmsghdr, kBatch> messages = {};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) DieUsage("usage: bench_dns_flood_server ADDRESS:PORT ID");
  int fd = Bind(argv[1]);
  Responder responder(argv[2]);
  static Batch batch;
  for (;;) {
    batch.Clear();
    int got =
        recvmmsg(fd, batch.messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (got < 0) DieErrno("recvmmsg");
    int kept = 0;
    for (int i = 0; i < got; ++i) {
      auto from = static_cast<size_t>(i);
      size_t length =
          responder.Answer(batch.packet(from), batch.messages[from].msg_len);
      if (length == 0) continue;
      auto to = static_cast<size_t>(kept++);
      std::swap(batch.messages[from].msg_hdr, batch.messages[to].msg_hdr);
      batch.messages[to].msg_hdr.msg_iov->iov_len = length;
    }
    if (kept > 0 && sendmmsg(fd, batch.messages.data(),
                             static_cast<unsigned>(kept), 0) < 0) {
      DieErrno("sendmmsg");
    }
  }
}
