// bench_socketmap_load: socketmap clients, as Postfix's smtp(8) processes are:
// each connection has exactly one request outstanding and sends the next when
// the reply is in.
//
// Every reply must be one well-formed netstring and is counted by its verb; a
// TEMP without a reason counts as bad. The result is one line of JSON on
// stdout: requests a second, latency quantiles in microseconds, the counts, and
// for each --pid its CPU seconds and memory.
//
// Which keys: by default they are drawn (uniformly or by Zipf's law over a
// shuffled list, the same in every run) until the time is up: this measures
// cached answers. With --once each key is sent once, in order, and the run ends
// with the last reply: this measures lookups.
//
// When: by default as soon as a connection is free (a closed loop). With --rate
// at fixed times, whether or not the server keeps up (an open loop): a request
// that finds no free connection waits for one, and its latency counts from when
// it was to be sent. What is unanswered at the end counts as if it had been
// answered then. `late_*` is how late this program itself was.
//
// SIGTERM ends the run before its time; the result is printed.
//
// Limits: one thread. When it is busier than the server it measures itself;
// compare the server's cpu_seconds with elapsed_seconds to tell.

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <getopt.h>
#include <sched.h>

#include "tests/bench/endpoint.h"
#include "tests/bench/histogram.h"
#include "tests/bench/process_usage.h"

namespace {

constexpr char kUsage[] =
    "usage: bench_socketmap_load --socket unix:PATH|inet:HOST:PORT\n"
    "         (--keys FILE | --domains N [--pattern d%d.example.test])\n"
    "         [--map NAME] [--connections N] [--idle N] [--pid PID]...\n"
    "         [--seconds S] [--warmup S] [--uniform | --zipf EXPONENT]\n"
    "         [--once] [--rate PER_SECOND] [--realtime]";

constexpr int kMaxEvents = 512;
constexpr size_t kReadBytes = 128 * 1024;  // Postfix takes 100,000 of them
constexpr size_t kDraws = 1 << 20;         // drawn ahead, then repeated
constexpr size_t kPrefetch = 16;           // draws ahead
constexpr double kGiveUpSeconds = 600;     // --once without --seconds

struct Options {
  std::string socket;
  std::string map = "policy";
  std::string keys_file;
  std::string pattern = "d%d.example.test";
  int domains = 0;
  int connections = 1;
  int idle = 0;
  double seconds = 0;
  double warmup = 0;
  double zipf = 0;  // 0: uniform
  double rate = 0;  // 0: a closed loop
  bool once = false;
  bool realtime = false;
  std::vector<int> pids;
};

volatile sig_atomic_t stopped = 0;

int64_t Now() {
  return std::chrono::steady_clock::now().time_since_epoch() /
         std::chrono::nanoseconds(1);
}

int64_t Nanoseconds(double seconds) {
  return static_cast<int64_t>(seconds * 1e9);
}

// --- Requests ---------------------------------------------------------------

std::vector<std::string> LoadKeys(const Options& options) {
  std::vector<std::string> keys;
  if (!options.keys_file.empty()) {
    std::ifstream file(options.keys_file);
    if (!file) DieErrno(options.keys_file);
    for (std::string line; std::getline(file, line);) keys.push_back(line);
  }
  size_t mark = options.pattern.find("%d");
  if (mark == std::string::npos) DieUsage("--pattern needs a %d");
  for (int i = 0; i < options.domains; ++i) {
    std::string key = options.pattern;
    keys.push_back(key.replace(mark, 2, std::to_string(i)));
  }
  if (keys.empty()) DieUsage(kUsage);
  return keys;
}

// Ready-made requests and the order in which they are sent.
class RequestSource {
 public:
  explicit RequestSource(const Options& options) : once_(options.once) {
    std::vector<std::string> keys = LoadKeys(options);
    std::mt19937_64 random(1);  // the same order in every run
    // Neighbours in the list are neighbours in the server's memory, and must
    // not be the popular ones.
    if (!once_) std::shuffle(keys.begin(), keys.end(), random);
    for (const std::string& key : keys) {
      std::string text = options.map + " " + key;
      starts_.push_back(bytes_.size());
      bytes_ += std::to_string(text.size()) + ":" + text + ",";
    }
    starts_.push_back(bytes_.size());
    if (!once_ && size() > 1) DrawOrder(options.zipf, random);
  }

  // The next request; empty when each was sent once and that is enough.
  std::string_view Next() {
    if (once_) return next_ < size() ? Get(next_++) : std::string_view();
    if (order_.empty()) return Get(0);
    // With a million keys each is a cache miss, which is not the server's.
    __builtin_prefetch(&starts_[order_[(next_ + 2 * kPrefetch) % kDraws]]);
    __builtin_prefetch(&bytes_[starts_[order_[(next_ + kPrefetch) % kDraws]]]);
    return Get(order_[next_++ % kDraws]);
  }

  size_t size() const { return starts_.size() - 1; }

 private:
  std::string_view Get(size_t number) const {
    return std::string_view(bytes_).substr(
        starts_[number], starts_[number + 1] - starts_[number]);
  }

  void DrawOrder(double exponent, std::mt19937_64& random) {
    std::vector<double> sums;  // of the keys' weights, for a binary search
    double sum = 0;
    for (size_t rank = 1; rank <= size(); ++rank) {
      sums.push_back(sum += std::pow(static_cast<double>(rank), -exponent));
    }
    std::uniform_real_distribution<double> point(0, sum);
    for (size_t i = 0; i < kDraws; ++i) {
      auto found = std::upper_bound(sums.begin(), sums.end(), point(random));
      if (found == sums.end()) --found;
      order_.push_back(static_cast<uint32_t>(found - sums.begin()));
    }
  }

  bool once_;
  std::string bytes_;           // all requests
  std::vector<size_t> starts_;  // of each, and the end
  std::vector<uint32_t> order_;
  size_t next_ = 0;
};

// --- Replies ----------------------------------------------------------------

enum class Framing { kWhole, kPartial, kBroken };

// Whether `bytes` is exactly one netstring; if so, `payload` is what it holds.
Framing ParseReply(std::string_view bytes, std::string_view* payload) {
  size_t length = 0;
  size_t digits = 0;
  while (digits < bytes.size() && bytes[digits] >= '0' &&
         bytes[digits] <= '9') {
    length = length * 10 + static_cast<size_t>(bytes[digits++] - '0');
    if (digits > 6) return Framing::kBroken;
  }
  if (digits > 1 && bytes[0] == '0') return Framing::kBroken;
  if (digits == bytes.size()) return Framing::kPartial;
  if (digits == 0 || bytes[digits] != ':') return Framing::kBroken;
  size_t whole = digits + 1 + length + 1;
  if (bytes.size() < whole) return Framing::kPartial;
  if (bytes.size() > whole || bytes.back() != ',') return Framing::kBroken;
  *payload = bytes.substr(digits + 1, length);
  return Framing::kWhole;
}

enum Verb {
  kOkSecure,
  kOkDaneOnly,
  kOkDane,
  kOkOther,
  kNotFound,
  kTemp,
  kTempTooMany,  // "too many lookups at once"
  kPerm,
  kBad,     // no netstring, no verb that Postfix knows, TEMP without a reason
  kClosed,  // a connection ended: by the server, or by us after a kBad
  kVerbs
};

constexpr std::array<const char*, kVerbs> kVerbNames = {
    "ok_secure", "ok_dane_only",  "ok_dane", "ok_other", "notfound",
    "temp",      "temp_too_many", "perm",    "bad",      "closed"};

Verb ClassifyReply(std::string_view payload) {
  if (payload.starts_with("OK ")) {
    std::string_view level = payload.substr(3);
    level = level.substr(0, level.find(' '));
    if (level == "secure") return kOkSecure;
    if (level == "dane-only") return kOkDaneOnly;
    if (level == "dane") return kOkDane;
    return level.empty() ? kBad : kOkOther;
  }
  if (payload == "NOTFOUND ") return kNotFound;
  if (payload.starts_with("TEMP too many lookups")) return kTempTooMany;
  if (payload.starts_with("TEMP ")) return payload.size() > 5 ? kTemp : kBad;
  return payload.starts_with("PERM ") ? kPerm : kBad;
}

// --- The loop ---------------------------------------------------------------

struct Connection {
  int fd = -1;
  int64_t sent_at = 0;  // or was to be sent at
  bool busy = false;    // waits for a reply
  std::string partial;  // what has come of a reply that came in pieces
};

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), source_(options), epoll_(epoll_create1(0)) {
    OpenConnections();
  }

  void Run();
  void Print() const;

 private:
  void OpenConnections();
  void Start();
  void Poll(int64_t until);
  bool IsDone() const;
  void Watch(int fd, void* what);

  // The open loop.
  void StartTimer();
  void OnTimer();
  void SetTimer();
  bool MayScheduleAnother() const;
  void CountUnanswered();

  // False: nothing is left to send.
  bool SendNext(Connection& connection, int64_t sent_at);
  void OnReadable(Connection& connection);
  void OnReply(Connection& connection, Verb verb);
  void Close(Connection& connection);

  const Options& options_;
  RequestSource source_;
  int epoll_;
  std::vector<Connection> connections_;
  std::vector<char> buffer_ = std::vector<char>(kReadBytes);
  int busy_ = 0;  // connections that wait for a reply
  int timer_ = -1;
  int64_t next_at_ = 0;            // when the next is to be sent
  size_t scheduled_ = 0;           // so many were to be sent
  std::vector<Connection*> free_;  // in the open loop
  std::deque<int64_t> waiting_;    // for a free connection
  Histogram latency_;
  Histogram late_;
  std::array<uint64_t, kVerbs> counts_ = {};
  uint64_t unanswered_ = 0;
  std::unique_ptr<UsageMeter> meter_;
  int64_t started_at_ = 0;
  int64_t ended_at_ = 0;
  std::string usage_json_;
};

void Load::OpenConnections() {
  for (int i = 0; i < options_.idle; ++i) Connect(options_.socket);
  connections_.resize(static_cast<size_t>(options_.connections));
  for (Connection& connection : connections_) {
    connection.fd = Connect(options_.socket);
    Watch(connection.fd, &connection);
  }
}

void Load::Watch(int fd, void* what) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = what;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

void Load::Start() {
  latency_.Clear();
  late_.Clear();
  counts_.fill(0);
  meter_ = std::make_unique<UsageMeter>(options_.pids);
  started_at_ = Now();
}

void Load::Run() {
  if (options_.once) Start();
  if (options_.rate > 0) {
    StartTimer();
  } else {
    for (Connection& connection : connections_) SendNext(connection, Now());
  }
  if (!options_.once) {
    Poll(Now() + Nanoseconds(options_.warmup));
    Start();
  }
  Poll(started_at_ + Nanoseconds(options_.seconds));
  ended_at_ = Now();
  CountUnanswered();
  usage_json_ = meter_->Json();
}

// Returns when the time is up or there is nothing left to send or wait for.
void Load::Poll(int64_t until) {
  epoll_event events[kMaxEvents];
  while (!IsDone() && Now() < until) {
    int ready = epoll_wait(epoll_, events, kMaxEvents, 10);
    for (int i = 0; i < ready; ++i) {
      if (events[i].data.ptr == &timer_) {
        OnTimer();
      } else {
        OnReadable(*static_cast<Connection*>(events[i].data.ptr));
      }
    }
  }
}

bool Load::IsDone() const {
  if (stopped) return true;
  if (busy_ > 0) return false;
  bool all_closed = free_.empty();
  return options_.rate == 0 || !MayScheduleAnother() || all_closed;
}

void Load::StartTimer() {
  for (Connection& connection : connections_) free_.push_back(&connection);
  timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  if (timer_ < 0) DieErrno("timerfd_create");
  Watch(timer_, &timer_);
  next_at_ = Now();
  SetTimer();
}

void Load::SetTimer() {
  itimerspec when = {};
  when.it_value.tv_sec = next_at_ / 1'000'000'000;
  when.it_value.tv_nsec = next_at_ % 1'000'000'000;
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
}

// Sends what is due.
void Load::OnTimer() {
  uint64_t expirations;
  if (read(timer_, &expirations, sizeof(expirations)) < 0) return;
  int64_t now = Now();
  for (; next_at_ <= now && MayScheduleAnother();
       next_at_ += Nanoseconds(1 / options_.rate)) {
    late_.Record(now - next_at_);
    ++scheduled_;
    if (free_.empty()) {
      waiting_.push_back(next_at_);
    } else {
      Connection* connection = free_.back();
      free_.pop_back();
      if (!SendNext(*connection, next_at_)) free_.push_back(connection);
    }
  }
  if (MayScheduleAnother()) SetTimer();
}

bool Load::MayScheduleAnother() const {
  return !options_.once || scheduled_ < source_.size();
}

// Or who makes a server wait would look good.
void Load::CountUnanswered() {
  if (options_.rate == 0) {
    if (options_.once) unanswered_ = source_.size() - latency_.count();
    return;
  }
  for (const Connection& connection : connections_) {
    if (connection.busy) waiting_.push_back(connection.sent_at);
  }
  for (int64_t sent_at : waiting_) latency_.Record(ended_at_ - sent_at);
  unanswered_ = waiting_.size();
}

bool Load::SendNext(Connection& connection, int64_t sent_at) {
  std::string_view request = source_.Next();
  if (request.empty()) return false;
  connection.sent_at = sent_at;
  connection.busy = true;
  ++busy_;
  ssize_t sent =
      send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(request.size())) Close(connection);
  return true;
}

void Load::OnReadable(Connection& connection) {
  ssize_t got = read(connection.fd, buffer_.data(), buffer_.size());
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return Close(connection);
  std::string_view bytes(buffer_.data(), static_cast<size_t>(got));
  if (!connection.partial.empty()) bytes = connection.partial.append(bytes);
  std::string_view payload;
  Framing framing = ParseReply(bytes, &payload);
  if (framing == Framing::kWhole) {
    OnReply(connection, ClassifyReply(payload));
  } else if (framing == Framing::kBroken) {
    ++counts_[kBad];
    Close(connection);
  } else if (connection.partial.empty()) {
    connection.partial = bytes;
  }
}

void Load::OnReply(Connection& connection, Verb verb) {
  int64_t now = Now();
  latency_.Record(now - connection.sent_at);
  ++counts_[verb];
  --busy_;
  connection.busy = false;
  connection.partial.clear();
  if (options_.rate == 0) {
    SendNext(connection, now);
  } else if (waiting_.empty()) {
    free_.push_back(&connection);
  } else {
    int64_t sent_at = waiting_.front();
    waiting_.pop_front();
    if (!SendNext(connection, sent_at)) free_.push_back(&connection);
  }
}

void Load::Close(Connection& connection) {
  ++counts_[kClosed];
  if (connection.busy) --busy_;
  connection.busy = false;
  close(connection.fd);
  std::erase(free_, &connection);
}

void Load::Print() const {
  double elapsed = static_cast<double>(ended_at_ - started_at_) / 1e9;
  uint64_t replies = 0;
  for (size_t i = 0; i < kBad; ++i) replies += counts_[i];
  std::printf(
      "{\"requests_per_second\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
      "\"p999_us\":%.1f,\"max_us\":%.1f,\"late_p99_us\":%.1f,"
      "\"elapsed_seconds\":%.3f,\"replies\":%llu,\"unanswered\":%llu",
      static_cast<double>(replies) / elapsed,
      latency_.QuantileMicroseconds(0.5), latency_.QuantileMicroseconds(0.99),
      latency_.QuantileMicroseconds(0.999), latency_.MaxMicroseconds(),
      late_.QuantileMicroseconds(0.99), elapsed,
      static_cast<unsigned long long>(replies),
      static_cast<unsigned long long>(unanswered_));
  for (size_t i = 0; i < kVerbs; ++i) {
    std::printf(",\"%s\":%llu", kVerbNames[i],
                static_cast<unsigned long long>(counts_[i]));
  }
  std::printf(",\"processes\":%s}\n", usage_json_.c_str());
}

// --- Command line -----------------------------------------------------------

void SetOption(Options& options, char name) {
  switch (name) {
    case 's':
      options.socket = optarg;
      break;
    case 'm':
      options.map = optarg;
      break;
    case 'k':
      options.keys_file = optarg;
      break;
    case 'd':
      options.domains = std::atoi(optarg);
      break;
    case 'p':
      options.pattern = optarg;
      break;
    case 'c':
      options.connections = std::atoi(optarg);
      break;
    case 'i':
      options.idle = std::atoi(optarg);
      break;
    case 't':
      options.seconds = std::atof(optarg);
      break;
    case 'w':
      options.warmup = std::atof(optarg);
      break;
    case 'z':
      options.zipf = std::atof(optarg);
      break;
    case 'u':
      options.zipf = 0;
      break;
    case 'o':
      options.once = true;
      break;
    case 'r':
      options.rate = std::atof(optarg);
      break;
    case 'R':
      options.realtime = true;
      break;
    case 'P':
      options.pids.push_back(std::atoi(optarg));
      break;
    default:
      DieUsage(kUsage);
  }
}

Options ParseOptions(int argc, char** argv) {
  static const option kLongOptions[] = {
      {"socket", required_argument, nullptr, 's'},
      {"map", required_argument, nullptr, 'm'},
      {"keys", required_argument, nullptr, 'k'},
      {"domains", required_argument, nullptr, 'd'},
      {"pattern", required_argument, nullptr, 'p'},
      {"connections", required_argument, nullptr, 'c'},
      {"idle", required_argument, nullptr, 'i'},
      {"seconds", required_argument, nullptr, 't'},
      {"warmup", required_argument, nullptr, 'w'},
      {"zipf", required_argument, nullptr, 'z'},
      {"uniform", no_argument, nullptr, 'u'},
      {"once", no_argument, nullptr, 'o'},
      {"rate", required_argument, nullptr, 'r'},
      {"realtime", no_argument, nullptr, 'R'},
      {"pid", required_argument, nullptr, 'P'},
      {nullptr, 0, nullptr, 0}};
  Options options;
  int name;
  while ((name = getopt_long(argc, argv, "", kLongOptions, nullptr)) != -1) {
    SetOption(options, static_cast<char>(name));
  }
  if (options.socket.empty() || options.connections < 1 || optind < argc) {
    DieUsage(kUsage);
  }
  if (options.seconds <= 0) options.seconds = options.once ? kGiveUpSeconds : 3;
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Options options = ParseOptions(argc, argv);
  RaiseFileLimit();
  std::signal(SIGTERM, [](int) { stopped = 1; });
  if (options.realtime) {
    // Where that is not allowed, late_p99_us tells.
    sched_param priority = {};
    priority.sched_priority = 10;
    sched_setscheduler(0, SCHED_FIFO, &priority);
  }
  Load load(options);
  load.Run();
  load.Print();
}
