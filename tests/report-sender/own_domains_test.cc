#include "report-sender/own_domains.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

class OwnDomainsTest : public testing::Test {
 protected:
  OwnDomains Make() {
    return OwnDomains([this](const std::string& table, const std::string& key) {
      asked.push_back(table + " " + key);
      if (table == "mysql:/broken") return Result<bool>(Error{"no server"});
      return Result<bool>(table == "hash:/virtual" && key == "virtual.example");
    });
  }
  std::vector<std::string> asked;
};

TEST_F(OwnDomainsTest, AreThoseOfTheListsAndWhatIsBelow) {
  OwnDomains own = Make();
  own.Add("example.org");
  own.AddList("mx1.example.net, localhost.example.net localhost\t$nonsense");
  own.AddList("");
  own.AddList("Other.Example,!lists.other.example");
  const std::pair<const char*, bool> table[] = {{"example.org", true},
                                                {"lists.example.org", true},
                                                {"a.b.example.org", true},
                                                {"notexample.org", false},
                                                {"org", false},
                                                {"mx1.example.net", true},
                                                {"example.net", false},
                                                {"localhost", true},
                                                {"other.example", true},
                                                {"example.com", false},
                                                {"example.org.example", false}};
  for (const auto& [domain, is_ours] : table)
    EXPECT_EQ(own.Has(domain), is_ours) << domain;
}

TEST_F(OwnDomainsTest, TablesAreAskedOnceAName) {
  OwnDomains own = Make();
  own.AddList("example.org, hash:/virtual inline:{ {a = b}, c=d }");
  EXPECT_TRUE(own.Has("lists.virtual.example"));
  const std::vector<std::string> first = {
      "hash:/virtual lists.virtual.example",
      "inline:{ {a = b}, c=d } lists.virtual.example",
      "hash:/virtual virtual.example"};
  EXPECT_EQ(asked, first);
  EXPECT_TRUE(own.Has("lists.virtual.example"));
  EXPECT_EQ(asked, first);
}

TEST_F(OwnDomainsTest, ATableThatFailsIsNotAskedAgain) {
  OwnDomains own = Make();
  own.AddList("mysql:/broken hash:/virtual");
  EXPECT_FALSE(own.Has("a.example"));
  EXPECT_TRUE(own.Has("virtual.example"));
  EXPECT_EQ(std::count_if(asked.begin(), asked.end(),
                          [](const std::string& one) {
                            return one.starts_with("mysql:");
                          }),
            1);
}

}  // namespace
}  // namespace postern
