// A DNS server in a thread, on 127.0.0.1 and a port of its own, over UDP and
// TCP, which answers as a test wants: also late, wrongly, or not at all.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/dns.h"
#include "common/file_descriptor.h"
#include "common/listen_address.h"

namespace postern {

class DnsServer {
 public:
  struct Question {
    std::string bytes;
    bool tcp = false;
    uint16_t from_port = 0;
    size_t number = 0;  // 0 is the first

    DnsType type() const;
    bool wants_proofs() const;  // the DO bit
    bool unchecked() const;     // the CD bit
  };
  // The messages to send back. None: over UDP a question that is dropped, over
  // TCP a connection that is closed.
  using Answers = std::vector<std::string>;
  using Handler = std::function<Answers(const Question&)>;

  // `port`: 0 is a free one.
  explicit DnsServer(Handler handler, uint16_t port = 0);
  ~DnsServer();

  AddressAndPort address() const;
  void Use(Handler handler);
  // All questions until now.
  std::vector<Question> Asked() const;
  // Waits until `count` have come.
  void WaitForQuestions(size_t count) const;

 private:
  void Run();
  Answers Handle(Question question);
  void ServeDatagram();
  void ServeConnection();

  FileDescriptor udp_;
  FileDescriptor tcp_;
  FileDescriptor stop_;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable came_;
  Handler handler_;
  std::vector<Question> asked_;
  std::thread thread_;
};

// What an honest server would say, and parts to lie with.
struct DnsReply {
  bool ad = false;
  bool truncated = false;
  int rcode = 0;
  bool with_data = true;  // an A, MX or SOA record as asked for
};
std::string ReplyTo(const DnsServer::Question& question,
                    const DnsReply& reply = {});

// A port of 127.0.0.1 at which nobody listens.
uint16_t FreePort();

}  // namespace postern
