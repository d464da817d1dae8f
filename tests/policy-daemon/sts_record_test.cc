#include "policy-daemon/sts_record.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using State = StsRecord::State;

void Good(std::vector<std::string> records, std::string_view id) {
  const auto parsed = ParseStsRecords(records);
  EXPECT_EQ(parsed.state, State::kValid) << parsed.problem;
  EXPECT_EQ(parsed.id, id);
}

void Bad(std::vector<std::string> records, std::string_view problem) {
  const auto parsed = ParseStsRecords(records);
  EXPECT_EQ(parsed.state, State::kInvalid);
  EXPECT_EQ(parsed.problem, problem);
  EXPECT_EQ(parsed.id, "");
}

void Absent(std::vector<std::string> records, const char* why) {
  EXPECT_EQ(ParseStsRecords(records).state, State::kAbsent) << why;
}

TEST(StsRecord, HasAnId) {
  Good({"v=STSv1; id=20160831085700Z;"}, "20160831085700Z");
  Good({"v=STSv1;id=1"}, "1");
  Good({"v=STSv1 ; id=1 ;"}, "1");
  Good({"v=STSv1;\tid=1"}, "1");
  Good({"v=STSv1; id=" + std::string(32, 'a')}, std::string(32, 'a'));
  Good({"v=STSv1; id=aZ09"}, "aZ09");
}

TEST(StsRecord, MayHaveOtherFieldsAnywhere) {
  Good({"v=STSv1; foo=bar; id=1"}, "1");
  Good({"v=STSv1; id=1; a.b-c_d=!#$%&'()*+,-./:<>?@[]^_`{|}~;"}, "1");
  Bad({"v=STSv1; id=1; foo=a b"}, "field 'foo' has a bad value");
  Bad({"v=STSv1; id=1; foo=a=b"}, "field 'foo' has a bad value");
  Bad({"v=STSv1; id=1; foo=\xc3\xa4"}, "field 'foo' has a bad value");
  Bad({"v=STSv1; id=1; foo=\x7f"}, "field 'foo' has a bad value");
}

TEST(StsRecord, CountsTheFirstOfRepeatedIds) {
  // RFC 8461 section 3.2.
  Good({"v=STSv1; id=1; id=2;"}, "1");
  Good({"v=STSv1; id=1; id=not-an-id;"}, "1");
  Bad({"v=STSv1; id=not-an-id; id=1;"},
      "the id is not 1 to 32 letters and digits");
}

TEST(StsRecord, ChecksTheId) {
  const char* const kNoId = "the id is not 1 to 32 letters and digits";
  Bad({"v=STSv1; id=" + std::string(33, 'a')}, kNoId);
  Bad({"v=STSv1; id=a-b"}, kNoId);
  Bad({"v=STSv1; id=a b"}, kNoId);
  Bad({"v=STSv1; id=\"1\""}, kNoId);
  Bad({"v=STSv1; id=\xc3\xa4"}, kNoId);
  Bad({"v=STSv1; ID=1"}, "the record has no id");
  Bad({"v=STSv1;"}, "the record has no id");
  Bad({"v=STSv1; foo=bar"}, "the record has no id");
}

TEST(StsRecord, IsAListOfFields) {
  const char* const kNoList = "the record is not a list of name=value fields";
  Bad({"v=STSv1; id="}, kNoList);
  Bad({"v=STSv1; id"}, kNoList);
  Bad({"v=STSv1;; id=1"}, kNoList);
  Bad({"v=STSv1; id=1;;"}, kNoList);
  Bad({"v=STSv1; id=1; =x"}, kNoList);
  Bad({"v=STSv1; id =1"}, kNoList);
  Bad({"v=STSv1; id=1; _foo=bar"}, kNoList);
  Bad({std::string("v=STSv1; id=1\0;", 15)},
      "the id is not 1 to 32 letters and digits");
}

TEST(StsRecord, IsChosenByItsVersion) {
  Absent({}, "no TXT at all");
  Absent({""}, "empty");
  Absent({"v=spf1 -all"}, "another kind");
  Absent({"v=STSv10; id=1"}, "another version");
  Absent({"v=STSv2; id=1"}, "another version");
  Absent({"v=stsv1; id=1"}, "case-sensitive");
  Absent({"id=1; v=STSv1"}, "the version is not first");
  Absent({" v=STSv1; id=1"}, "a blank before");
  Absent({"v=STSv1"}, "no delimiter");
  Absent({"v=STSv1 id=1"}, "no delimiter");
  Good({"v=spf1 -all", "v=STSv1; id=1", "v=STSv10; id=2", ""}, "1");
}

TEST(StsRecord, IsOneOnly) {
  Bad({"v=STSv1; id=1", "v=STSv1; id=1"},
      "there are 2 MTA-STS records instead of one");
  Bad({"v=STSv1; id=1", "v=STSv1;", "v=STSv1; id=2"},
      "there are 3 MTA-STS records instead of one");
}

}  // namespace
}  // namespace postern
