#include "common/outcome_json.h"

#include <gtest/gtest.h>

#include "common/text.h"

#include "tests/support/outcomes.h"

namespace postern {
namespace {

constexpr char kSuccess[] =
    R"({"at":"2026-11-22T13:05:07Z","domain":"example.com",)"
    R"("source":"postfix","policy-type":"sts","policy-domain":"example.com",)"
    R"("policy-string":["version: STSv1","mode: enforce",)"
    R"("mx: mx.example.com","max_age: 86400"],"mx-host":["mx.example.com"],)"
    R"("successful":3,"failed":0,"failure-details":[],)"
    R"("record":"v=TLSRPTv1; rua=mailto:tls@example.com"})"
    "\n";

constexpr char kFailure[] =
    R"({"at":"2026-11-22T13:05:07Z","domain":"example.com",)"
    R"("source":"postfix","policy-type":"sts","policy-domain":"example.com",)"
    R"("policy-string":["version: STSv1","mode: enforce",)"
    R"("mx: mx.example.com","max_age: 86400"],"mx-host":["mx.example.com"],)"
    R"("successful":0,"failed":1,"failure-details":[)"
    R"({"result-type":"certificate-host-mismatch",)"
    R"("sending-mta-ip":"2001:db8::25",)"
    R"("receiving-mx-hostname":"mx.example.com",)"
    R"("receiving-mx-helo":"helo.example.com","receiving-ip":"198.51.100.7",)"
    R"("failed-session-count":1,"additional-information":"seen \"twice\"",)"
    R"("failure-reason-code":"some-reason"}],)"
    R"("record":"v=TLSRPTv1; rua=mailto:tls@example.com"})"
    "\n";

constexpr char kLeast[] =
    R"({"at":"2026-11-22T13:05:07Z","domain":"example.com",)"
    R"("source":"policy","policy-type":"no-policy-found",)"
    R"("successful":0,"failed":0,"failure-details":[)"
    R"({"result-type":"sts-policy-fetch-error","failed-session-count":0}]})"
    "\n";

Outcome Least() {
  Outcome outcome;
  outcome.at = kNow;
  outcome.domain = "example.com";
  outcome.source = OutcomeSource::kPolicy;
  outcome.failure_details.emplace_back().result_type =
      ResultType::kStsPolicyFetchError;
  return outcome;
}

// kLeast with one of its parts replaced.
std::string With(std::string_view part, std::string_view by) {
  std::string line = kLeast;
  const size_t place = line.find(part);
  EXPECT_NE(place, line.npos) << part;
  return line.replace(place, part.size(), by);
}

// What the line of an outcome with this text parses to.
std::string Again(const std::string& text) {
  Outcome outcome = DeliveredSessions();
  outcome.policy_string = {text};
  const std::string line = LineOf(outcome);
  for (char c : line.substr(0, line.size() - 1))
    EXPECT_TRUE(c >= 0x20 && c < 0x7f) << Printable(line, 1000);
  const auto parsed = ParseOutcomeLine(line);
  return parsed ? parsed->policy_string.front() : "does not parse";
}

TEST(OutcomeLine, IsToTheLetter) {
  EXPECT_EQ(LineOf(DeliveredSessions()), kSuccess);
  EXPECT_EQ(LineOf(FailedSession()), kFailure);
}

TEST(OutcomeLine, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(LineOf(Least()), kLeast);
}

TEST(OutcomeLine, ParsesToWhatWasWritten) {
  for (const Outcome& outcome :
       {DeliveredSessions(), FailedSession(), Least()}) {
    EXPECT_EQ(ParseOutcomeLine(LineOf(outcome)), outcome);
    const std::string line = LineOf(outcome);
    EXPECT_EQ(ParseOutcomeLine(line.substr(0, line.size() - 1)), outcome);
  }
}

TEST(OutcomeLine, HasADigestInPlaceOfThePolicysText) {
  Outcome outcome = DeliveredSessions();
  outcome.policy_digest = "0123456789abcdef";
  std::string expected = kSuccess;
  const size_t begin = expected.find("\"policy-string\"");
  const size_t end = expected.find("\"successful\"");
  expected.replace(begin, end - begin,
                   R"("policy-digest":"0123456789abcdef",)");
  EXPECT_EQ(LineOf(outcome), expected);
  outcome.policy_string.clear();
  outcome.mx_host.clear();
  EXPECT_EQ(ParseOutcomeLine(expected), outcome);
}

TEST(OutcomeLine, EveryNameIsReadAgain) {
  Outcome outcome = FailedSession();
  for (int source = 0; source < 3; ++source)
    for (int policy = 0; policy < 3; ++policy)
      for (int result = 0; result < 11; ++result) {
        outcome.source = static_cast<OutcomeSource>(source);
        outcome.policy_type = static_cast<PolicyType>(policy);
        outcome.failure_details[0].result_type =
            static_cast<ResultType>(result);
        EXPECT_EQ(ParseOutcomeLine(LineOf(outcome)), outcome);
      }
}

TEST(OutcomeLine, SeveralAppendToOneBuffer) {
  std::string lines;
  AppendOutcomeLine(DeliveredSessions(), lines);
  AppendOutcomeLine(Least(), lines);
  EXPECT_EQ(lines, std::string(kSuccess) + kLeast);
}

TEST(OutcomeLine, AnyNumberOfDetailsAndStrings) {
  Outcome outcome = FailedSession();
  outcome.failure_details.resize(3);
  outcome.mx_host = {"*.example.com", "", "b"};
  EXPECT_EQ(ParseOutcomeLine(LineOf(outcome)), outcome);
}

TEST(OutcomeLine, EveryCharacterSurvivesAsAscii) {
  for (int c = 0; c < 0x80; ++c) {
    const std::string text(1, static_cast<char>(c));
    EXPECT_EQ(Again(text), text) << c;
    EXPECT_EQ(Again("some text" + text + "around"),
              "some text" + text + "around");
  }
  for (const char* text : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x93\xa7",
                           "\xf4\x8f\xbf\xbf", "\xe2\x80\xa8", "\xef\xbf\xbd"})
    EXPECT_EQ(Again(text), text);
}

TEST(OutcomeLine, EscapesAreTheseAndNoOthers) {
  Outcome outcome = Least();
  outcome.record = "\"\\/\n\t\x1b\x7f\xc3\xa9\xf0\x9f\x93\xa7";
  EXPECT_NE(LineOf(outcome).find(R"("record":"\"\\/\u000a\u0009\u001b\u007f)"
                                 R"(\u00e9\ud83d\udce7"})"),
            std::string::npos)
      << LineOf(outcome);
}

TEST(OutcomeLine, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_EQ(Again("a\xff z"), "a\xef\xbf\xbd z");
  EXPECT_EQ(Again("\xc3"), "\xef\xbf\xbd");
  EXPECT_EQ(Again("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(OutcomeLine, MoreSessionsThanJsonCanCountAreTheMost) {
  Outcome outcome = Least();
  outcome.successful = UINT64_MAX;
  outcome.failed = kMaxSessions;
  const auto parsed = ParseOutcomeLine(LineOf(outcome));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->successful, kMaxSessions);
  EXPECT_EQ(parsed->failed, kMaxSessions);
}

TEST(ParseOutcomeLine, TakesWhatOthersMayWrite) {
  const std::string good[] = {
      " " + With(",\"domain\"", " ,\t\"domain\" ") + "\r\n",
      // Another order, and names that we do not know, nested as they like.
      R"({"x":[{"y":[null,1e3,-1,true]}],"failure-details":[{"new":{},)"
      R"("failed-session-count":0,"result-type":"sts-policy-fetch-error"}],)"
      R"("failed":0,"successful":0,"policy-type":"no-policy-found",)"
      R"("source":"policy","domain":"example.com",)"
      R"("at":"2026-11-22T13:05:07Z","x":"\ud800\udc00"})",
      With("example.com", R"(\u0065xample.com)"),
      With("\"failed\":0", R"("failed":0,"mx-host":[],"record":"")"),
  };
  for (const std::string& line : good)
    EXPECT_EQ(ParseOutcomeLine(line), Least()) << line;
}

TEST(ParseOutcomeLine, KeepsAResultTypeThatItDoesNotKnow) {
  auto parsed =
      ParseOutcomeLine(With("sts-policy-fetch-error", "quantum-not-trusted"));
  ASSERT_TRUE(parsed);
  FailureDetail& detail = parsed->failure_details.at(0);
  EXPECT_EQ(detail.result_type, ResultType::kValidationFailure);
  EXPECT_EQ(detail.failure_reason_code, "code-quantum-not-trusted");
  parsed =
      ParseOutcomeLine(With("\"sts-policy-fetch-error\"",
                            R"("x-new","failure-reason-code":"its reason")"));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->failure_details.at(0).failure_reason_code,
            "code-x-new: its reason");
}

TEST(ParseOutcomeLine, RefusesWhatIsNotOfTheFormat) {
  const std::string details = R"([{"result-type":"sts-policy-fetch-error",)"
                              R"("failed-session-count":0}])";
  const std::pair<std::string, const char*> bad[] = {
      {"", "nothing"},
      {"\n", "an empty line"},
      {"[]\n", "no object"},
      {"null\n", "no object"},
      {"\"at\"\n", "no object"},
      {"{}\n", "nothing in it"},
      {kLeast + std::string(kLeast), "two"},
      {std::string(kLeast, 40), "torn"},
      {std::string("{\"at\":\"2026-1") + kLeast, "behind a torn one"},
      {With("}]}\n", "}]}") + std::string(1, '\0'), "a NUL byte behind it"},
      {With("example", std::string(1, '\0')), "a NUL byte in it"},
      {With("\"at\":\"2026-11-22T13:05:07Z\",", ""), "no at"},
      {With("2026-11-22T13:05:07Z", "2026-11-22"), "a day"},
      {With("\"2026-11-22T13:05:07Z\"", "1795352707"), "a number"},
      {With("\"domain\":\"example.com\",", ""), "no domain"},
      {With("example.com", ""), "an empty domain"},
      {With("example.com", "Example.com"), "not in normal form"},
      {With("example.com", "../../etc"), "no domain name"},
      {With("\"source\":\"policy\",", ""), "no source"},
      {With("\"policy\"", "\"dream\""), "a source that is not known"},
      {With("\"policy-type\":\"no-policy-found\",", ""), "no policy type"},
      {With("no-policy-found", "sts2"), "a policy type that is not known"},
      {With("\"no-policy-found\"", "9"), "a number"},
      {With("\"successful\":0,", ""), "no successful"},
      {With("\"failed\":0,", ""), "no failed"},
      {With("\"failed\":0,", "\"failed\":-1,"), "negative"},
      {With("\"failed\":0,", "\"failed\":0.5,"), "a fraction"},
      {With("\"failed\":0,", "\"failed\":0.0,"), "written as a fraction"},
      {With("\"failed\":0,", "\"failed\":\"0\","), "a string"},
      {With("\"failed\":0,", "\"failed\":9007199254740992,"), "too many"},
      {With("\"failed\":0,", "\"failed\":99999999999999999999,"), "too many"},
      {With(",\"failure-details\":" + details, ""), "no details"},
      {With(details, "{}"), "details are no list"},
      {With(details, "[1]"), "a detail is no object"},
      {With(details, R"([{"failed-session-count":0}])"), "no result type"},
      {With(details, R"([{"result-type":"tlsa-invalid"}])"), "no count"},
      {With("sts-policy-fetch-error", ""), "an empty result type"},
      {With("\"failed\"", R"("policy-domain":null,"failed")"), "null"},
      {With("\"failed\"", R"("mx-host":"a.example","failed")"), "no list"},
      {With("\"failed\"", R"("mx-host":[1],"failed")"), "a list of numbers"},
      {With("\"failed\"", R"("record":["v"],"failed")"), "a list"},
      {With("\"failed\"", "\"record\":\"\xff\",\"failed\""), "no UTF-8"},
      {With("\"failed\"", R"("record":"\udc00","failed")"), "half a pair"},
      {With("\"failed\"", R"("record":"\ud800","failed")"), "half a pair"},
      {With("\"failed\"", "\"record\":\"\n\",\"failed\""), "a raw line end"},
  };
  for (const auto& [line, why] : bad)
    EXPECT_FALSE(ParseOutcomeLine(line)) << why << ": " << line;
}

TEST(ParseOutcomeLine, RefusesWhatIsTooLong) {
  Outcome outcome = Least();
  const size_t rest = std::string_view(kLeast).size() +
                      std::string_view(R"(,"record":"")").size();
  outcome.record.assign(kMaxOutcomeLine - rest, 'x');
  EXPECT_EQ(ParseOutcomeLine(LineOf(outcome)), outcome);
  outcome.record += 'x';
  EXPECT_FALSE(ParseOutcomeLine(LineOf(outcome)));
}

// CVE-2024-38517: RapidJSON 1.1 reads out of bounds.
TEST(ParseOutcomeLine, ANumberThatOverflowsRapidJsonIsANumber) {
  const std::string number = "0.0000000000e-2147483639";
  EXPECT_EQ(ParseOutcomeLine(With("{\"at\"", "{\"x\":" + number + ",\"at\"")),
            Least());
  EXPECT_FALSE(ParseOutcomeLine(With("\"failed\":0", "\"failed\":" + number)));
}

TEST(ParseOutcomeLine, AnyDepthOfNestingIsSurvived) {
  for (const char* open : {"[", "{\"x\":"}) {
    std::string line = "{\"x\":";
    while (line.size() + 8 < kMaxOutcomeLine) line += open;
    EXPECT_FALSE(ParseOutcomeLine(line));
  }
  const size_t deep = 200000;
  EXPECT_EQ(
      ParseOutcomeLine(With("{\"at\"", "{\"x\":" + std::string(deep, '[') +
                                           std::string(deep, ']') + ",\"at\"")),
      Least());
}

}  // namespace
}  // namespace postern
