// A wall clock of its own for a program that this is preloaded to: so many
// nanoseconds ahead of the true one as the file $WALL_CLOCK says, a number of
// 64 bits that may change at any time. The clocks that nobody can set, timers
// and the times of files are left alone. wallclock.py builds and uses it.
//
// (libfaketime shifts timers that are absolute, too, on whatever clock: a
// program that waits by a timerfd then waits for ever.)
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::atomic<int64_t>* Ahead() {
  static std::atomic<int64_t>* const ahead = [] {
    void* map = MAP_FAILED;
    if (const char* path = std::getenv("WALL_CLOCK")) {
      const int file = open(path, O_RDONLY | O_CLOEXEC);
      map = mmap(nullptr, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
      close(file);
    }
    // A test must not go by the true time unawares.
    if (map == MAP_FAILED) std::abort();
    return static_cast<std::atomic<int64_t>*>(map);
  }();
  return ahead;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  // Not the C library's, which a sanitizer may ask before it can look it up.
  const auto result = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (result == 0 &&
      (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    const int64_t told = now->tv_sec * kSecond + now->tv_nsec + *Ahead();
    now->tv_sec = told / kSecond;
    now->tv_nsec = told % kSecond;
  }
  return result;
}

int gettimeofday(timeval* now, void*) noexcept {
  timespec told;
  const int result = clock_gettime(CLOCK_REALTIME, &told);
  *now = {told.tv_sec, told.tv_nsec / 1000};
  return result;
}

time_t time(time_t* now) noexcept {
  timespec told;
  clock_gettime(CLOCK_REALTIME, &told);
  if (now) *now = told.tv_sec;
  return told.tv_sec;
}

}  // extern "C"
