#include "policy-daemon/fair_queue.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using Queue = FairQueue<int>;
using Items = std::vector<int>;

// The next turn: "owner", and what it brings.
std::pair<std::string, Items> Next(Queue& queue) {
  auto taken = queue.Take();
  if (!taken) return {};
  return {taken->owner, taken->items};
}
using Turn = std::pair<std::string, Items>;

TEST(FairQueue, OwnersTakeTurnsWhateverTheyBring) {
  Queue queue(100);
  for (int i = 0; i < 5; ++i) queue.Add("much", i, 1);
  queue.Add("little", 7, 1);
  EXPECT_EQ(Next(queue), Turn("much", {0, 1, 2, 3, 4}));
  EXPECT_EQ(Next(queue), Turn("little", {7}));
  EXPECT_EQ(Next(queue), Turn());
}

TEST(FairQueue, AnOwnerHasOneWorkerAtATime) {
  Queue queue(100);
  queue.Add("a", 1, 1);
  EXPECT_EQ(Next(queue), Turn("a", {1}));
  queue.Add("a", 2, 1);
  EXPECT_FALSE(queue.has_turn());
  queue.Done("a");
  EXPECT_EQ(Next(queue), Turn("a", {2}));
}

TEST(FairQueue, WhoHasTheMostWaitingGivesWayItsNewestFirst) {
  Queue queue(10);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(queue.Add("much", i, 2), 0u);
  EXPECT_EQ(queue.Add("little", 7, 2), 0u);
  EXPECT_EQ(queue.Add("new", 8, 3), 2u);
  EXPECT_EQ(Next(queue), Turn("much", {0, 1}));
  EXPECT_EQ(Next(queue), Turn("little", {7}));
  EXPECT_EQ(Next(queue), Turn("new", {8}));
}

TEST(FairQueue, NobodyGivesWayToWhoWouldHaveAsMuch) {
  Queue queue(10);
  for (int i = 0; i < 2; ++i) queue.Add("a", i, 5);
  EXPECT_EQ(queue.Add("a", 2, 1), 1u);
  EXPECT_EQ(queue.Add("b", 3, 10), 1u);
  EXPECT_EQ(queue.Add("b", 3, 11), 1u);
  EXPECT_EQ(queue.items(), 2u);
  EXPECT_EQ(Next(queue), Turn("a", {0, 1}));
}

// Else workers would hold, in all, any amount.
TEST(FairQueue, WhatIsInHandCountsUntilItIsDone) {
  Queue queue(10);
  queue.Add("a", 1, 10);
  EXPECT_EQ(Next(queue), Turn("a", {1}));
  EXPECT_EQ(queue.items(), 1u);
  EXPECT_EQ(queue.Add("b", 2, 1), 1u);
  queue.Done("a");
  EXPECT_EQ(queue.items(), 0u);
  EXPECT_EQ(queue.Add("b", 2, 1), 0u);
  EXPECT_EQ(Next(queue), Turn("b", {2}));
}

}  // namespace
}  // namespace postern
