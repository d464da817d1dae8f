// Whose a name is.
#include "common/public_suffix.h"

#include <string>

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(RegistrableDomainTest, IsThePublicSuffixAndOneLabel) {
  struct Case {
    const char* name;
    const char* owner;
  };
  for (const Case& c : {
           Case{"example.com", "example.com"},
           Case{"a.example.com", "example.com"},
           Case{"a.b.c.example.com", "example.com"},
           Case{"example.co.uk", "example.co.uk"},
           Case{"mail.example.co.uk", "example.co.uk"},
           // Strangers share it.
           Case{"one.github.io", "one.github.io"},
           Case{"a.two.github.io", "two.github.io"},
           // A rule with a wildcard, and its exception.
           Case{"a.b.c.ck", "b.c.ck"},
           Case{"a.www.ck", "www.ck"},
           // In A-labels: 公司.cn.
           Case{"a.b.xn--55qx5d.cn", "b.xn--55qx5d.cn"},
           // A top-level domain that the list does not know.
           Case{"a.b.test", "b.test"},
           Case{"x.corp.internal", "corp.internal"},
           // Nothing is left to register: its own owner.
           Case{"com", "com"},
           Case{"co.uk", "co.uk"},
           Case{"localhost", "localhost"},
           Case{"", ""},
       })
    EXPECT_EQ(RegistrableDomain(c.name), c.owner) << c.name;
}

TEST(RegistrableDomainTest, IsAPartOfTheName) {
  const std::string name = "a.example.com";
  EXPECT_EQ(RegistrableDomain(name).data(), name.data() + 2);
}

TEST(RegistrableDomainTest, AnyLengthIsTaken) {
  std::string name = "example.com";
  while (name.size() < 2000) name.insert(0, "a.");
  EXPECT_EQ(RegistrableDomain(name), "example.com");
}

TEST(PublicSuffixTest, IsANameBelowWhichStrangersRegister) {
  for (const char* name : {"com", "co.uk", "github.io", "c.ck", "unknown-tld"})
    EXPECT_TRUE(IsPublicSuffix(name)) << name;
  for (const char* name : {"example.com", "a.example.co.uk", "www.ck"})
    EXPECT_FALSE(IsPublicSuffix(name)) << name;
}

}  // namespace
}  // namespace postern
