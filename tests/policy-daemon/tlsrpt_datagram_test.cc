#include "policy-daemon/tlsrpt_datagram.h"

#include <set>
#include <variant>

#include <gtest/gtest.h>

#include "common/domain_name.h"

namespace postern {
namespace {

using Strings = std::vector<std::string>;
using Fault = DatagramFault;

constexpr WallTime kAt{Seconds(1795353900)};

// Datagrams as libtlsrpt 0.5.1 writes them.
const std::string kDaneSuccess =
    R"({"dpv": "1","d": "example.com",)"
    R"("pr": "v=TLSRPTv1; rua=mailto:tlsrpt@example.com",)"
    R"("policies":[{"policy-type":1,"policy-domain": "mx1.example.com",)"
    R"("policy-string":["3 1 1 8D02536C887482BC34FF54E41D2BA659BF85B341A0A20)"
    R"(AFADB5813DCFBCF286D"],"t":0,"f":0}]})";
const std::string kStsFailure =
    R"({"dpv": "1","d": "example.net",)"
    R"("pr": "v=TLSRPTv1;rua=https://reports.example.net/tlsrpt,)"
    R"(mailto:tlsrpt@example.net","policies":[{"policy-type":2,)"
    R"("policy-domain": "example.net","policy-string":["version: STSv1",)"
    R"("mode: enforce","mx: mail.example.net","mx: *.backup.example.net",)"
    R"("max_age: 604800"],"mx-host":["mail.example.net",)"
    R"("*.backup.example.net"],"failure-details":[{"c":202,)"
    R"("s": "192.0.2.25","n": "mail.example.net","h": "250-mail.example.net)"
    R"(\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-STARTTLS\r\n)"
    R"(250 SMTPUTF8","r": "198.51.100.7"}],"t":1,"f":1}]})";
const std::string kNoPolicy =
    R"({"dpv": "1","d": "example.org",)"
    R"("pr": "v=TLSRPTv1; rua=mailto:reports@example.org","policies":[)"
    R"({"policy-type":9,"policy-domain": "example.org","t":0,"f":0}]})";
// Postfix 3.10.13 with the libtlsrpt 0.5.0rc1 of Debian 13: no dpv. (Postfix
// before 3.10.5 left out the policy-domain, too.)
const std::string kDebian13 =
    R"({"d": "example.org","pr": "v=TLSRPTv1; rua=mailto:r@example.org",)"
    R"("policies":[{"policy-type":9,"failure-details":[{"c":205,)"
    R"("s": "127.0.0.1","n": "mx","h": "250-sink\r\n250-STARTTLS\r\n)"
    R"(250 8BITMIME","r": "127.0.0.1","f": "tls-handshake-failure"}],)"
    R"("t":1,"f":1}]})";

// What a parser returns, for good.
using Kept = std::variant<std::vector<Outcome>, Fault>;

Kept Parse(std::string_view datagram, DatagramParser& parser) {
  const DatagramResult result = parser.Parse(datagram, kAt);
  if (const auto* fault = std::get_if<Fault>(&result)) return *fault;
  const auto outcomes = std::get<std::span<Outcome>>(result);
  return std::vector<Outcome>(outcomes.begin(), outcomes.end());
}

Kept Parse(std::string_view datagram) {
  DatagramParser parser;
  return Parse(datagram, parser);
}

std::vector<Outcome> All(std::string_view datagram) {
  Kept result = Parse(datagram);
  if (auto* outcomes = std::get_if<std::vector<Outcome>>(&result))
    return std::move(*outcomes);
  ADD_FAILURE() << datagram.substr(0, 500) << "\n"
                << DatagramFaultName(std::get<Fault>(result));
  return {{}};
}

Outcome Good(std::string_view datagram) {
  const auto outcomes = All(datagram);
  EXPECT_EQ(outcomes.size(), 1u) << datagram;
  return outcomes.front();
}

void Bad(std::string_view datagram, Fault want, std::string_view why) {
  const Kept result = Parse(datagram);
  const auto* fault = std::get_if<Fault>(&result);
  ASSERT_TRUE(fault) << why << "\n" << datagram.substr(0, 500);
  EXPECT_STREQ(DatagramFaultName(*fault), DatagramFaultName(want))
      << why << "\n"
      << datagram.substr(0, 500);
}

// The text with one of its parts replaced.
std::string With(std::string text, std::string_view part, std::string_view by) {
  const size_t place = text.find(part);
  EXPECT_NE(place, text.npos) << part;
  return text.replace(place, part.size(), by);
}

std::string List(const std::string& item, size_t count) {
  std::string list = count > 0 ? item : "";
  for (size_t i = 1; i < count; ++i) list += "," + item;
  return list;
}

std::string Policies(const std::string& policies) {
  return R"({"dpv":"1","d":"example.com",)"
         R"("pr":"v=TLSRPTv1; rua=mailto:t@a.example","policies":[)" +
         policies + "]}";
}

std::string Policy(int type, const std::string& members) {
  return Policies(R"({"policy-type":)" + std::to_string(type) + members +
                  R"(,"t":0,"f":0})");
}

std::string Details(const std::string& details) {
  return Policies(R"({"policy-type":9,"failure-details":[)" + details +
                  R"(],"t":1,"f":1})");
}

// Of a detail with these members.
FailureDetail Detail(const std::string& members) {
  const Outcome outcome = Good(Details(R"({"c":205)" + members + "}"));
  if (outcome.failure_details.size() == 1) return outcome.failure_details[0];
  ADD_FAILURE() << outcome.failure_details.size() << " details: " << members;
  return {};
}

TEST(TlsrptDatagram, TellsOfADaneSuccess) {
  Outcome want;
  want.at = kAt;
  want.domain = "example.com";
  want.source = OutcomeSource::kPostfix;
  want.policy_type = PolicyType::kTlsa;
  want.policy_domain = "mx1.example.com";
  want.policy_string = {
      "3 1 1 8D02536C887482BC34FF54E41D2BA659BF85B341A0A20AFADB5813DCFBCF286D"};
  want.successful = 1;
  want.record = "v=TLSRPTv1; rua=mailto:tlsrpt@example.com";
  EXPECT_EQ(Good(kDaneSuccess), want);
}

TEST(TlsrptDatagram, TellsOfAnMtaStsFailure) {
  Outcome want;
  want.at = kAt;
  want.domain = "example.net";
  want.policy_type = PolicyType::kSts;
  want.policy_domain = "example.net";
  want.policy_string = {"version: STSv1", "mode: enforce",
                        "mx: mail.example.net", "mx: *.backup.example.net",
                        "max_age: 604800"};
  want.mx_host = {"mail.example.net", "*.backup.example.net"};
  want.failed = 1;
  want.record =
      "v=TLSRPTv1;rua=https://reports.example.net/tlsrpt,"
      "mailto:tlsrpt@example.net";
  FailureDetail& detail = want.failure_details.emplace_back();
  detail.result_type = ResultType::kCertificateHostMismatch;
  detail.sending_mta_ip = "192.0.2.25";
  detail.receiving_mx_hostname = "mail.example.net";
  detail.receiving_mx_helo = "mail.example.net";
  detail.receiving_ip = "198.51.100.7";
  detail.failed_session_count = 1;
  EXPECT_EQ(Good(kStsFailure), want);
}

TEST(TlsrptDatagram, TellsOfASuccessWithoutPolicy) {
  Outcome want;
  want.at = kAt;
  want.domain = "example.org";
  want.policy_type = PolicyType::kNoPolicyFound;
  want.policy_domain = "example.org";
  want.successful = 1;
  want.record = "v=TLSRPTv1; rua=mailto:reports@example.org";
  EXPECT_EQ(Good(kNoPolicy), want);
}

TEST(TlsrptDatagram, MayLackVersionAndPolicyDomain) {
  Outcome want;
  want.at = kAt;
  want.domain = "example.org";
  want.policy_domain = "example.org";
  want.failed = 1;
  want.record = "v=TLSRPTv1; rua=mailto:r@example.org";
  FailureDetail& detail = want.failure_details.emplace_back();
  detail.sending_mta_ip = "127.0.0.1";
  detail.receiving_mx_hostname = "mx";
  detail.receiving_mx_helo = "sink";
  detail.receiving_ip = "127.0.0.1";
  detail.failed_session_count = 1;
  detail.failure_reason_code = "tls-handshake-failure";
  EXPECT_EQ(Good(kDebian13), want);
  EXPECT_EQ(Good(Policy(9, R"(,"policy-domain":"")")).policy_domain,
            "example.com")
      << "an empty one is none";
}

TEST(TlsrptDatagram, HasVersion1) {
  const auto version = [](std::string_view json) {
    return With(kNoPolicy, R"("1")", json);
  };
  Good(version(R"("\u0031")"));
  for (const char* json : {R"("2")", R"("1.0")", R"("")", R"(" 1")", "1", "1.0",
                           "null", "true", "[]", R"({"major":"1"})"})
    Bad(version(json), Fault::kForeignVersion, json);
  Bad(R"({"dpv":"2","d":7})", Fault::kForeignVersion,
      "what else is in another version is not looked at");
}

TEST(TlsrptDatagram, IsTakenInAnyOrderAndSpacing) {
  const Outcome want = Good(kStsFailure);
  EXPECT_EQ(
      Good(" \r\n\t{\"policies\" : [ { \"f\":1 ,\"t\" : 1,"
           R"("failure-details":[{"r":"198.51.100.7","h":"mail.example.net",)"
           R"("n":"mail.example.net","s":"192.0.2.25","c":202}],)"
           R"("mx-host":["mail.example.net","*.backup.example.net"],)"
           R"("policy-string":["version: STSv1","mode: enforce",)"
           R"("mx: mail.example.net","mx: *.backup.example.net",)"
           R"("max_age: 604800"],"policy-domain":"example.net",)"
           R"("policy-type":2}],"pr":"v=TLSRPTv1;rua=https:\/\/)"
           R"(reports.example.net/tlsrpt,mailto:tlsrpt\u0040example.net",)"
           "\"d\":\"example.net\", \"dpv\":\"1\" }\n"),
      want);
}

TEST(TlsrptDatagram, MayHaveUnknownKeys) {
  const Outcome want = Good(kStsFailure);
  for (const char* key : {R"("c":)", R"("policy-type":)", R"("d":)"})
    for (const char* json :
         {"7", "1.5", "null", "true", "[[[{}]]]", R"({"d":{"f":[]}})",
          R"("policies")", "[]", "-0", "1e308", "99999999999999999999"})
      EXPECT_EQ(Good(With(kStsFailure, key,
                          std::string(R"("x":)") + json + "," +
                              R"("":1,"x":2,)" + key)),
                want)
          << key << json;
}

TEST(TlsrptDatagram, HasNoKeyOfOursTwice) {
  for (const char* member :
       {R"("dpv": "1",)", R"("d": "example.net",)", R"("policy-type":2,)",
        R"("policy-domain": "example.net",)", R"("c":202,)",
        R"("s": "192.0.2.25",)", R"("n": "mail.example.net",)"})
    Bad(With(kStsFailure, member, std::string(member) + member),
        Fault::kWrongShape, member);
  Bad(With(kNoPolicy, R"("t":0)", R"("f":1)"), Fault::kWrongShape,
      "success and failure");
  Good(With(kNoPolicy, R"("t":0)", R"("t":0,"t":1)"));
}

TEST(TlsrptDatagram, NormalizesTheDomain) {
  const auto domain = [](std::string_view name) {
    return With(kNoPolicy, R"("d": "example.org")",
                R"("d": ")" + std::string(name) + '"');
  };
  const std::string label(63, 'a');
  const std::string longest =
      label + '.' + label + '.' + label + '.' + std::string(61, 'b');
  const struct {
    std::string in, want;
  } good[] = {
      {"example.com", "example.com"},
      {"Example.COM", "example.com"},
      {"example.com.", "example.com"},
      {"B\xc3\xbc"
       "cher.example",
       "xn--bcher-kva.example"},
      {R"(b\u00fccher.example)", "xn--bcher-kva.example"},
      {"xn--bcher-kva.example", "xn--bcher-kva.example"},
      {"mx_1.example.com", "mx_1.example.com"},
      {"localhost", "localhost"},
      {longest, longest},
  };
  for (const auto& row : good)
    EXPECT_EQ(Good(domain(row.in)).domain, row.want) << row.in;

  const struct {
    std::string in, why;
  } bad[] = {
      {"", "empty"},
      {".", "the root"},
      {"example..com", "empty label"},
      {".example.com", "leading dot"},
      {"example.com..", "two dots"},
      {"192.0.2.1", "address"},
      {"[192.0.2.1]", "address literal"},
      {"2001:db8::1", "address"},
      {"example.com:587", "port"},
      {"exa mple.com", "blank"},
      {" example.com", "blank"},
      {R"(example.com\u0000)", "NUL"},
      {R"(example\u0000.com)", "NUL"},
      {R"(example.com\n)", "line break"},
      {"-a.example", "hyphen"},
      {"\xff.example", "not UTF-8"},
      {R"(\udc00.example)", "half a surrogate pair"},
      {longest + "b", "254 bytes"},
      {std::string(30000, 'a'), "30,000 bytes"},
      {"\xc3\xbc" + std::string(30000, 'a'), "30,000 bytes"},
  };
  for (const auto& row : bad) Bad(domain(row.in), Fault::kBadDomain, row.why);
}

TEST(TlsrptDatagram, NormalizesThePolicyDomainWherePossible) {
  const auto domain = [](const std::string& name) {
    return Good(Policy(2, R"(,"policy-domain":")" + name + '"')).policy_domain;
  };
  EXPECT_EQ(domain("MX1.Example.com."), "mx1.example.com");
  EXPECT_EQ(domain("b\xc3\xbc"
                   "cher.example"),
            "xn--bcher-kva.example");
  EXPECT_EQ(domain("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(domain("a b\\n\xff"), "a b \xef\xbf\xbd");
  EXPECT_EQ(domain(std::string(300, 'a')), std::string(kMaxDomainLength, 'a'));
}

TEST(TlsrptDatagram, KeepsTheRecord) {
  const auto record = [](const std::string& json) {
    return Good(With(kNoPolicy,
                     R"("pr": "v=TLSRPTv1; rua=mailto:reports@example.org")",
                     json))
        .record;
  };
  EXPECT_EQ(record(R"("pr":"v=TLSRPTv1;\"\\")"), R"(v=TLSRPTv1;"\)");
  EXPECT_EQ(record("\"pr\":\"a\xff\\u001b\\u0085\\u007f\""),
            "a\xef\xbf\xbd   ");
  EXPECT_EQ(record(R"("pr":"")"), "");
  EXPECT_EQ(record(R"("no-pr":"")"), "") << "not known";
  const std::string longest(kMaxRecordBytes, 'r');
  EXPECT_EQ(record(R"("pr":")" + longest + '"'), longest);
  EXPECT_EQ(record(R"("pr":")" + longest + "r\""), "")
      << "a cut one would end in another address";
  EXPECT_EQ(
      record("\"pr\":\"" + std::string(kMaxRecordBytes / 2, '\xff') + '"'), "")
      << "repaired, it is longer";
}

TEST(TlsrptDatagram, CountsASessionByItsResult) {
  const auto sessions = [](const std::string& policy) {
    const Outcome outcome = Good(Policies(policy));
    return std::to_string(outcome.successful) + " " +
           std::to_string(outcome.failed) + " " +
           std::to_string(outcome.failure_details.size());
  };
  EXPECT_EQ(sessions(R"({"policy-type":9,"t":0,"f":0})"), "1 0 0");
  EXPECT_EQ(sessions(R"({"policy-type":9,"t":0,"f":1})"), "0 1 0");
  const std::string details = R"("failure-details":[{"c":201},{"c":202}],)";
  EXPECT_EQ(sessions(R"({"policy-type":9,)" + details + R"("t":2,"f":0})"),
            "1 0 2");
  EXPECT_EQ(sessions(R"({"policy-type":9,)" + details + R"("t":2,"f":1})"),
            "0 1 2");
  EXPECT_EQ(sessions(R"({"policy-type":9,"failure-details":[],"f":1})"),
            "0 1 0");
}

TEST(TlsrptDatagram, TrustsTheDetailsMoreThanTheirCount) {
  const Outcome want = Good(kStsFailure);
  for (const char* count : {R"("t":0,)", R"("t":7,)", R"("t":-1,)",
                            R"("t":"1",)", R"("t":null,)", ""})
    EXPECT_EQ(Good(With(kStsFailure, R"("t":1,)", count)), want) << count;
}

TEST(TlsrptDatagram, HasAnOutcomePerPolicy) {
  const auto outcomes = All(Policies(
      R"({"policy-type":1,"policy-domain":"mx1.a.example","t":0,"f":0},)"
      R"({"policy-type":2,"policy-string":["mode: none"],"t":0,"f":1},)"
      R"({"policy-type":9,"t":0,"f":0})"));
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_EQ(outcomes[0].policy_type, PolicyType::kTlsa);
  EXPECT_EQ(outcomes[0].policy_domain, "mx1.a.example");
  EXPECT_EQ(outcomes[1].policy_type, PolicyType::kSts);
  EXPECT_EQ(outcomes[1].policy_domain, "example.com");
  EXPECT_EQ(outcomes[1].failed, 1u);
  EXPECT_EQ(outcomes[2].policy_type, PolicyType::kNoPolicyFound);
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.at, kAt);
    EXPECT_EQ(outcome.domain, "example.com");
    EXPECT_EQ(outcome.record, "v=TLSRPTv1; rua=mailto:t@a.example");
  }
  const std::string policy = R"({"policy-type":9,"t":0,"f":0})";
  EXPECT_EQ(All(Policies(List(policy, kMaxDatagramPolicies))).size(),
            kMaxDatagramPolicies);
  Bad(Policies(List(policy, kMaxDatagramPolicies + 1)), Fault::kTooMany,
      "policies");
  Bad(Policies(""), Fault::kNoPolicy, "an empty list");
  Bad(R"({"dpv":"1","d":"example.com","pr":""})", Fault::kNoPolicy, "no list");
}

TEST(TlsrptDatagram, CountsAnUnknownPolicyTypeAsNone) {
  for (int type : {0, 3, 10, -1, 901, 2147483647}) {
    const Outcome outcome = Good(
        Policy(type, R"(,"policy-domain":"a.example","policy-string":["x"],)"
                     R"("mx-host":["y"],"failure-details":[{"c":201}])"));
    EXPECT_EQ(outcome.policy_type, PolicyType::kNoPolicyFound) << type;
    EXPECT_EQ(outcome.policy_domain, "a.example");
    EXPECT_EQ(outcome.policy_string, Strings{}) << "the strings of no policy";
    EXPECT_EQ(outcome.mx_host, Strings{});
    EXPECT_EQ(outcome.failure_details.size(), 1u);
    EXPECT_EQ(outcome.successful, 1u);
  }
}

TEST(TlsrptDatagram, TakesTlsaRecordsForASet) {
  const auto records = [](const std::string& list) {
    return Good(Policy(1, R"(,"policy-string":[)" + list + "]")).policy_string;
  };
  const Strings want = {"2 0 1 AB", "3 1 1 0F", "3 1 1 CD"};
  EXPECT_EQ(records(R"("2 0 1 AB","3 1 1 0F","3 1 1 CD")"), want);
  EXPECT_EQ(records(R"("3 1 1 CD","2 0 1 AB","3 1 1 0F")"), want) << "order";
  EXPECT_EQ(records(R"("3 1 1 0F","3 1 1 CD","2 0 1 AB","3 1 1 0F")"), want)
      << "twice";
  EXPECT_EQ(records(R"("3 1 1 cd","2 0 1 aB","3 1 1 0f","3 1 1 0F")"), want)
      << "case";
  EXPECT_EQ(records(R"("  3  1\t1 \r\n CD ","2 0 1 A B","3 1 1 0F")"), want)
      << "blanks";
  EXPECT_EQ(records(""), Strings{});
  EXPECT_EQ(records(R"("junk","\u00fc  x")"), (Strings{"JUNK",
                                                       "\xc3\xbc"
                                                       " X"}))
      << "what is no record is treated likewise";
}

TEST(TlsrptDatagram, KeepsTheOrderOfAnMtaStsPolicy) {
  const Outcome outcome = Good(
      Policy(2, R"(,"policy-string":["mx: b.example","MX: a.example","mx:  c",)"
                R"("mx: b.example"],"mx-host":["B.example","a.example"])"));
  EXPECT_EQ(outcome.policy_string, (Strings{"mx: b.example", "MX: a.example",
                                            "mx:  c", "mx: b.example"}));
  EXPECT_EQ(outcome.mx_host, (Strings{"B.example", "a.example"}));
}

TEST(TlsrptDatagram, MayHaveMxHostsUnderDane) {
  EXPECT_EQ(Good(Policy(1, R"(,"mx-host":["mx.example.com"])")).mx_host,
            (Strings{"mx.example.com"}));
}

TEST(TlsrptDatagram, BoundsPolicyStringsAndMxHosts) {
  for (const char* key : {"policy-string", "mx-host"}) {
    const auto policy = [&](const std::string& list) {
      return Policy(2, std::string(",\"") + key + "\":[" + list + "]");
    };
    const auto strings = [&](const std::string& list) {
      const Outcome outcome = Good(policy(list));
      return key == std::string("mx-host") ? outcome.mx_host
                                           : outcome.policy_string;
    };
    const size_t longest =
        key == std::string("mx-host") ? kMaxMxHostBytes : kMaxPolicyStringBytes;
    EXPECT_EQ(strings('"' + std::string(longest + 1, 's') + '"'),
              (Strings{std::string(longest, 's')}));
    EXPECT_EQ(strings(R"("a\r\nb","\u001b",")"
                      "\xff\"")
                  .front(),
              "a  b");
    EXPECT_EQ(strings(List(R"("x")", kMaxPolicyStrings)).size(),
              kMaxPolicyStrings);
    Bad(policy(List(R"("x")", kMaxPolicyStrings + 1)), Fault::kTooMany, key);
    // Three bytes for each.
    const std::string bytes = '"' + std::string(250, '\xff') + '"';
    EXPECT_EQ(strings(List(bytes, 80)).size(), 80u);
    if (longest < 750) continue;
    Bad(policy(List(bytes, 100)), Fault::kTooMany, key);
  }
}

TEST(TlsrptDatagram, KnowsTheResultTypes) {
  const struct {
    int code;
    ResultType want;
  } rows[] = {
      {201, ResultType::kStarttlsNotSupported},
      {202, ResultType::kCertificateHostMismatch},
      {203, ResultType::kCertificateNotTrusted},
      {204, ResultType::kCertificateExpired},
      {205, ResultType::kValidationFailure},
      {301, ResultType::kStsPolicyFetchError},
      {302, ResultType::kStsPolicyInvalid},
      {303, ResultType::kStsWebpkiInvalid},
      {304, ResultType::kTlsaInvalid},
      {305, ResultType::kDnssecInvalid},
      {306, ResultType::kDaneRequired},
  };
  for (const auto& row : rows) {
    const Outcome outcome = Good(Details(R"({"c":)" + std::to_string(row.code) +
                                         R"(,"f":"some-reason"})"));
    ASSERT_EQ(outcome.failure_details.size(), 1u);
    EXPECT_EQ(outcome.failure_details[0].result_type, row.want) << row.code;
    EXPECT_EQ(outcome.failure_details[0].failure_reason_code, "some-reason");
  }
}

TEST(TlsrptDatagram, NamesAnUnknownResultTypeInTheReason) {
  const auto reason = [](const std::string& members) {
    const Outcome outcome = Good(Details("{" + members + "}"));
    EXPECT_EQ(outcome.failure_details.at(0).result_type,
              ResultType::kValidationFailure);
    return outcome.failure_details.at(0).failure_reason_code;
  };
  EXPECT_EQ(reason(R"("c":307)"), "code-307");
  EXPECT_EQ(reason(R"("c":901,"f":"unfinished")"), "code-901: unfinished");
  EXPECT_EQ(reason(R"("c":0,"f":"")"), "code-0");
  EXPECT_EQ(reason(R"("c":-2147483648)"), "code--2147483648");
  EXPECT_EQ(reason(R"("c":1,"f":")" + std::string(300, 'x') + '"'),
            "code-1: " + std::string(kMaxReasonBytes - 8, 'x'));
}

TEST(TlsrptDatagram, CleansAndCutsTheReasonAndTheInformation) {
  const FailureDetail detail =
      Detail(",\"f\":\"a\\tb\xe9\",\"a\":\"gr\xc3\xbc\xc3\x9f\\u0000\"");
  EXPECT_EQ(detail.failure_reason_code, "a b\xef\xbf\xbd");
  EXPECT_EQ(detail.additional_information, "gr\xc3\xbc\xc3\x9f ");
  const std::string text(2000, 'x');
  const FailureDetail cut =
      Detail(R"(,"f":")" + text + R"(","a":")" + text + '"');
  EXPECT_EQ(cut.failure_reason_code, text.substr(0, kMaxReasonBytes));
  EXPECT_EQ(cut.additional_information, text.substr(0, kMaxInformationBytes));
}

TEST(TlsrptDatagram, WritesAddressesCanonically) {
  const struct {
    std::string in, want;
  } rows[] = {
      {"192.0.2.25", "192.0.2.25"},
      {"127.0.0.1", "127.0.0.1"},
      {"2001:db8::25", "2001:db8::25"},
      {"2001:DB8:0:0:0:0:0:25", "2001:db8::25"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"::1", "::1"},
      {"::ffff:c000:201", "::ffff:192.0.2.1"},
      {"", ""},
      {"192.0.02.25", ""},
      {"192.0.2.256", ""},
      {"192.0.2", ""},
      {" 192.0.2.25", ""},
      {"192.0.2.25:25", ""},
      {"[192.0.2.25]", ""},
      {"fe80::1%eth0", ""},
      {"unknown", ""},
      {R"(192.0.2.25\u0000)", ""},
      {"\xff", ""},
      {std::string(5000, '1'), ""},
  };
  for (const auto& row : rows) {
    const FailureDetail detail =
        Detail(R"(,"s":")" + row.in + R"(","r":")" + row.in + '"');
    EXPECT_EQ(detail.sending_mta_ip, row.want) << row.in;
    EXPECT_EQ(detail.receiving_ip, row.want) << row.in;
  }
}

TEST(TlsrptDatagram, NormalizesTheHostName) {
  const auto host = [](const std::string& name) {
    return Detail(R"(,"n":")" + name + '"').receiving_mx_hostname;
  };
  EXPECT_EQ(host("MX.Example.com."), "mx.example.com");
  EXPECT_EQ(host("b\xc3\xbc"
                 "cher.example"),
            "xn--bcher-kva.example");
  for (const char* name : {"", "192.0.2.1", "a b", "-", "\xff"})
    EXPECT_EQ(host(name), "") << name;
}

TEST(TlsrptDatagram, TakesTheNameOutOfTheEhloReply) {
  const struct {
    std::string in, want;
  } rows[] = {
      {R"(250-mx.example.com\r\n250-PIPELINING\r\n250 SMTPUTF8)",
       "mx.example.com"},
      {R"(250-mx.example.com Hello [192.0.2.1], pleased\r\n250 HELP)",
       "mx.example.com"},
      {"250 mx.example.com", "mx.example.com"},
      {R"(250 mx.example.com\n)", "mx.example.com"},
      {R"(250-mx.example.com\tat your service)", "mx.example.com"},
      {"250-  mx.example.com", "mx.example.com"},
      {"mx.example.com", "mx.example.com"},
      {"MX.Example.com.", "MX.Example.com."},
      {"250-mx_1", "mx_1"},
      {"250-[192.0.2.1]", "[192.0.2.1]"},
      {"250-[IPv6:2001:db8::1] hi", "[IPv6:2001:db8::1]"},
      {"250-" + std::string(300, 'a'), std::string(kMaxHeloBytes, 'a')},
      {"", ""},
      {"250-", ""},
      {"250", ""},
      {R"(250\r\n)", ""},
      {"250.example", "250.example"},
      {"250 ", ""},
      {R"(250-\r\n250-STARTTLS)", ""},
      {"250-mx?.example.com", ""},
      {"250-b\xc3\xbc"
       "cher.example",
       ""},
      {"250-\xff", ""},
      {R"(250-mx\u0000.example.com)", ""},
      {R"(250-mx\u001b[2J)", ""},
      {"250-<script>", ""},
      {R"(250-\"mx\")", ""},
  };
  for (const auto& row : rows)
    EXPECT_EQ(Detail(R"(,"h":")" + row.in + '"').receiving_mx_helo, row.want)
        << row.in;
}

TEST(TlsrptDatagram, CountsEqualDetailsTogether) {
  const Outcome outcome = Good(Details(
      R"({"c":202,"n":"a.example"},{"c":202,"n":"b.example"},)"
      R"({"c":202,"n":"A.example."},{"c":203,"n":"a.example"},)"
      R"({"n":"a.example","c":202},{"c":203,"n":"a.example","f":"why"})"));
  std::string counted;
  for (const FailureDetail& detail : outcome.failure_details)
    counted += std::string(ResultTypeName(detail.result_type)) + " " +
               detail.receiving_mx_hostname + detail.failure_reason_code + " " +
               std::to_string(detail.failed_session_count) + "\n";
  EXPECT_EQ(counted,
            "certificate-host-mismatch a.example 3\n"
            "certificate-host-mismatch b.example 1\n"
            "certificate-not-trusted a.example 1\n"
            "certificate-not-trusted a.examplewhy 1\n");
  EXPECT_EQ(outcome.failed, 1u) << "one session, whatever it met";
}

TEST(TlsrptDatagram, BoundsTheDetails) {
  const Outcome outcome =
      Good(Details(List(R"({"c":201})", kMaxDatagramDetails)));
  ASSERT_EQ(outcome.failure_details.size(), 1u);
  EXPECT_EQ(outcome.failure_details[0].failed_session_count,
            kMaxDatagramDetails);
  Bad(Details(List(R"({"c":201})", kMaxDatagramDetails + 1)), Fault::kTooMany,
      "details");
}

TEST(TlsrptDatagram, HasOnlyValuesOfTheRightType) {
  // Of kStsFailure, what is replaced and by what.
  const struct {
    std::string_view part, by;
  } rows[] = {
      {R"("d": "example.net")", R"("d": null)"},
      {R"("d": "example.net")", R"("d": 7)"},
      {R"("d": "example.net")", R"("d": ["example.net"])"},
      {R"("d": "example.net")", R"("no-d": "example.net")"},
      {R"("pr": ")", R"("pr": 7,"x": ")"},
      {R"("pr": ")", R"("pr": null,"x": ")"},
      {R"("policies":[)", R"("policies":{},"x":[)"},
      {R"("policies":[)", R"("policies":null,"x":[)"},
      {R"("policies":[)", R"("policies":"","x":[)"},
      {R"("policies":[)", R"("policies":[null,)"},
      {R"("policies":[)", R"("policies":[[],)"},
      {R"("policies":[)", R"("policies":["",)"},
      {R"("policies":[)", R"("policies":[{},)"},
      {R"("policy-type":2)", R"("policy-type":"2")"},
      {R"("policy-type":2)", R"("policy-type":2.0)"},
      {R"("policy-type":2)", R"("policy-type":2e0)"},
      {R"("policy-type":2)", R"("policy-type":"sts")"},
      {R"("policy-type":2)", R"("policy-type":null)"},
      {R"("policy-type":2)", R"("policy-type":4294967298)"},
      {R"("policy-type":2)", R"("policy-type":18446744073709551618)"},
      {R"("policy-type":2)", R"("type":2)"},
      {R"("policy-domain": "example.net")", R"("policy-domain": 7)"},
      {R"("policy-domain": "example.net")", R"("policy-domain": null)"},
      {R"("policy-string":[)", R"("policy-string":"","x":[)"},
      {R"("policy-string":[)", R"("policy-string":null,"x":[)"},
      {R"("policy-string":[)", R"("policy-string":[7,)"},
      {R"("policy-string":[)", R"("policy-string":[["mode: none"],)"},
      {R"("mx-host":[)", R"("mx-host":{},"x":[)"},
      {R"("mx-host":[)", R"("mx-host":[null,)"},
      {R"("failure-details":[)", R"("failure-details":{},"x":[)"},
      {R"("failure-details":[)", R"("failure-details":[null,)"},
      {R"("failure-details":[)", R"("failure-details":[[],)"},
      {R"("failure-details":[)", R"("failure-details":[{},)"},
      {R"("c":202)", R"("c":"202")"},
      {R"("c":202)", R"("c":202.5)"},
      {R"("c":202)", R"("c":null)"},
      {R"("c":202)", R"("c":99999999999)"},
      {R"("c":202)", R"("C":202)"},
      {R"("s": ")", R"("s": 7,"x": ")"},
      {R"("n": ")", R"("n": null,"x": ")"},
      {R"("h": ")", R"("h": [],"x": ")"},
      {R"("r": ")", R"("r": true,"x": ")"},
      {R"("c":202)", R"("c":202,"a":7)"},
      {R"("c":202)", R"("c":202,"f":1)"},
      {R"("f":1)", R"("f":2)"},
      {R"("f":1)", R"("f":-1)"},
      {R"("f":1)", R"("f":1.0)"},
      {R"("f":1)", R"("f":"1")"},
      {R"("f":1)", R"("f":true)"},
      {R"("f":1)", R"("f":null)"},
      {R"("f":1)", R"("x":1)"},
  };
  for (const auto& row : rows)
    Bad(With(kStsFailure, row.part, row.by), Fault::kWrongShape, row.by);
  for (const char* json :
       {"null", "7", "-1.5e3", "true", R"("d")", "[]", "[{}]"})
    Bad(json, Fault::kWrongShape, "no object");
  Bad("{}", Fault::kWrongShape, "nothing in it");
}

TEST(TlsrptDatagram, IsJson) {
  for (size_t size = 1; size < kStsFailure.size(); ++size)
    Bad(kStsFailure.substr(0, size), Fault::kNotJson, "cut");
  for (const std::string& text :
       {std::string(" "),
        std::string("d=example.com"),
        kNoPolicy + "x",
        kNoPolicy + kNoPolicy,
        "\xef\xbb\xbf" + kNoPolicy,
        kNoPolicy + '\0',
        kNoPolicy + std::string("\0{}", 3),
        '\0' + kNoPolicy,
        With(kNoPolicy, "example", std::string_view("exa\0mple", 8)),
        With(kNoPolicy, "example", "exam\nple"),
        With(kNoPolicy, "example", R"(exam\ple)"),
        With(kNoPolicy, "example", R"(exam\u12)"),
        With(kNoPolicy, "example", R"(\ud800)"),
        With(kNoPolicy, R"("t":0,)", R"("t":0,,)"),
        With(kNoPolicy, R"("f":0)", R"("f":0,)"),
        With(kNoPolicy, R"("t":0)", R"("t":01)"),
        With(kNoPolicy, R"("t":0)", R"("t":+1)"),
        With(kNoPolicy, R"("t":0)", R"("t":.5)"),
        With(kNoPolicy, R"("t":0)", R"("t":1e)"),
        With(kNoPolicy, R"("t":0)", R"("t":NaN)"),
        With(kNoPolicy, R"("t":0)", R"("t":Infinity)"),
        With(kNoPolicy, R"("t":0)", R"(t:0)"),
        With(kNoPolicy, R"("t":0)", R"('t':0)"),
        With(kNoPolicy, R"("t":0)", R"(/**/"t":0)")})
    Bad(text, Fault::kNotJson, "");
}

TEST(TlsrptDatagram, HasNoControlCharacterInAString) {
  const std::string plain(40, 'x');
  for (size_t place = 0; place <= plain.size(); ++place) {
    std::string record = plain;
    record.insert(place, R"(\"\\)");
    const Outcome outcome = Good(With(kNoPolicy, "v=TLSRPTv1;", record));
    record.replace(place, 4, R"("\)");
    EXPECT_EQ(outcome.record.substr(0, record.size()), record) << place;
    for (int c = 0; c < 0x20; ++c) {
      std::string bad = plain;
      bad.insert(place, 1, static_cast<char>(c));
      Bad(With(kNoPolicy, "v=TLSRPTv1;", bad), Fault::kNotJson,
          std::to_string(c) + " at " + std::to_string(place));
    }
  }
}

TEST(TlsrptDatagram, MakesNoNumberOfDigitsThatAreNone) {
  const std::string zeros(20000, '0');
  for (const std::string& number :
       {std::string("0.0000000000e-2147483639"), "0." + zeros + "e-2147483639",
        std::string("1e-99999999999999999999"), "0." + zeros + "1",
        "1" + zeros.substr(0, 300), "1." + zeros + "e300"}) {
    Good(With(kNoPolicy, R"("t":0)", R"("t":)" + number));
    Bad(With(kNoPolicy, R"("f":0)", R"("f":)" + number), Fault::kWrongShape,
        number);
  }
}

TEST(TlsrptDatagram, IsNotNestedWithoutEnd) {
  const auto nested = [](const std::string& open, const std::string& close,
                         size_t depth) {
    std::string value = "0";
    for (size_t i = 0; i < depth; ++i) value = open + value + close;
    return With(kNoPolicy, R"("t":0)", R"("t":)" + value);
  };
  Good(nested("[", "]", 29));
  Good(nested(R"({"f":)", "}", 29));
  Bad(nested("[", "]", 30), Fault::kNotJson, "33 deep");
  Bad(nested(R"({"f":)", "}", 8000), Fault::kNotJson, "8,000 deep");
  Bad(std::string(kMaxDatagramBytes, '['), Fault::kNotJson, "65,536 deep");
  Good(With(kNoPolicy, R"("t":0)", R"("t":[)" + List("[]", 10000) + "]"));
}

TEST(TlsrptDatagram, HasASize) {
  Bad("", Fault::kEmpty, "");
  const std::string longest =
      kNoPolicy + std::string(kMaxDatagramBytes - kNoPolicy.size(), ' ');
  Good(longest);
  Bad(longest + ' ', Fault::kTooLong, "65,537 bytes");
}

TEST(TlsrptDatagram, LeavesNothingToTheNextOne) {
  DatagramParser parser;
  const auto parse = [&](const std::string& datagram) {
    return Parse(datagram, parser);
  };
  const auto failure = parse(kStsFailure);
  EXPECT_EQ(parse(kNoPolicy), Parse(kNoPolicy));
  EXPECT_EQ(parse(kStsFailure.substr(0, 400)), Kept(Fault::kNotJson));
  EXPECT_EQ(parse(Policies(List(R"({"f":0})", 5000))), Kept(Fault::kTooMany))
      << "more than the pool holds";
  EXPECT_EQ(parse(kDaneSuccess), Parse(kDaneSuccess));
  EXPECT_EQ(parse(kStsFailure), failure);
  const std::string three = Policies(List(R"({"policy-type":9,"f":0})", 3));
  EXPECT_EQ(parse(three), Parse(three));
  EXPECT_EQ(parse(kNoPolicy), Parse(kNoPolicy));
  const std::string details =
      Details(R"({"c":201,"n":"a.example"},{"c":201,"n":"a.example"})");
  EXPECT_EQ(parse(details), Parse(details));
  const std::string large =
      Policy(2, R"(,"policy-string":[")" + std::string(5000, 'x') + R"("])");
  EXPECT_EQ(parse(large), Parse(large));
  EXPECT_EQ(parse(kStsFailure), failure);
}

TEST(TlsrptDatagram, HasANameForEachFault) {
  std::set<std::string> names;
  for (size_t i = 0; i < kDatagramFaults; ++i)
    names.insert(DatagramFaultName(static_cast<Fault>(i)));
  EXPECT_EQ(names.size(), kDatagramFaults);
  EXPECT_STREQ(DatagramFaultName(Fault::kEmpty), "empty");
  EXPECT_STREQ(DatagramFaultName(Fault::kForeignVersion), "foreign-version");
  EXPECT_STREQ(DatagramFaultName(Fault::kTooMany), "too-many");
}

}  // namespace
}  // namespace postern
