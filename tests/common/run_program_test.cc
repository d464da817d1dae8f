#include "common/run_program.h"

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace postern {
namespace {

using std::chrono::milliseconds;

Result<ProgramOutput> Shell(const std::string& script,
                            const ProgramLimits& limits = {}) {
  return RunProgram({"sh", "-c", script}, limits);
}

TEST(RunProgram, ReturnsWhatItSaidAndItsExitStatus) {
  const auto output = Shell("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(output) << output.error().message;
  EXPECT_EQ(output->out, "out\n");
  EXPECT_EQ(output->err, "err\n");
  EXPECT_EQ(output->exit_status, 3);
  EXPECT_FALSE(output->ok());
}

TEST(RunProgram, PassesWordsAsTheyAre) {
  const auto output = RunProgram({"printf", "%s|", "a b", "$HOME; 'x'", ""});
  ASSERT_TRUE(output) << output.error().message;
  EXPECT_EQ(output->out, "a b|$HOME; 'x'||");
}

TEST(RunProgram, TellsOfASignal) {
  const auto output = Shell("kill -9 $$");
  ASSERT_TRUE(output);
  EXPECT_EQ(output->exit_status, 128 + 9);
}

TEST(RunProgram, GivesItNoneOfOurFiles) {
  const int fd = open("/dev/null", O_RDONLY);  // not close-on-exec
  const auto output = Shell("ls /proc/self/fd | wc -l; cat");
  close(fd);
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out, "4\n") << "three, and the folder that ls reads";
}

TEST(RunProgram, KillsWhatDoesNotEnd) {
  ProgramLimits limits;
  limits.patience = milliseconds(50);
  const auto output = Shell("sleep 1000 & echo $!; wait", limits);
  ASSERT_FALSE(output);
  EXPECT_NE(output.error().message.find("did not end"), std::string::npos);
}

TEST(RunProgram, TakesNoMoreThanItsBound) {
  ProgramLimits limits;
  limits.output_bytes = 1000;
  const auto output = Shell("yes", limits);
  ASSERT_FALSE(output);
  EXPECT_NE(output.error().message.find("more than 1000 bytes"),
            std::string::npos);
}

TEST(RunProgram, AProgramThatIsNotThereIsAnError) {
  EXPECT_FALSE(RunProgram({"no-such-program-here"}));
  EXPECT_FALSE(RunProgram({"/no/such/program"}));
  EXPECT_EQ(ProgramPath("no-such-program-here"), std::nullopt);
}

TEST(OutputOf, FailsWithTheFirstLineThatItSaid) {
  const auto good = OutputOf({"printf", "a\\nb\\n"});
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, "a\nb");
  const auto bad =
      OutputOf({"sh", "-c", "echo why >&2; echo more >&2; exit 1"});
  ASSERT_FALSE(bad);
  EXPECT_TRUE(bad.error().message.ends_with(": why")) << bad.error().message;
}

}  // namespace
}  // namespace postern
