// Clocks of its own for a program that this is preloaded to. The file
// $WALL_CLOCK has two numbers of 64 bits, nanoseconds, that may change at any
// time:
//
//   ahead   the wall clock is so far ahead of the true one;
//   passed  so much more time has passed by the wall clock and by the boot
//           clock (CLOCK_BOOTTIME), evenly.
//
// Waits, timers and the times of files are left alone, and so are programs that
// this one starts. wallclock.py builds and uses it.
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

struct Shifts {
  std::atomic<int64_t> ahead;
  std::atomic<int64_t> passed;
};

const Shifts& Told() {
  static const Shifts* const told = [] {
    void* map = MAP_FAILED;
    if (const char* path = std::getenv("WALL_CLOCK")) {
      const int file = open(path, O_RDONLY | O_CLOEXEC);
      map = mmap(nullptr, sizeof *told, PROT_READ, MAP_SHARED, file, 0);
      close(file);
    }
    // A test must not go by the true time unawares.
    if (map == MAP_FAILED) std::abort();
    return static_cast<const Shifts*>(map);
  }();
  return *told;
}

int64_t Shift(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
      return Told().ahead + Told().passed;
    case CLOCK_BOOTTIME:
      return Told().passed;
    default:
      return 0;
  }
}

// Before the program gives up rights that the file needs.
__attribute__((constructor)) void Begin() {
  Told();
  unsetenv("LD_PRELOAD");
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  // Not the C library's, which a sanitizer may ask before it can look it up.
  const auto result = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (result == 0) {
    const int64_t told = now->tv_sec * kSecond + now->tv_nsec + Shift(clock);
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
