#include "common/getdns_answer.h"

#include <algorithm>
#include <map>
#include <memory>

#include <getdns/getdns.h>
#include <getdns/getdns_extra.h>

#include "common/domain_name.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr int kMaxAliases = 16;  // links of a CNAME chain that are followed
// What WireNameToText() makes of malformed bytes.
constexpr char kMalformedName[] = "\\000";
constexpr uint32_t kRcodeNoError = 0;
constexpr uint32_t kRcodeServFail = 2;
constexpr uint32_t kRcodeNxDomain = 3;

struct DictDestroy {
  void operator()(getdns_dict* dict) const { getdns_dict_destroy(dict); }
};
using DictPtr = std::unique_ptr<getdns_dict, DictDestroy>;

std::string RcodeText(uint32_t rcode) {
  switch (rcode) {
    case kRcodeServFail:
      return "SERVFAIL (bogus DNSSEC, or its name servers fail)";
    case 5:
      return "REFUSED by the DNS resolver";
    default:
      return "DNS error code " + std::to_string(rcode);
  }
}

uint32_t GetInt(const getdns_dict* dict, const char* key) {
  uint32_t value = 0;
  getdns_dict_get_int(dict, key, &value);
  return value;
}

// A view into the dictionary; empty where there is none.
std::string_view GetBytes(const getdns_dict* dict, const char* key) {
  getdns_bindata* data = nullptr;
  if (getdns_dict_get_bindata(dict, key, &data) || !data) return {};
  return {reinterpret_cast<const char*>(data->data), data->size};
}

std::string GetName(const getdns_dict* dict, const char* key) {
  const std::string_view bytes = GetBytes(dict, key);
  return WireNameToText(reinterpret_cast<const uint8_t*>(bytes.data()),
                        bytes.size());
}

std::string JoinTxt(const getdns_list* strings) {
  std::string joined;
  size_t count = 0;
  getdns_list_get_length(strings, &count);
  for (size_t i = 0; i < count; ++i) {
    getdns_bindata* data = nullptr;
    if (!getdns_list_get_bindata(strings, i, &data))
      joined.append(reinterpret_cast<const char*>(data->data), data->size);
  }
  return joined;
}

bool AddAddress(std::string_view bytes, bool v6, DnsAnswer& answer) {
  if (bytes.size() != (v6 ? 16u : 4u)) return false;
  IpAddress address;
  address.v6 = v6;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  answer.addresses.push_back(address);
  return true;
}

bool AddMx(const getdns_dict* rdata, DnsAnswer& answer) {
  uint32_t preference = 0;
  if (getdns_dict_get_int(rdata, "preference", &preference)) return false;
  std::string exchange = GetName(rdata, "exchange");
  if (exchange == kMalformedName) return false;
  answer.mx.push_back({static_cast<uint16_t>(preference), std::move(exchange)});
  return true;
}

bool AddTlsa(const getdns_dict* rdata, DnsAnswer& answer) {
  uint32_t usage = 0;
  uint32_t selector = 0;
  uint32_t matching = 0;
  if (getdns_dict_get_int(rdata, "certificate_usage", &usage) ||
      getdns_dict_get_int(rdata, "selector", &selector) ||
      getdns_dict_get_int(rdata, "matching_type", &matching))
    return false;
  answer.tlsa.push_back(
      {static_cast<uint8_t>(usage), static_cast<uint8_t>(selector),
       static_cast<uint8_t>(matching),
       std::string(GetBytes(rdata, "certificate_association_data"))});
  return true;
}

// False: the record is malformed.
bool AddRecord(const getdns_dict* rdata, DnsType type, DnsAnswer& answer) {
  switch (type) {
    case DnsType::kA:
      return AddAddress(GetBytes(rdata, "ipv4_address"), false, answer);
    case DnsType::kAaaa:
      return AddAddress(GetBytes(rdata, "ipv6_address"), true, answer);
    case DnsType::kMx:
      return AddMx(rdata, answer);
    case DnsType::kTxt: {
      getdns_list* strings = nullptr;
      if (getdns_dict_get_list(rdata, "txt_strings", &strings)) return false;
      answer.txt.push_back(JoinTxt(strings));
      return true;
    }
    case DnsType::kTlsa:
      return AddTlsa(rdata, answer);
    case DnsType::kCname:
    case DnsType::kSoa:
      return true;
  }
  return false;
}

struct Record {
  uint32_t type = 0;
  Seconds ttl{0};
  const getdns_dict* rr = nullptr;
  const getdns_dict* rdata = nullptr;

  bool Is(DnsType wanted) const {
    return type == static_cast<uint32_t>(wanted);
  }
};

// Every access to a dictionary is a search by strings: each is made once.
std::vector<Record> ReadSection(const getdns_dict* reply, const char* section) {
  std::vector<Record> records;
  getdns_list* list = nullptr;
  if (getdns_dict_get_list(reply, section, &list)) return records;
  size_t count = 0;
  getdns_list_get_length(list, &count);
  records.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    getdns_dict* rr = nullptr;
    getdns_dict* rdata = nullptr;
    if (getdns_list_get_dict(list, i, &rr) ||
        getdns_dict_get_dict(rr, "rdata", &rdata))
      continue;
    records.push_back(
        {GetInt(rr, "type"), Seconds(GetInt(rr, "ttl")), rr, rdata});
  }
  return records;
}

// The SOA's negative TTL (RFC 2308 section 5).
Seconds NegativeTtl(const getdns_dict* reply) {
  for (const Record& record : ReadSection(reply, "authority")) {
    if (record.Is(DnsType::kSoa))
      return std::min(record.ttl, Seconds(GetInt(record.rdata, "minimum")));
  }
  return Seconds(0);
}

bool IsAnswerTo(const getdns_dict* reply, const std::string& name,
                DnsType type) {
  getdns_dict* question = nullptr;
  return !getdns_dict_get_dict(reply, "question", &question) &&
         GetName(question, "qname") == name &&
         GetInt(question, "qtype") == static_cast<uint32_t>(type);
}

constexpr char kMalformed[] = "malformed DNS answer";

DnsAnswer Failed(std::string reason) {
  DnsAnswer answer;
  answer.failure = std::move(reason);
  return answer;
}

}  // namespace

std::string WireNameToText(const uint8_t* bytes, size_t size) {
  std::string text;
  size_t at = 0;
  while (at < size && bytes[at] != 0) {
    const size_t length = bytes[at++];
    if (length > kMaxLabelLength || at + length > size) return kMalformedName;
    if (!text.empty()) text += '.';
    for (size_t end = at + length; at < end; ++at) {
      const char c = AsciiLower(static_cast<char>(bytes[at]));
      if (IsAsciiAlnum(c) || c == '-' || c == '_') {
        text += c;
      } else {
        const std::string number = std::to_string(bytes[at]);
        text += '\\' + std::string(3 - number.size(), '0') + number;
      }
    }
  }
  return at < size ? text : kMalformedName;
}

DnsAnswer ReadDnsMessage(std::string_view message, const std::string& name,
                         DnsType type, bool trusted) {
  getdns_dict* parsed = nullptr;
  getdns_dict* header = nullptr;
  if (getdns_wire2msg_dict(reinterpret_cast<const uint8_t*>(message.data()),
                           message.size(), &parsed))
    return Failed(kMalformed);
  const DictPtr owner(parsed);
  const getdns_dict* reply = parsed;
  if (getdns_dict_get_dict(reply, "header", &header)) return Failed(kMalformed);
  const uint32_t rcode = GetInt(header, "rcode");
  if (rcode != kRcodeNoError && rcode != kRcodeNxDomain) {
    DnsAnswer failed = Failed(RcodeText(rcode));
    failed.servfail = rcode == kRcodeServFail;
    return failed;
  }
  // It has been repeated over TCP; still cut, it is useless.
  if (GetInt(header, "tc") != 0) return Failed("truncated DNS answer");

  DnsAnswer answer;
  answer.secure = trusted && GetInt(header, "ad") == 1;
  answer.canonical_name = name == "." ? "" : name;
  if (!IsAnswerTo(reply, answer.canonical_name, type))
    return Failed("the answer is to another question");
  const std::vector<Record> records = ReadSection(reply, "answer");
  if (records.size() != GetInt(header, "ancount")) return Failed(kMalformed);
  struct Alias {
    std::string target;
    Seconds ttl;
  };
  std::map<std::string, Alias> aliases;
  for (const Record& record : records) {
    if (record.Is(DnsType::kCname))
      aliases[GetName(record.rr, "name")] = {GetName(record.rdata, "cname"),
                                             record.ttl};
  }
  auto alias = aliases.find(answer.canonical_name);
  answer.is_alias = alias != aliases.end();
  if (type == DnsType::kCname) {
    answer.kind =
        answer.is_alias ? DnsAnswer::Kind::kData : DnsAnswer::Kind::kNoData;
    answer.ttl = answer.is_alias ? alias->second.ttl : NegativeTtl(reply);
    return answer;
  }
  Seconds ttl = Seconds::max();
  for (int links = 0; alias != aliases.end(); ++links) {
    if (links == kMaxAliases) return Failed("CNAME chain without end");
    ttl = std::min(ttl, alias->second.ttl);
    answer.canonical_name = alias->second.target;
    alias = aliases.find(answer.canonical_name);
  }
  for (const Record& record : records) {
    if (!record.Is(type) || GetName(record.rr, "name") != answer.canonical_name)
      continue;
    answer.kind = DnsAnswer::Kind::kData;
    ttl = std::min(ttl, record.ttl);
    // RFC 7672 section 2.1.1: malformed is failed, never "no record".
    if (!AddRecord(record.rdata, type, answer)) return Failed(kMalformed);
  }
  if (answer.has_data()) {
    answer.ttl = ttl;
    return answer;
  }
  answer.kind = rcode == kRcodeNxDomain ? DnsAnswer::Kind::kNxDomain
                                        : DnsAnswer::Kind::kNoData;
  answer.ttl = std::min(ttl, NegativeTtl(reply));
  return answer;
}

}  // namespace postern
