#include "report-sender/dkim_record.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

// RFC 8463 appendix A.
constexpr char kPem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
const std::string kPublic = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const std::string kEd25519 = "v=DKIM1; k=ed25519; ";

std::string ProblemOf(const std::vector<std::string>& records) {
  const auto key = DkimKey::FromPem(kPem);
  EXPECT_TRUE(key);
  return DkimRecordProblem(records, *key);
}

void Good(const std::string& record) {
  EXPECT_EQ(ProblemOf({record}), "") << record;
}

void Bad(const std::string& record, const std::string& problem) {
  EXPECT_EQ(ProblemOf({record}), problem) << record;
}

TEST(DkimRecord, IsGoodAsWeSuggestIt) {
  Good(DkimKey::FromPem(kPem)->DnsRecord());
}

TEST(DkimRecord, MayBeWrittenInManyWays) {
  Good(kEd25519 + "p=" + kPublic);
  Good("k=ed25519;p=" + kPublic);  // v= is optional
  Good("v=DKIM1;k=ed25519;p=" + kPublic + ";");
  Good(" v = DKIM1 ; k = ed25519 ; p = " + kPublic + " ; ");
  Good("p=" + kPublic + "; k=ed25519; n=a note; t=s; x=unknown");
}

TEST(DkimRecord, MayHaveBlanksInTheKey) {
  Good(kEd25519 + "p=11qYAYKxCrfVS/7T yWQHOg7h\t cvPapiMl\r\n rwIaaPcHURo =");
}

TEST(DkimRecord, HasToBeThere) {
  EXPECT_EQ(ProblemOf({}), "there is no such record");
}

TEST(DkimRecord, IsOneOnly) {
  const std::string good = kEd25519 + "p=" + kPublic;
  EXPECT_EQ(ProblemOf({good, good}),
            "there are several records instead of one");
  EXPECT_EQ(ProblemOf({good, "v=spf1 -all"}),
            "there are several records instead of one");
}

TEST(DkimRecord, IsOfVersion1) {
  Bad("v=DKIM2; k=ed25519; p=" + kPublic, "it is no DKIM1 record");
  Bad("v=spf1 -all", "it is no DKIM1 record");
}

TEST(DkimRecord, MayBeRevoked) {
  const std::string revoked = "the key is revoked (p= is empty)";
  Bad(kEd25519 + "p=", revoked);
  Bad(kEd25519 + "p= ;", revoked);
  Bad("v=DKIM1; k=ed25519", revoked);
  Bad("", revoked);
  Bad("some text", revoked);
}

TEST(DkimRecord, IsOfOurKey) {
  const std::string other = "it is the public half of another key (p=)";
  Bad(kEd25519 + "p=AAAYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", other);
  Bad(kEd25519 + "p=" + kPublic.substr(0, 20), other);
  // Base64 has two cases.
  Bad(kEd25519 + "p=11QYAYKXCRFVS/7TYWQHOG7HCVPAPIMLRWIAAPCHURO=", other);
}

TEST(DkimRecord, IsOfOurKindOfKey) {
  const std::string kind = "it is a key of another kind (k=)";
  Bad("v=DKIM1; p=" + kPublic, kind);  // rsa where it does not say
  Bad("v=DKIM1; k=rsa; p=" + kPublic, kind);
}

TEST(DkimRecord, AllowsTheServiceTlsrpt) {
  Good(kEd25519 + "s=tlsrpt; p=" + kPublic);
  Good(kEd25519 + "s=*; p=" + kPublic);
  Good(kEd25519 + "s=email:tlsrpt; p=" + kPublic);
  Good(kEd25519 + "s=email : * ; p=" + kPublic);
  const std::string service = "it does not allow the service tlsrpt (s=)";
  Bad(kEd25519 + "s=email; p=" + kPublic, service);
  Bad(kEd25519 + "s=tlsrptx:email; p=" + kPublic, service);
}

TEST(DkimRecord, AllowsSha256) {
  Good(kEd25519 + "h=sha256; p=" + kPublic);
  Good(kEd25519 + "h=sha1 : sha256; p=" + kPublic);
  Bad(kEd25519 + "h=sha1; p=" + kPublic, "it does not allow sha256 (h=)");
  // Only services have it (RFC 6376 section 3.6.1).
  Bad(kEd25519 + "h=*; p=" + kPublic, "it does not allow sha256 (h=)");
}

}  // namespace
}  // namespace postern
