#include "tests/support/dns_server.h"

#include <array>

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

namespace postern {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

FileDescriptor Bound(int type, uint16_t port) {
  FileDescriptor fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const int yes = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const sockaddr_in address = Loopback(port);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof address),
            0);
  return fd;
}

uint16_t PortOf(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

unsigned At16(const std::string& bytes, size_t at) {
  return static_cast<unsigned>(static_cast<uint8_t>(bytes[at])) << 8 |
         static_cast<uint8_t>(bytes[at + 1]);
}

std::string Number(unsigned value, int bytes) {
  std::string wire;
  while (bytes-- > 0) wire += static_cast<char>(value >> (8 * bytes));
  return wire;
}

// The bytes of header and question.
size_t QuestionEnd(const std::string& bytes) {
  return bytes.find('\0', 12) + 5;
}

}  // namespace

DnsType DnsServer::Question::type() const {
  return static_cast<DnsType>(At16(bytes, QuestionEnd(bytes) - 4));
}
bool DnsServer::Question::wants_proofs() const {
  return (At16(bytes, QuestionEnd(bytes) + 7) & 0x8000u) != 0;
}
bool DnsServer::Question::unchecked() const {
  return (At16(bytes, 2) & 0x0010u) != 0;
}

DnsServer::DnsServer(Handler handler, uint16_t port)
    : udp_(Bound(SOCK_DGRAM, port)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      port_(PortOf(udp_.get())),
      handler_(std::move(handler)) {
  tcp_ = Bound(SOCK_STREAM, port_);
  EXPECT_EQ(listen(tcp_.get(), 64), 0);
  thread_ = std::thread([this] { Run(); });
}

DnsServer::~DnsServer() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

AddressAndPort DnsServer::address() const {
  return {*IpAddress::Parse("127.0.0.1"), port_};
}

void DnsServer::Use(Handler handler) {
  const std::lock_guard lock(mutex_);
  handler_ = std::move(handler);
}

std::vector<DnsServer::Question> DnsServer::Asked() const {
  const std::lock_guard lock(mutex_);
  return asked_;
}

void DnsServer::WaitForQuestions(size_t count) const {
  std::unique_lock lock(mutex_);
  came_.wait(lock, [&] { return asked_.size() >= count; });
}

void DnsServer::Run() {
  for (;;) {
    std::array<pollfd, 3> wanted{{{udp_.get(), POLLIN, 0},
                                  {tcp_.get(), POLLIN, 0},
                                  {stop_.get(), POLLIN, 0}}};
    poll(wanted.data(), wanted.size(), -1);
    if (wanted[2].revents != 0) return;
    if (wanted[0].revents != 0) ServeDatagram();
    if (wanted[1].revents != 0) ServeConnection();
  }
}

DnsServer::Answers DnsServer::Handle(Question question) {
  const std::lock_guard lock(mutex_);
  question.number = asked_.size();
  asked_.push_back(question);
  came_.notify_all();
  return handler_(question);
}

void DnsServer::ServeDatagram() {
  std::array<char, 4096> buffer;
  sockaddr_in from{};
  socklen_t size = sizeof from;
  const ssize_t got = recvfrom(udp_.get(), buffer.data(), buffer.size(), 0,
                               reinterpret_cast<sockaddr*>(&from), &size);
  if (got <= 0) return;
  Question question{{buffer.data(), static_cast<size_t>(got)},
                    false,
                    ntohs(from.sin_port),
                    0};
  for (const std::string& answer : Handle(std::move(question)))
    sendto(udp_.get(), answer.data(), answer.size(), 0,
           reinterpret_cast<const sockaddr*>(&from), size);
}

void DnsServer::ServeConnection() {
  const FileDescriptor client(accept(tcp_.get(), nullptr, nullptr));
  std::array<char, 4096> buffer;
  const ssize_t got = recv(client.get(), buffer.data(), buffer.size(), 0);
  if (got <= 2) return;
  Question question{
      {buffer.data() + 2, static_cast<size_t>(got) - 2}, true, 0, 0};
  // In two pieces, as networks do.
  for (const std::string& answer : Handle(std::move(question))) {
    const std::string whole =
        Number(static_cast<unsigned>(answer.size()), 2) + answer;
    send(client.get(), whole.data(), 1, MSG_NOSIGNAL);
    send(client.get(), whole.data() + 1, whole.size() - 1, MSG_NOSIGNAL);
  }
}

std::string ReplyTo(const DnsServer::Question& question,
                    const DnsReply& reply) {
  const unsigned flags = 0x8180u | (reply.ad ? 0x20u : 0u) |
                         (reply.truncated ? 0x200u : 0u) |
                         static_cast<unsigned>(reply.rcode);
  const bool data = reply.with_data && reply.rcode == 0 && !reply.truncated;
  std::string rdata;
  if (question.type() == DnsType::kA) rdata = "\xc0\x01\x02\x03";
  if (question.type() == DnsType::kMx)
    rdata = Number(10, 2) + std::string("\x02mx\xc0\x0c", 5);
  if (question.type() == DnsType::kSoa)
    rdata = std::string(2, '\0') + Number(1, 4) + Number(2, 4) + Number(3, 4) +
            Number(4, 4) + Number(300, 4);
  const std::string& asked = question.bytes;
  std::string wire = asked.substr(0, 2) + Number(flags, 2) + Number(1, 2) +
                     Number(data ? 1 : 0, 2) + Number(0, 4) +
                     asked.substr(12, QuestionEnd(asked) - 12);
  if (data)
    wire += Number(0xc00c, 2) +
            Number(static_cast<unsigned>(question.type()), 2) + Number(1, 2) +
            Number(300, 4) + Number(static_cast<unsigned>(rdata.size()), 2) +
            rdata;
  return wire;
}

uint16_t FreePort() {
  const FileDescriptor fd = Bound(SOCK_DGRAM, 0);
  return PortOf(fd.get());
}

}  // namespace postern
