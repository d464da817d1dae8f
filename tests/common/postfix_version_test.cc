#include "common/postfix_version.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(PostfixVersion, ReadsReleasesAndSnapshots) {
  using Version = PostfixVersion;
  EXPECT_EQ(Version::Parse("3.10.4"), (Version{3, 10, 4}));
  EXPECT_EQ(Version::Parse("3.12-20260821"), (Version{3, 12, 0}));
  EXPECT_EQ(Version::Parse("3.11.0-RC1"), (Version{3, 11, 0}));
  for (const char* text : {"", "3", "3.x", "three.ten", "3.10.4000000000"})
    EXPECT_EQ(Version::Parse(text), std::nullopt) << text;
}

TEST(PostfixVersion, TenIsMoreThanNine) {
  EXPECT_GT((PostfixVersion{3, 10, 0}), (PostfixVersion{3, 9, 9}));
  EXPECT_GT((PostfixVersion{3, 11, 0}), kLeavesOurReportsOut);
}

}  // namespace
}  // namespace postern
