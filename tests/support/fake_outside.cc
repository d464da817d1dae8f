#include "tests/support/fake_outside.h"

#include <gtest/gtest.h>

#include "common/log.h"

namespace postern {

// What the tests provoke is not worth a line each.
FakeOutside::FakeOutside() { SetLogLevel(LogLevel::kError); }

void FakeOutside::End() {
  constexpr int kEnough = 100000;  // timers; more are fired by a mistake
  dns.GiveUp();
  https.GiveUp();
  int fired = 0;
  while (fired < kEnough && clock.FireNext()) ++fired;
  EXPECT_LT(fired, kEnough) << "timers without end";
  EXPECT_EQ(running_, 0) << "coroutines that do not end";
  EXPECT_EQ(dns.in_flight(), 0);
  EXPECT_EQ(https.in_flight(), 0);
}

}  // namespace postern
