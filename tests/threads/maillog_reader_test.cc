// Postfix's log beside the answers, with a real thread.
#include "policy-daemon/maillog_reader.h"

#include <atomic>
#include <new>

#include <unistd.h>

#include <gtest/gtest.h>

namespace postern {
namespace {

// Hands on what the test writes, once.
class FakeLog final : public LogSource {
 public:
  struct Shared {
    std::mutex mutex;
    std::vector<std::string> lines;
    std::string problem;
    int saved = 0;
  };
  explicit FakeLog(Shared& shared) : shared_(shared) {}

  bool ReadSome(SteadyTime, const Take& take) override {
    std::vector<std::string> lines;
    {
      const std::lock_guard lock(shared_.mutex);
      lines.swap(shared_.lines);
      problem_ = shared_.problem;
    }
    for (const std::string& line : lines) take({line, std::nullopt});
    return false;
  }
  void Save() override { ++shared_.saved; }
  const std::string& problem() const override { return problem_; }
  const std::string& save_problem() const override { return save_problem_; }

 private:
  Shared& shared_;
  std::string problem_;
  std::string save_problem_;
};

class MaillogReaderTest : public testing::Test {
 protected:
  void Write(const std::string& rest, const std::string& host = "mail") {
    const auto at = std::chrono::floor<std::chrono::microseconds>(
        std::chrono::system_clock::now());
    const auto day = std::chrono::floor<std::chrono::days>(at);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(at - day);
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06d+00:00",
                  int(date.year()), unsigned(date.month()),
                  unsigned(date.day()), int(time.hours().count()),
                  int(time.minutes().count()), int(time.seconds().count()),
                  int(time.subseconds().count()));
    const std::lock_guard lock(log.mutex);
    log.lines.push_back(std::string(text) + " " + host +
                        " postfix/smtp[443]: " + rest);
  }
  // A session that went well, and the end of its delivery.
  void WriteSession(const std::string& host = "mail") {
    Write(
        "Trusted TLS connection established to mx.example.com[192.0.2.1]:25: "
        "TLSv1.3 with cipher X",
        host);
    Write(
        "A1B2C3: to=<a@example.com>, relay=mx.example.com[192.0.2.1]:25, "
        "delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)",
        host);
  }
  void Ask() {
    AnsweredPolicy policy;
    policy.domain = "example.com";
    reader->NoteQuery(443, "example.com",
                      std::make_shared<const AnsweredPolicy>(policy));
  }
  // All that was written has been read.
  void Finish() { reader.reset(); }
  double Sessions(const char* result) {
    return metrics
        .Counter("postern_maillog_sessions_total", "", {{"result", result}})
        .Value();
  }

  FakeLog::Shared log;
  Metrics metrics;
  std::vector<Outcome> reported;
  std::atomic<bool> no_memory = false;  // once
  std::unique_ptr<MaillogReader> reader = std::make_unique<MaillogReader>(
      [this] { return std::make_unique<FakeLog>(log); }, "Mail.example.net",
      [this](std::vector<Outcome> outcomes) {
        if (no_memory.exchange(false)) throw std::bad_alloc();
        reported.insert(reported.end(), outcomes.begin(), outcomes.end());
      },
      metrics);
};

TEST_F(MaillogReaderTest, ASessionBehindItsQueryIsReported) {
  Ask();
  WriteSession();
  Finish();
  ASSERT_EQ(reported.size(), 1u);
  EXPECT_EQ(reported[0].domain, "example.com");
  EXPECT_EQ(reported[0].source, OutcomeSource::kLog);
  EXPECT_EQ(reported[0].successful, 1u);
  EXPECT_EQ(Sessions("reported"), 1);
}

TEST_F(MaillogReaderTest, OneWithoutIsCounted) {
  WriteSession();
  Finish();
  EXPECT_TRUE(reported.empty());
  EXPECT_EQ(Sessions("without_query"), 1);
}

// Its process ids are not ours.
TEST_F(MaillogReaderTest, LinesOfAnotherHostAreLeftOut) {
  WriteSession();
  for (const char* other :
       {"backup", "mail.example.org", "mail2.example.net"}) {
    Ask();
    WriteSession(other);
  }
  Finish();
  EXPECT_TRUE(reported.empty());
  EXPECT_EQ(Sessions("without_query"), 1) << "our own, before the query";
  EXPECT_EQ(metrics.Counter("postern_maillog_foreign_lines_total", "").Value(),
            6);
}

TEST_F(MaillogReaderTest, OursAreToldWithAndWithoutTheDomain) {
  for (const char* own : {"mail", "MAIL.example.net"}) {
    Ask();
    WriteSession(own);
  }
  Finish();
  EXPECT_EQ(reported.size(), 2u);
}

// Postfix's own maillog_file: what stands there is myhostname.
TEST_F(MaillogReaderTest, ANameThatStandsAloneIsOurs) {
  Ask();
  WriteSession("mx.example.org");
  Finish();
  EXPECT_EQ(reported.size(), 1u);
}

TEST_F(MaillogReaderTest, AnExceptionDoesNotEndIt) {
  no_memory = true;
  Ask();
  WriteSession();
  while (no_memory) std::this_thread::yield();
  Ask();
  WriteSession();
  Finish();
  EXPECT_EQ(reported.size(), 1u) << "the second";
}

TEST_F(MaillogReaderTest, ThePositionIsRememberedAtTheEnd) {
  Finish();
  EXPECT_EQ(log.saved, 1);
}

TEST_F(MaillogReaderTest, ALogThatCannotBeReadIsToldOf) {
  {
    const std::lock_guard lock(log.mutex);
    log.problem = "cannot read it";
  }
  testing::internal::CaptureStderr();
  Finish();
  EXPECT_NE(testing::internal::GetCapturedStderr().find("maillog_unread"),
            std::string::npos);
}

}  // namespace
}  // namespace postern
