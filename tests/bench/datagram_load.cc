// bench_datagram_load: datagrams as libtlsrpt sends them for Postfix.
//
//   bench_datagram_load --socket PATH --kind success|failure --domains N
//       --count N [--rate N] [--wait]
//
// Successes repeat word for word for each domain. Failures all differ: in
// domain, MX host and address. Without --rate as fast as it goes; with --wait
// (blocking sender) it waits where the socket is full, else such a datagram is
// lost, as Postfix's would be. One line of JSON on stdout: sent, lost, elapsed
// seconds, bytes.
//
// Limits: one thread, one socket. Postfix opens one for each datagram, which
// costs it more.

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <getopt.h>

#include "tests/bench/endpoint.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr char kUsage[] =
    "usage: bench_datagram_load --socket PATH --kind success|failure\n"
    "         --domains N --count N [--rate N] [--wait]";

// Eight digits in each place of '#'s (a domain's) and '%'s (a failure's).
constexpr char kSuccess[] =
    R"({"dpv": "1","d": "d########.example.com","pr": "v=TLSRPTv1; )"
    R"(rua=mailto:tlsrpt@d########.example.com","policies":[{"policy-type":1,)"
    R"("policy-domain": "mx.d########.example.com","policy-string":)"
    R"(["3 1 1 8D02536C887482BC34FF54E41D2BA659BF85B341A0A20AFADB5813DCFBCF28)"
    R"(6D"],"t":0,"f":0}]})";
constexpr char kFailure[] =
    R"({"dpv": "1","d": "d########.example.com","pr": "v=TLSRPTv1;)"
    R"(rua=mailto:tlsrpt@d########.example.com","policies":[{"policy-type":2,)"
    R"("policy-domain": "d########.example.com","policy-string":)"
    R"(["version: STSv1","mode: enforce","mx: mail.example.net",)"
    R"("mx: *.backup.example.net","max_age: 604800"],"mx-host":)"
    R"(["mail.example.net","*.backup.example.net"],"failure-details":)"
    R"([{"c":202,"s": "192.0.2.25","n": "mx%%%%%%%%.example.net","h": )"
    R"("250-mail.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n)"
    R"(250-STARTTLS\r\n250 SMTPUTF8","r": "198.51.100.7"}],"t":1,"f":1}]})";

struct Options {
  std::string socket;
  bool failure = false;
  unsigned domains = 1;
  unsigned count = 0;
  unsigned rate = 0;  // 0: as fast as it goes
  bool wait = false;
};

Options ParseOptions(int argc, char** argv) {
  const option known[] = {{"socket", required_argument, nullptr, 's'},
                          {"kind", required_argument, nullptr, 'k'},
                          {"domains", required_argument, nullptr, 'd'},
                          {"count", required_argument, nullptr, 'c'},
                          {"rate", required_argument, nullptr, 'r'},
                          {"wait", no_argument, nullptr, 'w'},
                          {}};
  Options options;
  const auto number = [] {
    return static_cast<unsigned>(std::strtoul(optarg, nullptr, 10));
  };
  for (int c; (c = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
    switch (c) {
      case 's':
        options.socket = optarg;
        break;
      case 'k':
        options.failure = std::string(optarg) == "failure";
        break;
      case 'd':
        options.domains = number();
        break;
      case 'c':
        options.count = number();
        break;
      case 'r':
        options.rate = number();
        break;
      case 'w':
        options.wait = true;
        break;
      default:
        DieUsage(kUsage);
    }
  }
  if (options.socket.empty() || options.domains == 0 || options.count == 0)
    DieUsage(kUsage);
  return options;
}

// A datagram whose numbers are changed in place.
class Template {
 public:
  explicit Template(const char* text) : text_(text) {
    for (size_t at = 0; (at = text_.find_first_of("#%", at)) != text_.npos;
         at += 8)
      places_.push_back({at, text_[at] == '#'});
  }

  const std::string& Make(unsigned domain, unsigned number) {
    for (const auto& [at, is_domain] : places_) {
      char digits[16];
      std::snprintf(digits, sizeof digits, "%08u", is_domain ? domain : number);
      text_.replace(at, 8, digits, 8);
    }
    return text_;
  }

 private:
  struct Place {
    size_t at;
    bool is_domain;
  };
  std::string text_;
  std::vector<Place> places_;
};

// Made beforehand: what is measured is not this program.
std::vector<std::string> MakeDatagrams(const Options& options) {
  Template text(options.failure ? kFailure : kSuccess);
  const unsigned different = options.failure ? options.count : options.domains;
  std::vector<std::string> datagrams;
  datagrams.reserve(different);
  for (unsigned i = 0; i < different; ++i)
    datagrams.push_back(text.Make(i % options.domains, i));
  return datagrams;
}

int ConnectTo(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  if (fd < 0 ||
      connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    DieErrno(path);
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  const std::vector<std::string> datagrams = MakeDatagrams(options);
  const int fd = ConnectTo(options.socket);
  const int flags = options.wait ? 0 : MSG_DONTWAIT;
  unsigned lost = 0;
  unsigned long bytes = 0;
  const auto started = Clock::now();
  for (unsigned i = 0; i < options.count; ++i) {
    if (options.rate > 0) {
      const auto due =
          started + std::chrono::nanoseconds(1000000000ull * i / options.rate);
      while (Clock::now() < due) {
      }
    }
    const std::string& datagram = datagrams[i % datagrams.size()];
    bytes += datagram.size();
    if (send(fd, datagram.data(), datagram.size(), flags) >= 0) continue;
    if (errno != EAGAIN) DieErrno("send");
    ++lost;
  }
  const std::chrono::duration<double> elapsed = Clock::now() - started;
  std::printf(
      "{\"sent\":%u,\"lost\":%u,\"elapsed_seconds\":%.6f,\"bytes\":%lu}\n",
      options.count - lost, lost, elapsed.count(), bytes);
}
