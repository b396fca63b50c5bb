// What a runner takes too much of ends it, quickly, and nothing of it stays alive.

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/process_tree.h"
#include "tests/engine/host/fixture.h"

namespace strata::host {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

using LimitsTest = HostTest;

TEST_F(LimitsTest, AnEndlessLoopEndsAtTheWallLimitAndNamesItsLine) {
  limits_.wall = seconds(1);
  const RunOutcome outcome = RunText(ModelWithForward("while True: x = x + 1"));
  EXPECT_EQ(outcome.status, RunStatus::kWallLimit);
  EXPECT_EQ(outcome.stage, "forward");
  EXPECT_EQ(outcome.line, 12);
  EXPECT_THAT(outcome.message, HasSubstr("longer than its limit of 1 s, in stage 'forward', at model.py:12"));
  EXPECT_LT(outcome.seconds, 10);
}

TEST_F(LimitsTest, ALoopThatIgnoresEverySignalEndsToo) {
  limits_.wall = seconds(1);
  const RunOutcome outcome =
      RunText(ModelWithForward("import signal; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 3, 10, 12, "
                               "15)]\n        while True: pass"));
  EXPECT_EQ(outcome.status, RunStatus::kWallLimit);
  EXPECT_LT(outcome.seconds, 10);
}

TEST_F(LimitsTest, TouchingMoreMemoryThanAllowedEndsTheRunBeforeItHurtsTheMachine) {
  limits_.memory_bytes = int64_t{1} << 30;
  const RunOutcome outcome =
      RunText(ModelWithForward("kept = [torch.ones(1 << 24) for _ in range(1600)]; return x"));
  EXPECT_EQ(outcome.status, RunStatus::kMemoryLimit);
  EXPECT_EQ(outcome.stage, "forward");
  EXPECT_EQ(outcome.line, 12);
  EXPECT_THAT(outcome.message, HasSubstr("more memory than its limit of 1.00 GiB"));
  EXPECT_LT(outcome.peak_rss_bytes, int64_t{3} << 30);
}

TEST_F(LimitsTest, MemoryOfChildProcessesCounts) {
  limits_.memory_bytes = int64_t{1} << 30;
  const RunOutcome outcome = RunText(ModelWithForward(R"(for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                kept = bytearray(os.urandom(1)) * (300 << 20)
                while True: pass
        while True: pass)"));
  EXPECT_EQ(outcome.status, RunStatus::kMemoryLimit);
  EXPECT_TRUE(Descendants(getpid()).empty());
}

TEST_F(LimitsTest, PrintingWithoutEndIsCutAndEndsTheRun) {
  limits_.output_bytes = 1 << 20;
  const RunOutcome outcome =
      RunText(ModelWithForward("print('first')\n        while True: print('spam' * 1000)"));
  EXPECT_EQ(outcome.status, RunStatus::kOutputLimit);
  EXPECT_EQ(outcome.line, 13);
  EXPECT_EQ(outcome.stdout_text.substr(0, 9), "first\nspa");
  EXPECT_LT(outcome.stdout_text.size(), 140u << 10);
  EXPECT_THAT(outcome.stdout_text, HasSubstr("bytes left out"));
}

TEST_F(LimitsTest, AFileThatGrowsTooLargeEndsTheRun) {
  limits_.file_bytes = 1 << 20;
  const RunOutcome outcome = RunText(ModelWithForward("open('big', 'wb').write(b'x' * (2 << 20)); return x"));
  EXPECT_EQ(outcome.status, RunStatus::kFileLimit) << outcome.message;
  EXPECT_EQ(outcome.stage, "forward");
}

TEST_F(LimitsTest, ProcessesWithoutEndAreKilledToTheLast) {
  limits_.processes = 20;
  const RunOutcome outcome = RunText(ModelWithForward(R"(import time
        for _ in range(60):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(1000)
                os._exit(0)
        time.sleep(1000))"));
  EXPECT_EQ(outcome.status, RunStatus::kProcessLimit) << outcome.message;
  EXPECT_TRUE(Descendants(getpid()).empty());
}

TEST_F(LimitsTest, AProcessLeftBehindIsKilledWhenTheRunEnds) {
  const RunOutcome outcome = RunText(ModelWithForward(R"(import time
        if os.fork() == 0:
            os.setsid()
            if os.fork() != 0: os._exit(0)
            while True: time.sleep(1000)
        os.wait()
        return x)"));
  EXPECT_EQ(outcome.status, RunStatus::kOk) << outcome.message;
  EXPECT_TRUE(Descendants(getpid()).empty());
}

TEST_F(LimitsTest, TheRunnerInheritsNoDescriptorOfTheEngine) {
  int wire[2];
  ASSERT_EQ(pipe(wire), 0);
  const RunOutcome outcome =
      RunText(ModelWithForward("print(sorted(os.listdir('/proc/self/fd'))); return x"));
  EXPECT_EQ(outcome.status, RunStatus::kOk) << outcome.message;
  EXPECT_EQ(outcome.stdout_text, "['0', '1', '2', '3', '4', '5']\n");  // 5 is the folder being listed
  close(wire[0]);
  close(wire[1]);
}

TEST_F(LimitsTest, TheRunnerDiesWithItsZygote) {
  const RunOutcome outcome =
      RunText(ModelWithForward("import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, "
                               "ctypes.byref(n)); print(n.value); return x"));
  EXPECT_EQ(outcome.stdout_text, "9\n") << "PR_GET_PDEATHSIG";
}

TEST_F(LimitsTest, TheZygoteHasOneThreadAndRunnersDoNotChangeThat) {
  EXPECT_EQ(RunText(ModelWithForward("return self.linear(x)")).status, RunStatus::kOk);
  std::map<std::string, std::string> environment;
  for (const auto& [key, value] : zygote().Environment()) environment[key] = value;
  EXPECT_EQ(environment["zygote_threads"], "1");
  EXPECT_THAT(environment["torch"], testing::StartsWith("2."));
  EXPECT_THAT(environment["python"], testing::StartsWith("3."));
  EXPECT_EQ(environment["isolation"].substr(0, 7), "process");
  int threads = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    threads += entry.is_directory();
  EXPECT_EQ(threads, 1);
}

}  // namespace
}  // namespace strata::host
