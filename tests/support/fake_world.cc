#include "tests/support/fake_world.h"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace postern {

Awaitable<StsMemory> FakeStore::Find(std::string domain) {
  co_await WaitForDisk();
  if (unreadable) {
    StsMemory unknown;
    unknown.unread = true;
    co_return unknown;
  }
  const auto found = entries.find(domain);
  co_return found == entries.end() ? StsMemory{} : found->second;
}

Awaitable<void> FakeStore::PutPolicy(std::string domain, StoredPolicy policy) {
  co_await WaitForDisk();
  const auto& before = entries[domain].policy;
  if (policy.used_at == WallTime{})
    policy.used_at = before ? before->used_at : clock_.WallNow();
  entries[domain] = {std::move(policy), std::nullopt};
  NoteChange();
}

void FakeStore::PutFailure(const std::string& domain, FailedFetch failure) {
  entries[domain].failure = std::move(failure);
  NoteChange();
}

void FakeStore::NoteUse(const std::string& domain, WallTime used_at,
                        WallTime check_at) {
  const auto found = entries.find(domain);
  if (found == entries.end() || !found->second.policy) return;
  found->second.policy->used_at = used_at;
  found->second.policy->check_at = check_at;
  NoteChange();
}

void FakeStore::ForgetExpired(const std::string& domain, WallTime now) {
  const auto found = entries.find(domain);
  if (found == entries.end()) return;
  const auto& [policy, failure, unread] = found->second;
  if ((policy && now < policy->expires_at) ||
      (failure && now < failure->first_at + kFailureMemory))
    return;
  Forget(domain);
}

void FakeStore::Schedule(const std::string& domain, WallTime fetched_at,
                         WallTime check_at) {
  const auto found = entries.find(domain);
  if (found == entries.end() || !found->second.policy ||
      found->second.policy->fetched_at != fetched_at)
    return;
  found->second.policy->check_at = check_at;
  NoteChange();
}

void FakeStore::Forget(const std::string& domain) {
  entries.erase(domain);
  NoteChange();
}

FakeStore::Agenda FakeStore::Sorted() const {
  Agenda agenda;
  for (const auto& [domain, memory] : entries) {
    if (memory.policy)
      agenda.emplace_back(memory.policy->check_at, domain);
    else if (memory.failure)
      agenda.emplace_back(memory.failure->first_at + kFailureMemory, domain);
  }
  std::sort(agenda.begin(), agenda.end());
  return agenda;
}

Awaitable<std::vector<std::string>> FakeStore::Due(WallTime now, size_t limit) {
  co_await WaitForDisk();
  Agenda agenda = Sorted();
  if (agenda.empty() || agenda.front().first > now) {
    Seconds pause(3600);
    if (!agenda.empty()) pause = std::min(pause, agenda.front().first - now);
    const std::shared_ptr<Event> changed = changed_;
    co_await changed->WaitUntil(clock_.Now() + pause);
    agenda = Sorted();
    now = clock_.WallNow();
  }
  std::vector<std::string> domains;
  for (const auto& [at, domain] : agenda)
    if (at <= now && domains.size() < limit) domains.push_back(domain);
  co_return domains;
}

Awaitable<void> FakeStore::WaitForDisk() {
  co_await Turn(executor_);
  if (delay == Duration(0)) co_return;
  Event pause(executor_, clock_);
  co_await pause.WaitUntil(clock_.Now() + delay);
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
