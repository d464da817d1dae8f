// bench_dns_load: the DNS questions of a policy lookup, without the daemon, so
// that one can tell whether the resolver or the daemon limits cold lookups.
//
// For each key of a list it asks a chain: stages one after another, the
// questions of a stage at once, as a lookup has to (addresses are only known
// to be needed once the MX is in). A fixed number of chains is in flight over
// one UDP socket. The result is one line of JSON on stdout: chains a second,
// quantiles of a whole chain in microseconds, and what the replies said.
//
// A stage is a comma-separated list of `TYPE name`, `{}` being the key:
//   --stage 'MX {},TXT _mta-sts.{}' --stage 'A mx.{},AAAA mx.{}'
//
// Limits: a lost query is sent again after a second, without end; the answer
// section is not read, rcode and AD are believed.

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <getopt.h>

#include "tests/bench/endpoint.h"
#include "tests/bench/histogram.h"
#include "tests/bench/process_usage.h"

namespace {

constexpr char kUsage[] =
    "usage: bench_dns_load --keys FILE --stage 'TYPE NAME,...'...\n"
    "         [--server 127.0.0.1] [--in-flight N] [--pid PID]...";

// A query id is slot (10 bits), question (3 bits) and turn (3 bits); the turn
// keeps a late reply from being taken for an answer to the slot's next stage.
constexpr size_t kMaxInFlight = 1024;
constexpr size_t kMaxQuestions = 8;
constexpr int64_t kResendAfter = 1'000'000'000;  // nanoseconds

struct Question {
  uint16_t type;
  std::string name;  // with {} for the key
};
using Stage = std::vector<Question>;

struct Options {
  std::string server = "127.0.0.1";
  std::string keys_file;
  size_t in_flight = 100;
  std::vector<Stage> stages;
  std::vector<int> pids;
};

int64_t Now() {
  return std::chrono::steady_clock::now().time_since_epoch() /
         std::chrono::nanoseconds(1);
}

// --- Questions --------------------------------------------------------------

Stage ParseStage(const std::string& text) {
  static const std::map<std::string, uint16_t> kTypes = {
      {"A", 1},    {"SOA", 6},   {"MX", 15},
      {"TXT", 16}, {"AAAA", 28}, {"TLSA", 52}};
  Stage stage;
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    size_t blank = item.find(' ');
    auto type = kTypes.find(item.substr(0, blank));
    if (item.find("{}") == std::string::npos || type == kTypes.end()) {
      DieUsage("not 'TYPE NAME' with {} in the name: " + item);
    }
    stage.push_back({type->second, item.substr(blank + 1)});
  }
  if (stage.empty() || stage.size() > kMaxQuestions) DieUsage(kUsage);
  return stage;
}

void AppendShort(std::string& out, unsigned value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value & 0xff));
}

// RD and AD set (RFC 6840 section 5.7: tell me whether it is authentic), EDNS.
std::string MakeQuery(uint16_t id, uint16_t type, const std::string& name) {
  std::string query;
  for (unsigned field : {unsigned{id}, 0x0120u, 1u, 0u, 0u, 1u}) {
    AppendShort(query, field);
  }
  std::istringstream labels(name);
  for (std::string label; std::getline(labels, label, '.');) {
    query.push_back(static_cast<char>(label.size()));
    query += label;
  }
  query.push_back(0);
  AppendShort(query, type);
  AppendShort(query, 1);  // class IN
  query.push_back(0);     // OPT: root,
  for (unsigned field :
       {41u, 1232u, 0u, 0u, 0u}) {  // type, size, flags, length
    AppendShort(query, field);
  }
  return query;
}

// --- The loop ---------------------------------------------------------------

// One chain in flight.
struct Slot {
  std::string key;
  size_t stage = 0;
  unsigned turn = 0;     // counts stages, modulo 8
  unsigned waiting = 0;  // bit n: question n of the stage is unanswered
  int64_t started_at = 0;
  int64_t sent_at = 0;
};

struct Counts {
  uint64_t queries = 0;
  uint64_t resent = 0;
  uint64_t authentic = 0;
  uint64_t noerror = 0;
  uint64_t nxdomain = 0;
  uint64_t failed = 0;  // any other rcode
};

class DnsLoad {
 public:
  explicit DnsLoad(const Options& options);

  void Run();
  void Print() const;

 private:
  void StartChain(Slot& slot);
  void SendStage(Slot& slot);
  void SendWaiting(Slot& slot);
  void OnReply(const unsigned char* reply, size_t length);
  void ResendLost();

  const Options& options_;
  std::ifstream keys_;
  int fd_;
  std::vector<Slot> slots_;
  size_t busy_ = 0;
  Counts counts_;
  Histogram latency_;
  std::unique_ptr<UsageMeter> meter_;
  double elapsed_seconds_ = 0;
  std::string usage_json_;
};

DnsLoad::DnsLoad(const Options& options)
    : options_(options),
      keys_(options.keys_file),
      fd_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)),
      slots_(options.in_flight),
      meter_(std::make_unique<UsageMeter>(options.pids)) {
  if (!keys_) DieErrno(options.keys_file);
  sockaddr_in server = {};
  server.sin_family = AF_INET;
  server.sin_port = htons(53);
  if (inet_pton(AF_INET, options.server.c_str(), &server.sin_addr) != 1 ||
      connect(fd_, reinterpret_cast<sockaddr*>(&server), sizeof(server)) < 0) {
    DieErrno(options.server);
  }
  int bytes = 4 << 20;
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

void DnsLoad::Run() {
  int64_t started_at = Now();
  for (Slot& slot : slots_) StartChain(slot);
  int64_t checked_at = started_at;
  unsigned char reply[4096];
  while (busy_ > 0) {
    pollfd poller = {fd_, POLLIN, 0};
    poll(&poller, 1, 100);
    for (ssize_t n; (n = recv(fd_, reply, sizeof(reply), 0)) > 0;) {
      OnReply(reply, static_cast<size_t>(n));
    }
    if (Now() - checked_at > kResendAfter / 10) {
      ResendLost();
      checked_at = Now();
    }
  }
  elapsed_seconds_ = static_cast<double>(Now() - started_at) / 1e9;
  usage_json_ = meter_->Json();
}

void DnsLoad::StartChain(Slot& slot) {
  if (!std::getline(keys_, slot.key)) return;
  ++busy_;
  slot.stage = 0;
  slot.started_at = Now();
  SendStage(slot);
}

void DnsLoad::SendStage(Slot& slot) {
  slot.turn = (slot.turn + 1) % 8;
  slot.waiting = (1u << options_.stages[slot.stage].size()) - 1;
  SendWaiting(slot);
}

void DnsLoad::SendWaiting(Slot& slot) {
  const Stage& stage = options_.stages[slot.stage];
  unsigned number = static_cast<unsigned>(&slot - slots_.data());
  slot.sent_at = Now();
  for (unsigned i = 0; i < stage.size(); ++i) {
    if ((slot.waiting >> i & 1) == 0) continue;
    std::string name = stage[i].name;
    name.replace(name.find("{}"), 2, slot.key);
    unsigned id = number << 6 | i << 3 | slot.turn;
    std::string query =
        MakeQuery(static_cast<uint16_t>(id), stage[i].type, name);
    send(fd_, query.data(), query.size(), 0);
    ++counts_.queries;
  }
}

void DnsLoad::OnReply(const unsigned char* reply, size_t length) {
  if (length < 12) return;
  unsigned id = static_cast<unsigned>(reply[0]) << 8 | reply[1];
  if ((id >> 6) >= slots_.size()) return;
  Slot& slot = slots_[id >> 6];
  unsigned question = 1u << (id >> 3 & 7);
  if (slot.turn != (id & 7) || (slot.waiting & question) == 0) return;
  unsigned rcode = reply[3] & 0x0f;
  ++(rcode == 0   ? counts_.noerror
     : rcode == 3 ? counts_.nxdomain
                  : counts_.failed);
  if ((reply[3] & 0x20) != 0) ++counts_.authentic;
  slot.waiting &= ~question;
  if (slot.waiting != 0) return;
  if (++slot.stage < options_.stages.size()) return SendStage(slot);
  latency_.Record(Now() - slot.started_at);
  --busy_;
  StartChain(slot);
}

void DnsLoad::ResendLost() {
  int64_t now = Now();
  for (Slot& slot : slots_) {
    if (slot.waiting == 0 || now - slot.sent_at < kResendAfter) continue;
    ++counts_.resent;
    SendWaiting(slot);
  }
}

void DnsLoad::Print() const {
  double chains = static_cast<double>(latency_.count());
  std::printf(
      "{\"requests_per_second\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
      "\"max_us\":%.1f,\"elapsed_seconds\":%.3f,\"replies\":%.0f",
      chains / elapsed_seconds_, latency_.QuantileMicroseconds(0.5),
      latency_.QuantileMicroseconds(0.99), latency_.MaxMicroseconds(),
      elapsed_seconds_, chains);
  const std::pair<const char*, uint64_t> counts[] = {
      {"queries", counts_.queries},     {"resent", counts_.resent},
      {"authentic", counts_.authentic}, {"noerror", counts_.noerror},
      {"nxdomain", counts_.nxdomain},   {"failed", counts_.failed}};
  for (const auto& [name, count] : counts) {
    std::printf(",\"%s\":%llu", name, static_cast<unsigned long long>(count));
  }
  std::printf(",\"processes\":%s}\n", usage_json_.c_str());
}

// --- Command line -----------------------------------------------------------

Options ParseOptions(int argc, char** argv) {
  static const option kLongOptions[] = {
      {"keys", required_argument, nullptr, 'k'},
      {"stage", required_argument, nullptr, 's'},
      {"server", required_argument, nullptr, 'S'},
      {"in-flight", required_argument, nullptr, 'f'},
      {"pid", required_argument, nullptr, 'P'},
      {nullptr, 0, nullptr, 0}};
  Options options;
  int name;
  while ((name = getopt_long(argc, argv, "", kLongOptions, nullptr)) != -1) {
    switch (name) {
      case 'k':
        options.keys_file = optarg;
        break;
      case 's':
        options.stages.push_back(ParseStage(optarg));
        break;
      case 'S':
        options.server = optarg;
        break;
      case 'f':
        options.in_flight = static_cast<size_t>(atoi(optarg));
        break;
      case 'P':
        options.pids.push_back(std::atoi(optarg));
        break;
      default:
        DieUsage(kUsage);
    }
  }
  if (options.stages.empty() || options.keys_file.empty() || optind < argc ||
      options.in_flight < 1 || options.in_flight > kMaxInFlight) {
    DieUsage(kUsage);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Options options = ParseOptions(argc, argv);
  DnsLoad load(options);
  load.Run();
  load.Print();
}
