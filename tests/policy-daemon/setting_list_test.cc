#include "policy-daemon/setting_list.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

bool IsX(std::string_view entry) { return entry == "x"; }

TEST(SettingList, EntriesAreSeparatedByCommasAndBlanks) {
  using Entries = std::vector<std::string_view>;
  EXPECT_EQ(EntriesOf(""), (Entries{}));
  EXPECT_EQ(EntriesOf(" , "), (Entries{}));
  EXPECT_EQ(EntriesOf("a,b  c\t,d "), (Entries{"a", "b", "c", "d"}));
}

TEST(SettingList, BracesHoldAnEntryTogether) {
  using Entries = std::vector<std::string_view>;
  EXPECT_EQ(EntriesOf("inline:{a=b, {c = d e}} { unix:x, y=z },f"),
            (Entries{"inline:{a=b, {c = d e}}", "{ unix:x, y=z }", "f"}));
  EXPECT_EQ(EntriesOf("{ never, closed"), (Entries{"{ never, closed"}));
  EXPECT_EQ(EntriesOf("a} b"), (Entries{"a}", "b"})) << "never opened";
}

TEST(SettingList, AnEntryGoesWithWhatSeparatedIt) {
  const std::pair<const char*, const char*> cases[] = {{"x", ""},
                                                       {"x, a", "a"},
                                                       {"a, x", "a"},
                                                       {"a,x b", "a,b"},
                                                       {"x, x, a, x", "a"},
                                                       {"a, b", "a, b"},
                                                       {"{x, x} x", "{x, x}"}};
  for (const auto& [before, after] : cases)
    EXPECT_EQ(Without(before, IsX), after) << before;
}

TEST(SettingList, OneEntryTakesThePlaceOfAll) {
  const std::pair<const char*, const char*> cases[] = {
      {"x", "N"}, {"a,x b", "a,N b"}, {"x, a, x", "N, a"}, {"a", "a"}};
  for (const auto& [before, after] : cases)
    EXPECT_EQ(Replaced(before, IsX, "N"), after) << before;
}

TEST(SettingList, EntriesComeLastOrFirst) {
  EXPECT_EQ(Appended("", "x"), "x");
  EXPECT_EQ(Appended("a b", "x"), "a b, x");
  EXPECT_EQ(Prepended(" ", "x"), "x");
  EXPECT_EQ(Prepended("a b", "x"), "x, a b");
}

}  // namespace
}  // namespace postern
