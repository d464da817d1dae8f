#include "report-sender/dkim.h"

#include <algorithm>
#include <array>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/text.h"

#include "report-sender/base64.h"

namespace postern {
namespace {

constexpr int kMinRsaBits = 1024;  // RFC 8301 section 3.2
constexpr size_t kSignatureLine = 72;
// RFC 6376 section 8.15: what is signed once more than it is there cannot be
// added.
constexpr std::array kTwice = {"from", "tls-report-domain",
                               "tls-report-submitter"};

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* Bytes(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

// No passphrase: OpenSSL would ask for it at the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

// "": OpenSSL failed.
std::string Sha256(std::string_view text) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), Bytes(digest), &size, EVP_sha256(),
                 nullptr) != 1)
    size = 0;
  digest.resize(size);
  return digest;
}

// The text's runs of blanks as one, and none at its end.
std::string Relaxed(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (!IsBlank(c))
      out += c;
    else if (!out.ends_with(' '))
      out += ' ';
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string_view TakeLine(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

struct Message {
  std::vector<std::string> fields;  // as they are, folded
  std::string_view body;
};

Message Divide(std::string_view text) {
  Message message;
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    if (line.empty()) break;
    if (IsBlank(line.front()) && !message.fields.empty())
      message.fields.back().append("\n").append(line);
    else
      message.fields.emplace_back(line);
  }
  message.body = text;
  return message;
}

std::string NameOf(std::string_view field) {
  return ToLowerAscii(TrimBlanks(field.substr(0, field.find(':'))));
}

// RFC 6376 section 3.5: the field without its signature.
std::string SignatureField(const DkimSigner& signer, const Message& message,
                           WallTime now) {
  std::string names;
  for (const std::string& field : message.fields) names += NameOf(field) + ":";
  for (const char* name : kTwice) names.append(name).push_back(':');
  names.pop_back();
  return std::string("DKIM-Signature: v=1; a=") + signer.key.algorithm() +
         "; c=relaxed/relaxed; d=" + signer.domain +
         ";\n s=" + signer.selector +
         "; t=" + std::to_string(now.time_since_epoch().count()) +
         ";\n h=" + names +
         ";\n bh=" + Base64(Sha256(RelaxedBody(message.body))) + ";\n b=";
}

std::string Folded(std::string_view base64) {
  std::string lines(base64.substr(0, kSignatureLine));
  for (size_t i = kSignatureLine; i < base64.size(); i += kSignatureLine)
    lines.append("\n ").append(base64.substr(i, kSignatureLine));
  return lines;
}

}  // namespace

void DkimKey::Free::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

bool DkimKey::IsRsa() const {
  return EVP_PKEY_get_base_id(key_.get()) == EVP_PKEY_RSA;
}

Result<DkimKey> DkimKey::FromPem(std::string_view pem) {
  const std::unique_ptr<BIO, FreeBio> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  DkimKey key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassphrase, nullptr));
  ERR_clear_error();
  if (!key.key_)
    return Error{"it is no private key in PEM without a passphrase"};
  if (key.IsRsa() && EVP_PKEY_get_bits(key.key_.get()) < kMinRsaBits)
    return Error{"an RSA key of less than 1024 bits is worth nothing"};
  if (!key.IsRsa() && EVP_PKEY_get_base_id(key.key_.get()) != EVP_PKEY_ED25519)
    return Error{"it is neither an RSA nor an Ed25519 key"};
  return key;
}

const char* DkimKey::algorithm() const {
  return IsRsa() ? "rsa-sha256" : "ed25519-sha256";
}

std::string DkimKey::DnsRecord() const {
  std::string bytes;
  if (IsRsa()) {
    bytes.resize(static_cast<size_t>(i2d_PUBKEY(key_.get(), nullptr)));
    unsigned char* out = Bytes(bytes);
    i2d_PUBKEY(key_.get(), &out);
  } else {
    // RFC 8463 section 4.2: the bare key.
    size_t size = 32;
    bytes.resize(size);
    EVP_PKEY_get_raw_public_key(key_.get(), Bytes(bytes), &size);
  }
  // RFC 8460 section 6.3: of the service "tlsrpt".
  return std::string("v=DKIM1; k=") + (IsRsa() ? "rsa" : "ed25519") +
         "; s=tlsrpt; p=" + Base64(bytes);
}

Result<std::string> DkimKey::Sign(std::string_view header) const {
  // RFC 8463 section 3: Ed25519 signs the hash, RSA hashes by itself.
  const std::string hash = IsRsa() ? "" : Sha256(header);
  const std::string_view input = IsRsa() ? header : hash;
  const Context context(EVP_MD_CTX_new());
  std::string signature(static_cast<size_t>(EVP_PKEY_get_size(key_.get())),
                        '\0');
  size_t size = signature.size();
  const bool done = EVP_DigestSignInit(context.get(), nullptr,
                                       IsRsa() ? EVP_sha256() : nullptr,
                                       nullptr, key_.get()) == 1 &&
                    EVP_DigestSign(context.get(), Bytes(signature), &size,
                                   Bytes(input), input.size()) == 1;
  ERR_clear_error();
  if (!done) return Error{"OpenSSL cannot sign with the DKIM key"};
  signature.resize(size);
  return Base64(signature);
}

std::string RelaxedField(std::string_view field) {
  const size_t colon = std::min(field.find(':'), field.size() - 1);
  std::string value;
  for (char c : field.substr(colon + 1))
    if (c != '\n' && c != '\r') value += c;
  return NameOf(field) + ":" + Relaxed(TrimBlanks(value)) + "\r\n";
}

std::string RelaxedBody(std::string_view body) {
  std::string out;
  std::string empty;  // lines that may be the last
  while (!body.empty()) {
    const std::string line = Relaxed(TakeLine(body));
    if (line.empty()) {
      empty += "\r\n";
      continue;
    }
    out += std::exchange(empty, "") + line + "\r\n";
  }
  return out;
}

Result<std::string> DkimSign(std::string_view message,
                             const std::vector<DkimSigner>& signers,
                             WallTime now) {
  const Message parts = Divide(message);
  std::string header;
  for (const std::string& field : parts.fields) header += RelaxedField(field);
  std::string signatures;
  for (const DkimSigner& signer : signers) {
    const std::string field = SignatureField(signer, parts, now);
    std::string input = header + RelaxedField(field);
    input.resize(input.size() - 2);  // RFC 6376 section 3.7: without its CRLF
    const auto signature = signer.key.Sign(input);
    if (!signature) return signature.error();
    signatures += field + Folded(*signature) + "\n";
  }
  return signatures + std::string(message);
}

}  // namespace postern
