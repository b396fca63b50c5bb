#include "base/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/files.h"

namespace strata {
namespace {

using Stdio = SubprocessOptions::Stdio;

SubprocessOptions Shell(const std::string& script) {
  SubprocessOptions options;
  options.argv = {"/bin/sh", "-c", script};
  return options;
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  while (true) {
    pollfd entry{fd, POLLIN, 0};
    poll(&entry, 1, 10000);
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

TEST(Subprocess, ReportsExitStatusAndSignal) {
  EXPECT_EQ((*Subprocess::Start(Shell("exit 3")))->Wait().ToString(), "exit status 3");
  const ExitStatus killed = (*Subprocess::Start(Shell("kill -9 $$")))->Wait();
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_EQ(killed.ToString(), "signal 9 (Killed)");
}

TEST(Subprocess, AMissingProgramIsAnErrorThatNamesIt) {
  SubprocessOptions options;
  options.argv = {"/nonexistent/program"};
  const auto process = Subprocess::Start(options);
  EXPECT_EQ(process.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(process.status().message().find("/nonexistent/program"), std::string::npos);
}

TEST(Subprocess, PipesCarryOutputAndErrorsApart) {
  SubprocessOptions options = Shell("echo out; echo err >&2; pwd");
  options.standard_output = options.standard_error = Stdio::kPipe;
  options.cwd = "/";
  auto process = Subprocess::Start(options);
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(ReadAll((*process)->output_fd()), "out\n/\n");
  EXPECT_EQ(ReadAll((*process)->error_fd()), "err\n");
  EXPECT_TRUE((*process)->Wait().ok());
}

TEST(Subprocess, GivesTheNamedDescriptorsAndNoOther) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const int leaked = open("/dev/null", O_RDONLY);  // not close-on-exec
  SubprocessOptions options = Shell("echo hello >&3; ls /proc/self/fd");
  options.standard_output = Stdio::kPipe;
  options.descriptors = {pair[1]};
  auto process = Subprocess::Start(options);
  ASSERT_TRUE(process.ok()) << process.status();
  char text[6] = {};
  EXPECT_EQ(read(pair[0], text, sizeof text), 6);
  EXPECT_EQ(std::string(text, 6), "hello\n");
  EXPECT_EQ(ReadAll((*process)->output_fd()), "0\n1\n2\n3\n4\n");  // 4 is the folder that ls reads
  close(leaked);
  close(pair[0]);
  close(pair[1]);
}

TEST(Subprocess, TerminateKillsWhatIgnoresTheRequest) {
  SubprocessOptions options = Shell("trap '' TERM; echo ready; while :; do sleep 1; done");
  options.standard_output = Stdio::kPipe;
  auto process = Subprocess::Start(options);
  ASSERT_TRUE(process.ok()) << process.status();
  pollfd entry{(*process)->output_fd(), POLLIN, 0};
  ASSERT_EQ(poll(&entry, 1, 10000), 1);
  EXPECT_FALSE((*process)->Wait(std::chrono::milliseconds(20)).has_value());
  EXPECT_EQ((*process)->Terminate(std::chrono::milliseconds(50)).signal, SIGKILL);
}

TEST(Subprocess, TheDestructorKillsTheGroup) {
  SubprocessOptions options = Shell("sleep 1000 & echo $!; wait");
  options.standard_output = Stdio::kPipe;
  pid_t grandchild = 0;
  {
    auto process = Subprocess::Start(options);
    ASSERT_TRUE(process.ok()) << process.status();
    pollfd entry{(*process)->output_fd(), POLLIN, 0};
    ASSERT_EQ(poll(&entry, 1, 10000), 1);
    char text[32] = {};
    ASSERT_GT(read((*process)->output_fd(), text, sizeof text - 1), 0);
    grandchild = atoi(text);
    ASSERT_GT(grandchild, 0);
  }
  // Reaped by init or a subreaper in its own time: wait until it runs no more.
  for (int i = 0; i < 1000; ++i) {
    const auto stat = ReadFile("/proc/" + std::to_string(grandchild) + "/stat");
    if (!stat.ok() || stat->find(") Z") != std::string::npos) return;
    usleep(10000);
  }
  FAIL() << "process " << grandchild << " outlived its group";
}

TEST(ProgramDir, IsTheFolderOfThisTest) {
  EXPECT_TRUE(FileExists(JoinPath(ProgramDir(), "base_test"))) << ProgramDir();
}

}  // namespace
}  // namespace strata
