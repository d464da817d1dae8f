// Real programs: little shell scripts.
#include "report-sender/sendmail.h"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "common/file_descriptor.h"

#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

class SendmailTest : public testing::Test {
 protected:
  SendmailTest() { signal(SIGPIPE, SIG_IGN); }

  void Script(const std::string& text) {
    program = folder.Write("sendmail", "#!/bin/sh\n" + text + "\n");
    chmod(program.c_str(), 0755);
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(folder.PathOf(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  SendmailResult Send(const std::string& mail = "Subject: x\n\nText.\n") {
    return SendAll({mail}).front();
  }
  // All at once.
  std::vector<SendmailResult> SendAll(const std::vector<std::string>& mails) {
    boost::asio::io_context loop;
    std::vector<SendmailResult> results(mails.size());
    size_t ended = 0;
    for (size_t i = 0; i < mails.size(); ++i)
      boost::asio::co_spawn(
          loop,
          RunSendmail(loop.get_executor(),
                      {program, "tls@example.org", "a@example.com", mails[i]},
                      patience),
          [&, i](const std::exception_ptr& exception, SendmailResult result) {
            EXPECT_FALSE(exception);
            results[i] = std::move(result);
            ++ended;
          });
    loop.run();
    EXPECT_EQ(ended, mails.size());
    return results;
  }
  void Fails(const std::string& script, const std::string& reason) {
    Script(script);
    const SendmailResult result = Send();
    EXPECT_FALSE(result.accepted) << script;
    EXPECT_EQ(result.reason, program + ": " + reason) << script;
  }

  const TemporaryFolder folder;
  std::string program;
  std::chrono::seconds patience{60};
};

TEST_F(SendmailTest, ExitStatus0MeansAccepted) {
  Script("cat >/dev/null");
  const SendmailResult result = Send();
  EXPECT_TRUE(result.accepted);
  EXPECT_EQ(result.reason, "");
}

TEST_F(SendmailTest, GetsTheMailByteForByte) {
  Script("cat >" + folder.PathOf("mail"));
  std::string mail = "From: x\n\n.\n..\nFrom y\n\r\n\0no end";
  for (int i = 0; i < 256; ++i) mail += static_cast<char>(i);
  EXPECT_TRUE(Send(mail).accepted);
  EXPECT_EQ(Read("mail"), mail);
}

TEST_F(SendmailTest, GetsMegabytes) {
  Script("cat >" + folder.PathOf("mail"));
  std::string mail;
  while (mail.size() < (8 << 20)) mail += std::to_string(mail.size()) + "\n";
  EXPECT_TRUE(Send(mail).accepted);
  EXPECT_TRUE(Read("mail") == mail);
}

TEST_F(SendmailTest, GetsAnEmptyMail) {
  Script("cat >" + folder.PathOf("mail"));
  EXPECT_TRUE(Send("").accepted);
  EXPECT_EQ(Read("mail"), "");
}

TEST_F(SendmailTest, GetsTheseArguments) {
  Script("cat >/dev/null; for one; do echo \"[$one]\"; done >" +
         folder.PathOf("arguments"));
  EXPECT_TRUE(Send().accepted);
  EXPECT_EQ(Read("arguments"),
            "[-i]\n[-f]\n[tls@example.org]\n[--]\n[a@example.com]\n");
}

// Who cannot be ended by SIGPIPE or SIGTERM hangs about.
TEST_F(SendmailTest, HasTheUsualSignals) {
  Script(
      "cat >/dev/null; sed -n 's/^Sig\\(Blk\\|Ign\\)://p' /proc/self/status >" +
      folder.PathOf("signals"));
  EXPECT_TRUE(Send().accepted);
  std::istringstream signals(Read("signals"));
  uint64_t blocked = 1, ignored = 1;
  ASSERT_TRUE(signals >> std::hex >> blocked >> ignored);
  EXPECT_EQ(blocked, 0u);
  // But for two that are the C library's own.
  EXPECT_EQ(ignored & ~(uint64_t{3} << 31), 0u);
}

TEST_F(SendmailTest, ManyRunAtOnce) {
  Script("cat >>" + folder.PathOf("mails"));
  for (const SendmailResult& result :
       SendAll(std::vector<std::string>(20, "a mail\n")))
    EXPECT_TRUE(result.accepted) << result.reason;
  EXPECT_EQ(Read("mails").size(), 20 * 7u);
}

// --- refusals

TEST_F(SendmailTest, AnExitStatusHasWords) {
  Fails("cat >/dev/null; exit 64", "it does not take -i, -f and --");
  Fails("cat >/dev/null; exit 67", "the address is unknown to it");
  Fails("cat >/dev/null; exit 68", "the address's host is unknown to it");
  Fails("cat >/dev/null; exit 69", "it refused the mail");
  Fails("cat >/dev/null; exit 75", "a temporary failure");
  Fails("cat >/dev/null; exit 77", "it does not allow this user to send");
  Fails("cat >/dev/null; exit 78", "its configuration is bad");
  Fails("cat >/dev/null; exit 1", "exit status 1");
  Fails("cat >/dev/null; exit 255", "exit status 255");
}

TEST_F(SendmailTest, TheFirstLineItWritesIsToldToo) {
  Fails(
      "cat >/dev/null; echo 'mail system is down' >&2; echo more >&2; exit 75",
      "a temporary failure: mail system is down");
  Fails("cat >/dev/null; echo on standard output; exit 1",
        "exit status 1: on standard output");
  Fails("cat >/dev/null; printf 'no end of line' >&2; exit 1",
        "exit status 1: no end of line");
  Fails("cat >/dev/null; echo >&2; echo second >&2; exit 1", "exit status 1");
}

TEST_F(SendmailTest, WhatItWritesIsMadePrintable) {
  Fails("cat >/dev/null; printf '\\033[2J\\r\\377ok\\n' >&2; exit 1",
        "exit status 1: \\x1b[2J\\x0d\\xffok");
}

TEST_F(SendmailTest, WhatItWritesIsCut) {
  Script("cat >/dev/null; head -c 3000 /dev/zero | tr '\\0' x >&2; exit 1");
  const SendmailResult result = Send();
  EXPECT_FALSE(result.accepted);
  EXPECT_LE(result.reason.size(), 303u);
  EXPECT_TRUE(result.reason.ends_with("xxx..."));
}

TEST_F(SendmailTest, AFloodOfWordsHarmsNobody) {
  Fails(
      "cat >/dev/null; echo first >&2;"
      " head -c 5000000 /dev/zero | tr '\\0' '\\n' >&2; exit 1",
      "exit status 1: first");
}

TEST_F(SendmailTest, AFloodOfWordsBeforeTheMailIsReadHarmsNobody) {
  Script("echo first; head -c 1000000 /dev/zero; cat >" +
         folder.PathOf("mail"));
  const std::string mail(1000000, 'x');
  EXPECT_TRUE(Send(mail).accepted);
  EXPECT_TRUE(Read("mail") == mail);
}

TEST_F(SendmailTest, OneThatDoesNotReadItsMailIsNotWaitedFor) {
  const std::string mail(1000000, 'x');
  Script("echo 'too large' >&2; exit 69");
  const SendmailResult result = Send(mail);
  EXPECT_FALSE(result.accepted);
  EXPECT_EQ(result.reason, program + ": it refused the mail: too large");
}

TEST_F(SendmailTest, OneThatClosesItsInputIsNotWaitedFor) {
  Script("exec <&-; exit 69");
  EXPECT_EQ(Send(std::string(1000000, 'x')).reason,
            program + ": it refused the mail");
}

TEST_F(SendmailTest, OneThatASignalEndsHasNotAccepted) {
  Fails("kill -9 $$", "ended by signal 9");
  Fails("echo 'I am gone' >&2; kill -15 $$", "ended by signal 15: I am gone");
}

// The child of one that has accepted may go on with the delivery.
TEST_F(SendmailTest, OneWhoseChildGoesOnHasEnded) {
  Script("cat >/dev/null; sleep 600 & echo $! >" + folder.PathOf("child"));
  EXPECT_TRUE(Send().accepted);
  const pid_t child = std::stoi(Read("child"));
  EXPECT_EQ(kill(child, SIGKILL), 0);
}

bool IsThere(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string word;
  // PID (NAME) STATE; one that nobody has waited for yet is none.
  return file >> word >> word >> word && word != "Z" && word != "X";
}

// Of a process that is not ours to wait for.
bool Ends(pid_t pid) {
  constexpr int kPatienceMs = 60000;
  const FileDescriptor process(
      static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return errno == ESRCH;
  pollfd end{process.get(), POLLIN, 0};
  return poll(&end, 1, kPatienceMs) == 1;
}

TEST_F(SendmailTest, OneThatDoesNotEndInTimeIsKilledWithItsChildren) {
  Script("sleep 600 & echo $$ $! >" + folder.PathOf("pids") + "; wait");
  pid_t self = 0, child = 0;
  // On a busy machine it may be killed before it has a child.
  for (int seconds = 1; child == 0 && seconds < 100; seconds *= 2) {
    patience = std::chrono::seconds(seconds);
    const SendmailResult result = Send();
    EXPECT_FALSE(result.accepted);
    EXPECT_EQ(result.reason, program + ": not done after " +
                                 std::to_string(seconds) + " s, killed");
    std::ifstream pids(folder.PathOf("pids"));
    pids >> self >> child;
  }
  ASSERT_NE(child, 0);
  EXPECT_FALSE(IsThere(self));
  EXPECT_TRUE(Ends(child));  // that is under way
}

TEST_F(SendmailTest, AProgramThatIsNotThereIsNamed) {
  program = "/not/there";
  EXPECT_EQ(Send().reason,
            "cannot run /not/there: No such file or directory; check "
            "report.sendmail");
}

TEST_F(SendmailTest, AFileThatIsNoProgramIsNamed) {
  program = folder.Write("sendmail", "#!/bin/sh\n");
  EXPECT_EQ(Send().reason, "cannot run " + program +
                               ": Permission denied; check report.sendmail");
}

TEST_F(SendmailTest, NothingIsLeftOpen) {
  Script("cat >/dev/null");
  const auto files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  Send();
  const auto before = files();
  for (int i = 0; i < 3; ++i) Send();
  program = "/not/there";
  Send();
  EXPECT_EQ(files(), before);
}

}  // namespace
}  // namespace postern
