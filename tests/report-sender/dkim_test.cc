// What is signed, and by which keys. That others can verify it is what
// tests/report-sender/check-report-mail shows.
#include "report-sender/dkim.h"

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "report-sender/gzip.h"
#include "report-sender/report_json.h"
#include "report-sender/report_mail.h"
#include "report-sender/report_text.h"
#include "tests/report-sender/lines.h"

namespace postern {
namespace {

std::string PemOf(EVP_PKEY* key, const char* passphrase = nullptr) {
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(
      bio, key, passphrase ? EVP_aes_128_cbc() : nullptr, passphrase,
      passphrase ? 6 : 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  const std::string pem(data, static_cast<size_t>(size));
  BIO_free(bio);
  EVP_PKEY_free(key);
  return pem;
}

std::string RsaPem(size_t bits = 2048) {
  return PemOf(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", bits));
}

std::string Ed25519Pem() {
  return PemOf(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
}

DkimSigner SignerOf(const std::string& pem, const std::string& selector) {
  auto key = DkimKey::FromPem(pem);
  EXPECT_TRUE(key);
  return {"example.org", selector, std::move(*key)};
}

void Refused(const std::string& pem, const std::string& why) {
  const auto key = DkimKey::FromPem(pem);
  ASSERT_FALSE(key) << why;
  EXPECT_EQ(key.error().message, why);
}

// Where POSTERN_MAILS names a folder, the mail is put there, and what DNS has
// of its signers.
std::string Signed(const std::string& message,
                   const std::vector<DkimSigner>& signers,
                   const std::string& name) {
  const auto mail = DkimSign(message, signers, kNow);
  EXPECT_TRUE(mail);
  if (const char* folder = std::getenv("POSTERN_MAILS")) {
    const std::string path = folder + ("/" + name);
    std::ofstream(path + ".eml", std::ios::binary) << *mail;
    std::ofstream dns(path + ".dns");
    for (const DkimSigner& one : signers)
      dns << one.selector << "._domainkey." << one.domain << ".\t"
          << one.key.DnsRecord() << "\n";
  }
  return *mail;
}

std::string ReportMessage(const Submitter& submitter) {
  DayTotals day;
  day.AddLine(LineOf(StsSuccess()));
  for (int i = 0; i < 50; ++i)
    day.AddLine(LineOf(DaneFailure("example.com", std::to_string(i))));
  const DomainTotals totals = *day.Of("example.com");
  return FormatReportMail({.domain = "example.com",
                           .day = kDay,
                           .sender = "tls@example.org",
                           .recipient = "reports@example.com",
                           .date = kNow + std::chrono::hours(12),
                           .text = ReportText(totals, kDay, submitter),
                           .gzip = Gzip(ReportJson(totals, kDay, submitter))},
                          submitter);
}

// --- RFC 6376 section 3.4.5.

TEST(Dkim, HeadersAreRelaxed) {
  EXPECT_EQ(RelaxedField("A: X"), "a:X\r\n");
  EXPECT_EQ(RelaxedField("B : Y\t\n\tZ  "), "b:Y Z\r\n");
  EXPECT_EQ(RelaxedField("Empty:"), "empty:\r\n");
  EXPECT_EQ(RelaxedField("C:a:b"), "c:a:b\r\n");
}

TEST(Dkim, TheBodyIsRelaxed) {
  EXPECT_EQ(RelaxedBody(" C \nD \t E\n\n\n"), " C\r\nD E\r\n");
  EXPECT_EQ(RelaxedBody("a\n\n\nb"), "a\r\n\r\n\r\nb\r\n");
  EXPECT_EQ(RelaxedBody("\n \n\t\n"), "");
  EXPECT_EQ(RelaxedBody(""), "");
}

// --- Keys.

TEST(DkimKey, IsRsaOrEd25519) {
  const auto rsa = DkimKey::FromPem(RsaPem());
  ASSERT_TRUE(rsa);
  EXPECT_STREQ(rsa->algorithm(), "rsa-sha256");
  EXPECT_EQ(rsa->DnsRecord().find("v=DKIM1; k=rsa; s=tlsrpt; p=MIIB"), 0u);
  const auto ed25519 = DkimKey::FromPem(Ed25519Pem());
  ASSERT_TRUE(ed25519);
  EXPECT_STREQ(ed25519->algorithm(), "ed25519-sha256");
  EXPECT_EQ(ed25519->DnsRecord().size(),
            std::string("v=DKIM1; k=ed25519; s=tlsrpt; p=").size() + 44);
}

// RFC 8463 appendix A.
TEST(DkimKey, OfRfc8463HasItsRecord) {
  const auto key = DkimKey::FromPem(
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
      "-----END PRIVATE KEY-----\n");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->DnsRecord(),
            "v=DKIM1; k=ed25519; s=tlsrpt; "
            "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}

TEST(DkimKey, OthersAreRefused) {
  const std::string no_key = "it is no private key in PEM without a passphrase";
  Refused("", no_key);
  Refused("secret", no_key);
  Refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
          no_key);
  Refused(PemOf(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), "secret"),
          no_key);
  Refused(RsaPem(512), "an RSA key of less than 1024 bits is worth nothing");
  Refused(PemOf(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")),
          "it is neither an RSA nor an Ed25519 key");
}

// --- Signatures.

TEST(DkimSign, SignsEveryFieldAndWhatSpeaksForTheReportTwice) {
  std::vector<DkimSigner> signers;
  signers.push_back(SignerOf(Ed25519Pem(), "ed"));
  const std::string message = ReportMessage(ExampleOrg());
  const std::string mail = Signed(message, signers, "ed25519");
  EXPECT_EQ(mail.find("DKIM-Signature: v=1; a=ed25519-sha256; "
                      "c=relaxed/relaxed; d=example.org;\n s=ed; "
                      "t=1795352707;\n h=from:to:date:subject:message-id:"
                      "auto-submitted:tls-required:tls-report-domain:"
                      "tls-report-submitter:mime-version:content-type:"
                      "from:tls-report-domain:tls-report-submitter;\n bh="),
            0u)
      << mail;
  EXPECT_TRUE(mail.ends_with("\n" + message));
  EXPECT_EQ(mail.find(" l="), std::string::npos);
}

TEST(DkimSign, SignsWithEachKey) {
  std::vector<DkimSigner> signers;
  signers.push_back(SignerOf(RsaPem(), "rsa"));
  signers.push_back(SignerOf(Ed25519Pem(), "ed"));
  Submitter submitter = ExampleOrg();
  submitter.organization_name =
      "Gr\xc3\xbc\xc3\x9f"
      "e \xf0\x9f\x93\xa7";
  const std::string mail = Signed(ReportMessage(submitter), signers, "both");
  EXPECT_EQ(mail.find("DKIM-Signature: v=1; a=rsa-sha256;"), 0u);
  EXPECT_NE(mail.find("\nDKIM-Signature: v=1; a=ed25519-sha256;"),
            std::string::npos);
}

TEST(DkimSign, TheSameIsSignedTheSameWay) {
  std::vector<DkimSigner> signers;
  signers.push_back(SignerOf(RsaPem(), "rsa"));
  const std::string message = ReportMessage(ExampleOrg());
  const std::string mail = Signed(message, signers, "rsa");
  EXPECT_EQ(Signed(message, signers, "rsa"), mail);
}

TEST(DkimSign, BlanksInTheBodyDoNotMatter) {
  std::vector<DkimSigner> signers;
  signers.push_back(SignerOf(Ed25519Pem(), "ed"));
  Signed(
      "From: a@example.org\nSubject:  two   blanks \n\t and a fold\n\n"
      "text  \t of blanks \n\n .\n\n\n",
      signers, "blanks");
  Signed("From: a@example.org\n\n", signers, "empty");
}

TEST(DkimSign, WithoutKeysTheMessageStaysAsItIs) {
  const auto mail = DkimSign("From: a@example.org\n\nb\n", {}, kNow);
  ASSERT_TRUE(mail);
  EXPECT_EQ(*mail, "From: a@example.org\n\nb\n");
}

}  // namespace
}  // namespace postern
