#include "report-sender/report_id.h"

#include <set>

#include <gtest/gtest.h>

#include "common/text.h"

#include "tests/report-sender/lines.h"

namespace postern {
namespace {

TEST(ReportId, IsTheSameEachTime) {
  EXPECT_EQ(ReportId(kDay, "example.com", ExampleOrg()),
            "9a832f903c9a370b54d511bfadda32a0@example.org");
  EXPECT_EQ(ReportId(kDay, "example.com", ExampleOrg()),
            ReportId(kDay, "example.com", ExampleOrg()));
}

TEST(ReportId, DiffersWhereTheReportDoes) {
  std::set<std::string> ids;
  ids.insert(ReportId(kDay, "example.com", ExampleOrg()));
  ids.insert(
      ReportId(kDay + std::chrono::days(1), "example.com", ExampleOrg()));
  ids.insert(ReportId(kDay, "example.net", ExampleOrg()));
  Submitter other = ExampleOrg();
  other.domain = "mail.example.org";
  ids.insert(ReportId(kDay, "example.com", other));
  other = ExampleOrg();
  other.instance = "mx2.example.org";
  ids.insert(ReportId(kDay, "example.com", other));
  // What one has at its end, another at its start.
  other.instance = "gmx1.example.org";
  other.domain = "example.or";
  ids.insert(ReportId(kDay, "example.com", other));
  EXPECT_EQ(ids.size(), 6u);
}

TEST(ReportId, NamesOfPeopleAndOfOrganizationsDoNotMatter) {
  Submitter other = ExampleOrg();
  other.organization_name = "Renamed";
  other.contact_info = "postmaster@example.org";
  EXPECT_EQ(ReportId(kDay, "example.com", other),
            ReportId(kDay, "example.com", ExampleOrg()));
}

TEST(ReportId, IsADotAtomOnBothSides) {
  Submitter submitter = ExampleOrg();
  submitter.instance = "any: text \xff\n<@>";
  const std::string id = ReportId(kDay, "example.com", submitter);
  const size_t at = id.find('@');
  ASSERT_EQ(at, 32u);
  for (char c : id.substr(0, at)) EXPECT_TRUE(IsAsciiAlnum(c)) << id;
  EXPECT_EQ(id.substr(at + 1), "example.org");
}

TEST(ReportDay, EndsWithItsLastSecond) {
  EXPECT_EQ(FormatUtc(DayBegin(kDay)), "2026-11-22T00:00:00Z");
  EXPECT_EQ(FormatUtc(DayEnd(kDay)), "2026-11-22T23:59:59Z");
}

TEST(ReportFileName, IsOfRfc8460) {
  EXPECT_EQ(ReportFileName(kDay, "example.com", ExampleOrg()),
            "example.org!example.com!1795305600!1795391999!mx1exampleorg"
            ".json.gz");
  Submitter other = ExampleOrg();
  other.instance = "../../..";
  EXPECT_EQ(ReportFileName(kDay, "example.com", other),
            "example.org!example.com!1795305600!1795391999.json.gz");
  other.instance.assign(1000, 'a');
  EXPECT_EQ(ReportFileName(kDay, "example.com", other),
            "example.org!example.com!1795305600!1795391999!" +
                std::string(32, 'a') + ".json.gz");
}

}  // namespace
}  // namespace postern
