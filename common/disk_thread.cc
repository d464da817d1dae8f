#include "common/disk_thread.h"

#include <exception>

#include <signal.h>

#include <pthread.h>

#include "common/log.h"

namespace postern {
namespace {

// At 10 us a job, half a second of work: more means that the disk hangs.
constexpr size_t kMaxQueued = 50000;
constexpr size_t kMaxBatch = 1000;

// One job's fault is neither the next one's nor the program's.
void Attempt(const std::function<void()>& job) {
  try {
    job();
  } catch (const std::exception& error) {
    Log(LogLevel::kError, "disk_work_failed", {{"reason", error.what()}});
  } catch (...) {
    Log(LogLevel::kError, "disk_work_failed", {{"reason", "unknown"}});
  }
}

}  // namespace

DiskThread::DiskThread(boost::asio::any_io_executor executor, Clock& clock,
                       Job settle)
    : executor_(std::move(executor)),
      clock_(clock),
      settle_(std::move(settle)),
      thread_([this] { Work(); }) {}

DiskThread::~DiskThread() {
  // Who has not called Finish() waits as long as it takes.
  while (thread_.joinable()) Finish(Seconds(3600));
}

bool DiskThread::Finish(Seconds patience) {
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    wake_.notify_all();
    if (!wake_.wait_for(lock, patience, [this] { return ended_; }))
      return false;
  }
  if (thread_.joinable()) thread_.join();
  return true;
}

bool DiskThread::Post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= kMaxQueued) return false;
    queue_.push_back(std::move(job));
  }
  wake_.notify_all();
  return true;
}

void DiskThread::Work() {
  // Signals are for the main thread.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  size_t unsettled = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (unsettled > 0 && (queue_.empty() || unsettled >= kMaxBatch)) {
      lock.unlock();
      Attempt(settle_);
      unsettled = 0;
      lock.lock();
      continue;  // jobs may have come meanwhile
    }
    if (queue_.empty()) {
      if (ending_) {
        ended_ = true;
        wake_.notify_all();
        return;
      }
      wake_.wait(lock);
      continue;
    }
    Job job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    Attempt(job);
    job = nullptr;  // what it owns goes before anybody waits for it
    ++unsettled;
    lock.lock();
  }
}

}  // namespace postern
