// When the wall clock is believed.
#include "common/even_clock.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using std::chrono::hours;

class EvenClockTest : public testing::Test {
 protected:
  // A look after both clocks went on by `passed`, and somebody set the wall
  // clock by `step`.
  bool After(Seconds passed, Seconds step = Seconds(0)) {
    boot += passed;
    wall += passed + step;
    return clock.IsEven(boot, wall);
  }
  // Looks once a minute for `time`; what the last one said.
  bool For(Seconds time, Seconds step_each = Seconds(0)) {
    bool even = false;
    for (Seconds t{0}; t < time; t += Seconds(60))
      even = After(Seconds(60), step_each);
    return even;
  }

  BootTime boot = Seconds(3);
  WallTime wall{Seconds(1795352707)};
  EvenClock clock;
};

TEST_F(EvenClockTest, TheFirstLookIsNotBelieved) {
  EXPECT_FALSE(After(Seconds(0)));
  EXPECT_FALSE(For(Seconds(9 * 60)));
  EXPECT_TRUE(For(Seconds(60)));
  EXPECT_TRUE(For(hours(24)));
}

TEST_F(EvenClockTest, AfterAStepTheWaitBeginsAnew) {
  for (const Seconds step :
       {Seconds(hours(24)), Seconds(-hours(24)), Seconds(3), Seconds(-3)}) {
    clock = {};
    EXPECT_FALSE(After(Seconds(0)));
    EXPECT_TRUE(For(Seconds(600)));
    EXPECT_FALSE(After(Seconds(30), step));
    EXPECT_FALSE(After(Seconds(599)));
    EXPECT_TRUE(After(Seconds(1)));
  }
}

TEST_F(EvenClockTest, AnotherStepBeginsTheWaitAnew) {
  EXPECT_FALSE(After(Seconds(0), hours(1)));
  EXPECT_FALSE(After(Seconds(590)));
  EXPECT_FALSE(After(Seconds(5), -hours(1)));
  EXPECT_FALSE(After(Seconds(590)));
  EXPECT_TRUE(After(Seconds(10)));
}

TEST_F(EvenClockTest, AClockThatIsSlewedIsEven) {
  EXPECT_FALSE(After(Seconds(0)));
  EXPECT_TRUE(For(Seconds(600)));
  // A second in ten minutes, for a day.
  for (int i = 0; i < 144; ++i) {
    EXPECT_TRUE(After(Seconds(1), Seconds(1)));
    EXPECT_TRUE(For(Seconds(600)));
  }
}

TEST_F(EvenClockTest, ManySmallStepsAreOneLargeOne) {
  EXPECT_FALSE(After(Seconds(0)));
  EXPECT_TRUE(For(Seconds(600)));
  EXPECT_FALSE(For(Seconds(300), Seconds(1)));
}

}  // namespace
}  // namespace postern
