#include "report-sender/suppressions.h"

#include <gtest/gtest.h>

#include "tests/report-sender/lines.h"
#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

Suppressions Of(const std::string& text) {
  const auto parsed = Suppressions::Parse(text, "file");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? *parsed : Suppressions();
}

bool HasDomain(const std::string& text, const std::string& domain) {
  return Of(text).HasDomain(domain, kDay);
}

// `uri`: "mailto:..." or "https://...".
bool HasUri(const std::string& text, const std::string& uri, Day today = kDay) {
  const auto destination = ParseDestination(uri);
  EXPECT_TRUE(destination) << uri;
  return Of(text).HasDestination(*destination, today);
}

TEST(Suppressions, OfADomainMeansReportsAboutIt) {
  EXPECT_TRUE(HasDomain("example.com", "example.com"));
  EXPECT_FALSE(HasDomain("example.com", "a.example.com"));
  EXPECT_FALSE(HasDomain("a.example.com", "example.com"));
  EXPECT_FALSE(HasUri("example.com", "mailto:a@example.com"));
  EXPECT_FALSE(HasUri("example.com", "https://example.com/"));
}

TEST(Suppressions, OfAnAddressMeansThatAddressAlone) {
  const std::string text = "reports@example.net";
  EXPECT_TRUE(HasUri(text, "mailto:reports@example.net"));
  EXPECT_FALSE(HasUri(text, "mailto:other@example.net"));
  EXPECT_FALSE(HasUri(text, "mailto:reports@a.example.net"));
  EXPECT_FALSE(HasUri(text, "https://example.net/"));
  EXPECT_FALSE(HasDomain(text, "example.net"));
}

TEST(Suppressions, OfAnAtAndADomainMeanWhateverGoesThere) {
  const std::string text = "@example.org";
  EXPECT_TRUE(HasUri(text, "mailto:a@example.org"));
  EXPECT_TRUE(HasUri(text, "mailto:b@example.org"));
  EXPECT_TRUE(HasUri(text, "https://example.org/v1"));
  EXPECT_TRUE(HasUri(text, "https://example.org:8443/v1?a=b"));
  EXPECT_FALSE(HasUri(text, "mailto:a@b.example.org"));
  EXPECT_FALSE(HasUri(text, "https://www.example.org/"));
  EXPECT_FALSE(HasDomain(text, "example.org"));
}

TEST(Suppressions, IgnoreCaseAndTheFinalDot) {
  EXPECT_TRUE(HasDomain("EXAMPLE.com.", "example.com"));
  EXPECT_TRUE(HasUri("Reports@Example.NET", "mailto:REPORTS@example.net"));
  EXPECT_TRUE(HasUri("@EXAMPLE.org", "mailto:A@Example.Org"));
}

TEST(Suppressions, TakeNamesOfAnyScript) {
  EXPECT_TRUE(
      HasDomain("b\xc3\xbc"
                "cher.example",
                "xn--bcher-kva.example"));
  EXPECT_TRUE(
      HasUri("@b\xc3\xbc"
             "cher.example",
             "mailto:a@xn--bcher-kva.example"));
}

TEST(Suppressions, HoldToTheEndOfTheirLastDay) {
  const std::string text = "a@example.com until 2026-11-22\n";
  const std::chrono::days day(1);
  EXPECT_TRUE(HasUri(text, "mailto:a@example.com", kDay - 400 * day));
  EXPECT_TRUE(HasUri(text, "mailto:a@example.com", kDay));
  EXPECT_FALSE(HasUri(text, "mailto:a@example.com", kDay + day));
  const Suppressions domain = Of("example.com until 2026-11-22");
  EXPECT_TRUE(domain.HasDomain("example.com", kDay));
  EXPECT_FALSE(domain.HasDomain("example.com", kDay + day));
}

TEST(Suppressions, OfSeveralLinesTheLongestHolds) {
  for (const char* text :
       {"a@example.com until 2020-01-01\na@example.com until 2030-01-01\n",
        "a@example.com until 2030-01-01\na@example.com until 2020-01-01\n",
        "a@example.com\na@example.com until 2020-01-01\n"}) {
    EXPECT_TRUE(HasUri(text, "mailto:a@example.com")) << text;
    EXPECT_EQ(Of(text).size(), 1u);
  }
}

TEST(Suppressions, MayHaveCommentsBlanksAndEmptyLines) {
  const std::string text =
      "# one a line\r\n"
      "\r\n"
      "  \t example.com \t # a comment\r\n"
      "a@example.net\tuntil   2030-01-31# another\n"
      "   #example.org\n"
      "\n"
      "@example.org";  // no end of line
  EXPECT_EQ(Of(text).size(), 3u);
  EXPECT_TRUE(HasDomain(text, "example.com"));
  EXPECT_TRUE(HasUri(text, "mailto:a@example.net"));
  EXPECT_TRUE(HasUri(text, "mailto:x@example.org"));
}

TEST(Suppressions, MayBeNone) {
  for (const char* text : {"", "\n\n", "# nothing", " "})
    EXPECT_EQ(Of(text).size(), 0u) << text;
}

TEST(Suppressions, ABadLineIsNamed) {
  const std::string neither = "is neither a domain nor an address";
  const std::string until =
      "expected nothing more, or 'until' and a day such as 2027-01-31";
  const std::pair<std::string, std::string> table[] = {
      {"192.0.2.1", "'192.0.2.1' " + neither},
      {"exa mple.com", until},
      {"a@", "'a@' " + neither},
      {"@", "'@' " + neither},
      {"a@-example.com", "'a@-example.com' " + neither},
      {"https://example.com/", "'https://example.com/' " + neither},
      {"\x1b[2J", "'\\x1b[2J' " + neither},
      {"a..b", "'a..b' " + neither},
      {"@@example.com", "'@@example.com' " + neither},
      {"@a@example.com", "'@a@example.com' " + neither},
      {"example.com until", until},
      {"example.com till 2027-01-31", until},
      {"example.com 2027-01-31", until},
      {"example.com until 2027-02-31", until},
      {"example.com until 31.01.2027", until},
      {"example.com until 2027-01-31 please", until},
      {"example.com, example.org", "'example.com,' " + neither},
  };
  for (const auto& [line, problem] : table) {
    const auto parsed =
        Suppressions::Parse("ok.example\n\n" + line + "\n", "a/file");
    ASSERT_FALSE(parsed) << line;
    EXPECT_EQ(parsed.error().message, "a/file:3: " + problem);
  }
}

// --- the file

TEST(LoadSuppressions, WithoutAFileThereAreNone) {
  const auto loaded = LoadSuppressions("");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->size(), 0u);
}

TEST(LoadSuppressions, ReadsTheFile) {
  const TemporaryFolder folder;
  const auto loaded =
      LoadSuppressions(folder.Write("suppress", "example.com\n@example.org\n"));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->size(), 2u);
  const auto empty = LoadSuppressions(folder.Write("empty", ""));
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->size(), 0u);
}

TEST(LoadSuppressions, ABadLineNamesTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("suppress", "@\n");
  const auto loaded = LoadSuppressions(path);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message,
            path + ":1: '@' is neither a domain nor an address");
}

TEST(LoadSuppressions, AFileThatIsNotThereIsAnError) {
  const auto loaded = LoadSuppressions("/not/there");
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message,
            "cannot read /not/there: No such file or directory; check "
            "report.suppress");
}

// It is no empty file: nobody would be suppressed.
TEST(LoadSuppressions, AFileThatCannotBeReadIsAnError) {
  const TemporaryFolder folder;
  const auto loaded = LoadSuppressions(folder.path());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message, "cannot read " + folder.path() +
                                        ": Is a directory; check "
                                        "report.suppress");
}

}  // namespace
}  // namespace postern
