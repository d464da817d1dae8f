#include "policy-daemon/held_mail.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using std::chrono::hours;

TEST(HeldMail, ADomainIsHeldOnceADay) {
  HeldMail held;
  const SteadyTime start{};
  EXPECT_FALSE(held.Has("example.com", start));
  EXPECT_EQ(held.Note("example.com", start), start);
  EXPECT_EQ(held.Note("example.com", start + hours(23)), start);
  EXPECT_TRUE(held.Has("example.com", start + hours(23)));
  EXPECT_FALSE(held.Has("example.com", start + hours(24)));
  EXPECT_EQ(held.Note("example.com", start + hours(24)), start + hours(24));
  EXPECT_EQ(held.size(), 1u);
}

TEST(HeldMail, OfTooManyTheOldestGoFirst) {
  HeldMail held;
  const SteadyTime now{};
  for (size_t i = 0; i < HeldMail::kMaxNotes + 10; ++i)
    held.Note(std::to_string(i), now);
  EXPECT_EQ(held.size(), HeldMail::kMaxNotes);
  EXPECT_FALSE(held.Has("9", now));
  EXPECT_TRUE(held.Has("10", now));
  EXPECT_TRUE(held.Has(std::to_string(HeldMail::kMaxNotes + 9), now));
}

}  // namespace
}  // namespace postern
