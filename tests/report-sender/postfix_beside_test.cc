#include "report-sender/postfix_beside.h"

#include <fstream>

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

TEST(PostfixList, KeepsBracesTogether) {
  EXPECT_EQ(PostfixList("a, b\tc\nhash:/d inline:{ {e=f}, g=h },i"),
            (std::vector<std::string>{"a", "b", "c", "hash:/d",
                                      "inline:{ {e=f}, g=h }", "i"}));
  EXPECT_TRUE(PostfixList(" , ").empty());
}

// A Postfix of shell: settings are files, tables are files of "key value".
class PostfixBesideTest : public testing::Test {
 protected:
  PostfixBesideTest() {
    Program("postconf",
            "case \"$*\" in\n"
            "'-d -h mail_version') echo 3.7.11;;\n"
            "'-x -h '*) cat \"$d/$3\" 2>/dev/null || echo;;\n"
            "'-P '*) echo \"$2 = \";;\n"
            "esac");
    Program("postmap",
            "f=\"$d/${3#hash:}\"; [ -e \"$f\" ] || { echo no file >&2; exit 1; "
            "}\n"
            "v=$(grep \"^$2 \" \"$f\") || exit 1; echo \"${v#* }\"");
  }
  void Program(const std::string& name, const std::string& script) {
    const std::string path = folder.PathOf(name);
    std::ofstream(path) << "#!/bin/sh\nd=" << folder.path() << "\n"
                        << script << "\n";
    chmod(path.c_str(), 0755);
  }
  void Set(const std::string& file, const std::string& text) {
    std::ofstream(folder.PathOf(file)) << text << "\n";
  }
  PostfixBeside postfix() { return PostfixBeside(folder.PathOf("sendmail")); }

  const TemporaryFolder folder;
};

TEST_F(PostfixBesideTest, TablesAreAsked) {
  Set("virtual", "a.example x");
  EXPECT_TRUE(*postfix().Has("hash:virtual", "a.example"));
  EXPECT_TRUE(*postfix().Has("proxy:hash:virtual", "a.example"));
  EXPECT_FALSE(*postfix().Has("hash:virtual", "b.example"));
  EXPECT_FALSE(postfix().Has("hash:none", "a.example"));
}

TEST_F(PostfixBesideTest, ATransportWithoutPoliciesIsFound) {
  EXPECT_FALSE(postfix().AsksNoPolicyFor("tls@example.org"));
  Set("sender_dependent_default_transport_maps", "hash:none hash:transports");
  Set("transports", "tls@example.org postern-reports:");
  EXPECT_TRUE(postfix().AsksNoPolicyFor("tls@example.org"));
  EXPECT_FALSE(postfix().AsksNoPolicyFor("other@example.org"));
}

TEST_F(PostfixBesideTest, WhatRewritesTheSenderIsNamed) {
  struct {
    const char* parameter;
    const char* value;
    bool rewrites;
  } const table[] = {
      {"masquerade_domains", "example.org", true},
      {"masquerade_domains", "other.example, EXAMPLE.ORG", true},
      {"masquerade_domains", "mail.example.org example.org", false},
      {"masquerade_domains", "!mail.example.org example.org", false},
      {"masquerade_domains", "ample.org", false},
      {"canonical_maps", "hash:address", true},
      {"canonical_maps", "hash:none, hash:address", true},
      {"sender_canonical_maps", "hash:domain", true},
      {"smtp_generic_maps", "hash:domain", true},
      {"smtp_generic_maps", "hash:same", false},
      {"smtp_generic_maps", "hash:others", false},
      {"recipient_canonical_maps", "hash:address", false},
  };
  Set("address", "tls@mail.example.org tls@example.org");
  Set("domain", "@mail.example.org @example.org");
  Set("same", "tls@mail.example.org tls@mail.example.org");
  Set("others", "root@mail.example.org x@example.org");
  for (const auto& [parameter, value, rewrites] : table) {
    Set(parameter, value);
    const auto found = postfix().RewritersOf("tls@mail.example.org");
    EXPECT_EQ(found, rewrites ? std::vector<std::string>{parameter}
                              : std::vector<std::string>())
        << parameter << " = " << value;
    Set(parameter, "");
  }
  Set("masquerade_domains", "example.org");
  Set("masquerade_exceptions", "root tls");
  EXPECT_TRUE(postfix().RewritersOf("tls@mail.example.org").empty());
}

}  // namespace
}  // namespace postern
