#include "common/tag_list.h"

#include <string>

#include <gtest/gtest.h>

namespace postern {
namespace {

// The fields as "name=value|name=value".
void Good(std::string_view in, std::string_view want) {
  const auto tags = ParseTagList(in);
  ASSERT_TRUE(tags) << in;
  std::string joined;
  for (const Tag& tag : *tags) {
    if (!joined.empty()) joined += '|';
    joined.append(tag.name).append("=").append(tag.value);
  }
  EXPECT_EQ(joined, want);
}

void Bad(std::string_view in, const char* why) {
  EXPECT_FALSE(ParseTagList(in)) << in << ": " << why;
}

TEST(TagList, SplitsFields) {
  Good("v=STSv1", "v=STSv1");
  Good("v=STSv1;id=1", "v=STSv1|id=1");
  Good("v=STSv1; id=1", "v=STSv1|id=1");
  Good("v=STSv1 \t;\t id=1", "v=STSv1|id=1");
  Good("v=TLSRPTv1; rua=mailto:a@b.example,https://c.example/",
       "v=TLSRPTv1|rua=mailto:a@b.example,https://c.example/");
}

TEST(TagList, TakesOneTrailingDelimiter) {
  Good("v=STSv1; id=1;", "v=STSv1|id=1");
  Good("v=STSv1; id=1 ; ", "v=STSv1|id=1");
  Bad("v=STSv1; id=1;;", "two delimiters");
}

TEST(TagList, LeavesTheValueToTheCaller) {
  Good("a=b=c", "a=b=c");
  Good("a= b", "a= b");
  Good("a=\x01\xff", "a=\x01\xff");
}

TEST(TagList, KeepsRepeatsInOrder) { Good("a=1;a=2", "a=1|a=2"); }

TEST(TagList, ChecksNames) {
  Good("a_b-c.9=1", "a_b-c.9=1");
  Good("9=1", "9=1");
  Good(std::string(32, 'n') + "=1", std::string(32, 'n') + "=1");
  Bad(std::string(33, 'n') + "=1", "33 bytes");
  Bad("=1", "no name");
  Bad("_a=1", "begins with _");
  Bad("-a=1", "begins with -");
  Bad("a b=1", "blank inside");
  Bad("a =1", "blank before =");
  Bad("\xc3\xa4=1", "not ASCII");
}

TEST(TagList, RefusesBrokenLists) {
  Bad("", "no field");
  Bad(" ", "no field");
  Bad(";", "empty field");
  Bad(";a=1", "empty field");
  Bad("a=1;;b=2", "empty field");
  Bad("a=1; ;b=2", "empty field");
  Bad("a", "no =");
  Bad("a=1;b", "no =");
  Bad("a=", "no value");
  Bad("a=1;b=;", "no value");
}

TEST(HasVersion, WantsTheFieldAndItsDelimiterFirst) {
  const auto has = [](std::string_view record) {
    return HasVersion(record, "v=STSv1");
  };
  EXPECT_TRUE(has("v=STSv1;"));
  EXPECT_TRUE(has("v=STSv1; id=1"));
  EXPECT_TRUE(has("v=STSv1 \t; id=1"));
  EXPECT_FALSE(has("v=STSv10; id=1"));
  EXPECT_FALSE(has("v=STSv1"));
  EXPECT_FALSE(has("v=STSv1 id=1"));
  EXPECT_FALSE(has("V=STSv1; id=1"));
  EXPECT_FALSE(has("v=stsv1; id=1"));
  EXPECT_FALSE(has("v = STSv1; id=1"));
  EXPECT_FALSE(has(" v=STSv1; id=1"));
  EXPECT_FALSE(has("id=1; v=STSv1;"));
  EXPECT_FALSE(has(""));
}

}  // namespace
}  // namespace postern
