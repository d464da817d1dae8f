// Event and Gate: who is resumed, when, and how often.
#include "common/event.h"

#include <functional>

#include <gtest/gtest.h>

#include "common/gate.h"

#include "tests/support/fake_world.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class EventTest : public testing::Test {
 protected:
  void TearDown() override { world.End(); }

  // A waiter that counts how often it went on.
  Awaitable<bool> Wait(Event& one, Duration patience) {
    const bool set = co_await one.WaitUntil(world.clock.Now() + patience);
    ++resumed;
    co_return set;
  }

  FakeWorld world;
  Event event{world.loop.get_executor(), world.clock};
  int resumed = 0;
};

TEST_F(EventTest, AWaiterGoesOnWhenTheEventIsSet) {
  const auto wait = world.Start(Wait(event, 10s));
  world.Pass(3s);
  EXPECT_FALSE(wait.done());
  event.Set();
  world.clock.RunReady();
  EXPECT_TRUE(wait.value());
  EXPECT_EQ(wait.ended_at(), 3s);
  EXPECT_EQ(world.clock.timers(), 0u);
}

TEST_F(EventTest, ASetEventIsNotWaitedFor) {
  event.Set();
  EXPECT_TRUE(world.Start(Wait(event, 0s)).value());
}

TEST_F(EventTest, TheDeadlineEndsTheWait) {
  const auto wait = world.Start(Wait(event, 10s));
  world.Pass(9999ms);
  EXPECT_FALSE(wait.done());
  world.Pass(1ms);
  EXPECT_FALSE(wait.value());
}

TEST_F(EventTest, ADeadlineThatIsOverEndsTheWaitAtOnceButInATurnOfItsOwn) {
  const auto wait = world.Start(Wait(event, -1s));
  world.Pass(0s);
  EXPECT_FALSE(wait.value());
}

TEST_F(EventTest, NobodyIsResumedFromInsideSet) {
  const auto wait = world.Start(Wait(event, 10s));
  event.Set();
  EXPECT_EQ(resumed, 0);
  world.clock.RunReady();
  EXPECT_EQ(resumed, 1);
}

TEST_F(EventTest, SetTwiceResumesOnce) {
  const auto wait = world.Start(Wait(event, 10s));
  event.Set();
  event.Set();
  world.Pass(20s);
  EXPECT_EQ(resumed, 1);
}

TEST_F(EventTest, SetAtTheMomentOfTheDeadlineResumesOnce) {
  // The deadline's call comes first, then Set(), then the loop runs.
  const SteadyTime when = world.clock.Now() + 5s;
  const auto wait = world.Start(Wait(event, 5s));
  const auto timer = world.clock.CallAt(when, [this] { event.Set(); });
  world.Pass(20s);
  EXPECT_EQ(resumed, 1);
  EXPECT_FALSE(wait.value());
  EXPECT_TRUE(event.is_set());
}

TEST_F(EventTest, TheDeadlineAtTheMomentOfSetResumesOnce) {
  const SteadyTime when = world.clock.Now() + 5s;
  const auto timer = world.clock.CallAt(when, [this] { event.Set(); });
  const auto wait = world.Start(Wait(event, 5s));
  world.Pass(20s);
  EXPECT_EQ(resumed, 1);
  EXPECT_TRUE(wait.value());
}

TEST_F(EventTest, ManyWaitersAreEachResumedOnce) {
  for (int i = 0; i < 50; ++i) world.Start(Wait(event, 1s * (i + 1)));
  world.Pass(25s);
  EXPECT_EQ(resumed, 25);
  event.Set();
  world.Pass(60s);
  EXPECT_EQ(resumed, 50);
}

// Says when the frame it stands in goes.
struct Witness {
  explicit Witness(int& count) : gone(count) {}
  Witness(const Witness&) = delete;
  ~Witness() { ++gone; }
  int& gone;
};

Awaitable<void> WaitWithWitness(Event& event, Clock& clock, int& gone,
                                int& resumed) {
  const Witness witness(gone);
  co_await event.WaitUntil(clock.Now() + 10s);
  ++resumed;
}

TEST_F(EventTest, WaitersGoWithTheEventUnresumed) {
  auto owned = std::make_unique<Event>(world.loop.get_executor(), world.clock);
  int gone = 0;
  for (int i = 0; i < 3; ++i)
    Spawn(world.loop.get_executor(),
          WaitWithWitness(*owned, world.clock, gone, resumed));
  world.clock.RunReady();
  owned.reset();
  world.Pass(60s);
  EXPECT_EQ(resumed, 0);
  EXPECT_EQ(gone, 3);
  EXPECT_EQ(world.clock.timers(), 0u);
}

Awaitable<void> WaitAndDestroy(std::unique_ptr<Event>& event, Clock& clock,
                               int& resumed) {
  co_await event->WaitUntil(clock.Now() + 10s);
  ++resumed;
  event.reset();
}

TEST_F(EventTest, AWaiterMayDestroyTheEventThatItWaitedFor) {
  auto owned = std::make_unique<Event>(world.loop.get_executor(), world.clock);
  Spawn(world.loop.get_executor(), WaitAndDestroy(owned, world.clock, resumed));
  world.clock.RunReady();
  owned->Set();
  world.Pass(60s);
  EXPECT_EQ(resumed, 1);
  EXPECT_EQ(owned, nullptr);
}

class GateTest : public testing::Test {
 protected:
  void TearDown() override { world.End(); }

  // Enters, stays, leaves; false if the turn did not come.
  Awaitable<bool> Visit(std::string key, Duration patience, Duration stay) {
    const auto permit = co_await gate.Enter(key, world.clock.Now() + patience);
    if (!permit) co_return false;
    most_inside = std::max(most_inside, ++inside);
    Event pause(world.loop.get_executor(), world.clock);
    co_await pause.WaitUntil(world.clock.Now() + stay);
    --inside;
    co_return true;
  }

  FakeWorld world;
  Gate<std::string> gate{world.loop.get_executor(), world.clock, 2};
  int inside = 0;
  int most_inside = 0;
};

TEST_F(GateTest, LetsInAsManyAsTheLimit) {
  std::vector<Started<bool>> visits;
  for (int i = 0; i < 6; ++i)
    visits.push_back(world.Start(Visit("a", 60s, 10s)));
  EXPECT_EQ(inside, 2);
  world.Pass(60s);
  EXPECT_EQ(most_inside, 2);
  for (const auto& visit : visits) EXPECT_TRUE(visit.value());
  // Two at a time, in the order they came.
  for (size_t i = 0; i < visits.size(); ++i)
    EXPECT_EQ(visits[i].ended_at(), 10s * (i / 2 + 1));
}

TEST_F(GateTest, KeysDoNotHinderEachOther) {
  for (const char* key : {"a", "a", "b", "b", "c"})
    world.Start(Visit(key, 60s, 10s));
  EXPECT_EQ(inside, 5);
}

TEST_F(GateTest, TheDeadlineSendsAway) {
  world.Start(Visit("a", 60s, 30s));
  world.Start(Visit("a", 60s, 30s));
  const auto late = world.Start(Visit("a", 5s, 30s));
  world.Pass(5s);
  EXPECT_FALSE(late.value());
  // Who gave up holds no place: the next two get in.
  const auto next = world.Start(Visit("a", 60s, 1s));
  const auto last = world.Start(Visit("a", 60s, 1s));
  world.Pass(26s);
  EXPECT_TRUE(next.value());
  EXPECT_TRUE(last.value());
}

TEST_F(GateTest, AHandOverAtTheMomentOfTheDeadlineLosesNoPlace) {
  // Whatever comes first at 10 s, afterwards there are two places again.
  for (const Duration patience : {9999ms, 10000ms, 10001ms}) {
    const SteadyTime began = world.clock.Now();
    world.Start(Visit("a", 60s, 10s));
    world.Start(Visit("a", 60s, 10s));
    const auto one = world.Start(Visit("a", patience, 10s));
    const auto two = world.Start(Visit("a", patience, 10s));
    world.clock.AdvanceTo(began + 60s);
    EXPECT_TRUE(one.done());
    EXPECT_TRUE(two.done());
    EXPECT_EQ(inside, 0);
    const auto again = world.Start(Visit("a", 0s, 1s));
    const auto other = world.Start(Visit("a", 0s, 1s));
    world.Pass(60s);
    EXPECT_TRUE(again.value());
    EXPECT_TRUE(other.value());
    EXPECT_LE(most_inside, 2);
  }
}

Awaitable<void> EnterOnce(Gate<std::string>& gate, SteadyTime deadline,
                          int& entered) {
  const auto permit = co_await gate.Enter("a", deadline);
  if (permit) ++entered;
}

TEST_F(GateTest, APlaceHandedOverAfterTheDeadlineIsTaken) {
  // The deadline passes, and before the waiter hears of it the place is left
  // to him: he has it, and gives it back.
  Gate<std::string> narrow(world.loop.get_executor(), world.clock, 1);
  auto first =
      std::make_optional(world.Run(narrow.Enter("a", world.clock.Now())));
  int entered = 0;
  const SteadyTime deadline = world.clock.Now() + 10s;
  Spawn(world.loop.get_executor(), EnterOnce(narrow, deadline, entered));
  world.clock.RunReady();
  const auto leave = world.clock.CallAt(deadline, [&] { first.reset(); });
  world.Pass(30s);
  EXPECT_EQ(entered, 1);
  EXPECT_TRUE(world.Run(narrow.Enter("a", world.clock.Now())));
}

TEST_F(GateTest, ALargerLimitLetsTheWaitingIn) {
  for (int i = 0; i < 6; ++i) world.Start(Visit("a", 60s, 10s));
  world.Start(Visit("b", 60s, 10s));
  gate.SetLimit(5);
  world.clock.RunReady();
  EXPECT_EQ(inside, 6);  // five of "a", one of "b"
  world.Pass(10s);
  EXPECT_EQ(inside, 1);
}

TEST_F(GateTest, ASmallerLimitSendsNobodyOut) {
  world.Start(Visit("a", 60s, 10s));
  world.Start(Visit("a", 60s, 20s));
  gate.SetLimit(1);
  world.clock.RunReady();
  EXPECT_EQ(inside, 2);
}

TEST_F(GateTest, ASmallerLimitCountsForTheNext) {
  world.Start(Visit("a", 60s, 10s));
  world.Start(Visit("a", 60s, 20s));
  const auto third = world.Start(Visit("a", 60s, 10s));
  const auto fourth = world.Start(Visit("a", 60s, 10s));
  gate.SetLimit(1);
  world.Pass(10s);
  EXPECT_EQ(inside, 1) << "the place that is left is gone";
  world.Pass(10s);
  EXPECT_EQ(inside, 1);
  world.Pass(20s);
  EXPECT_TRUE(third.value());
  EXPECT_TRUE(fourth.value());
  EXPECT_EQ(fourth.ended_at(), 40s);
}

TEST_F(GateTest, LimitsMayChangeAllTheTime) {
  for (int round = 0; round < 50; ++round) {
    for (const char* key : {"a", "b"}) world.Start(Visit(key, 60s, 3s));
    gate.SetLimit(1 + static_cast<size_t>(round * 7 % 5));
    world.Pass(1s);
  }
  gate.SetLimit(2);
  world.Pass(10min);
  EXPECT_EQ(inside, 0);
  most_inside = 0;
  for (int i = 0; i < 6; ++i) world.Start(Visit("a", 60s, 10s));
  EXPECT_EQ(inside, 2) << "no place was lost or made";
}

}  // namespace
}  // namespace postern
