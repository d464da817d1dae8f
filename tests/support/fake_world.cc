#include "tests/support/fake_world.h"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace postern {

StsMemory FakeStore::Find(const std::string& domain) {
  StsMemory unknown;
  unknown.unread = true;
  return unreadable ? unknown : table_.Find(domain);
}

Awaitable<void> FakeStore::PutPolicy(std::string domain, StoredPolicy policy) {
  co_await Turn(executor_);
  table_.PutPolicy(domain, std::move(policy), clock_.WallNow());
  NoteChange();
}

void FakeStore::PutFailure(const std::string& domain, FailedFetch failure) {
  table_.PutFailure(domain, std::move(failure));
  NoteChange();
}

void FakeStore::NoteUse(const std::string& domain, WallTime used_at,
                        WallTime check_at) {
  table_.NoteUse(domain, used_at, check_at);
  NoteChange();
}

void FakeStore::Schedule(const std::string& domain, WallTime fetched_at,
                         WallTime check_at) {
  table_.Schedule(domain, fetched_at, check_at);
  NoteChange();
}

void FakeStore::Forget(const std::string& domain) {
  table_.Forget(domain);
  NoteChange();
}

void FakeStore::NoteExpired(const std::string& domain, WallTime now) {
  table_.NoteExpired(domain, now);
  NoteChange();
}

Awaitable<std::vector<std::string>> FakeStore::Due(WallTime now, size_t limit) {
  co_await Turn(executor_);
  table_.Tick(clock_.BootNow(), now);
  if (table_.NextLook() > now) {
    const Seconds pause = table_.NextLook() < now + longest_pause
                              ? table_.NextLook() - now
                              : longest_pause;
    const std::shared_ptr<Event> changed = changed_;
    co_await changed->WaitUntil(clock_.Now() + pause);
    now = clock_.WallNow();
    table_.Tick(clock_.BootNow(), now);
  }
  co_return table_.Due(now, limit);
}

FakeClient::FakeClient(FakeWorld& world, const std::string& path)
    : world_(world), fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  connected_ =
      connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
  world_.clock.RunReady();
}

FakeClient::~FakeClient() { Close(); }

void FakeClient::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  world_.clock.RunReady();
}

void FakeClient::EndInput() {
  shutdown(fd_, SHUT_WR);
  world_.clock.RunReady();
}

size_t FakeClient::Send(std::string_view bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n =
        send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) break;
    sent += static_cast<size_t>(n);
    world_.clock.RunReady();
  }
  return sent;
}

std::string FakeClient::Read() {
  std::string bytes;
  std::array<char, 16384> chunk;
  world_.clock.RunReady();
  for (;;) {
    const ssize_t n = recv(fd_, chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EAGAIN) return bytes;
    if (n <= 0) {
      closed_ = true;
      return bytes;
    }
    bytes.append(chunk.data(), static_cast<size_t>(n));
    world_.clock.RunReady();
  }
}

bool FakeClient::closed() {
  std::array<char, 1> byte;
  world_.clock.RunReady();
  const ssize_t n = recv(fd_, byte.data(), 1, MSG_PEEK);
  return closed_ || n == 0 || (n < 0 && errno != EAGAIN);
}

std::string PolicyText(const std::string& mode, const std::string& mx,
                       int max_age) {
  return "version: STSv1\nmode: " + mode + "\n" +
         (mx.empty() ? "" : "mx: " + mx + "\n") +
         "max_age: " + std::to_string(max_age) + "\n";
}

}  // namespace postern
