#include "base/process_tree.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace strata {
namespace {

// Forks a child that makes a grandchild in a session of its own; returns the grandchild's pid.
pid_t StartEscapee(bool parent_leaves) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      setsid();
      while (true) pause();
    }
    (void)!write(ends[1], &grandchild, sizeof grandchild);
    if (parent_leaves) _exit(0);
    while (true) pause();
  }
  pid_t grandchild = -1;
  EXPECT_EQ(read(ends[0], &grandchild, sizeof grandchild), static_cast<ssize_t>(sizeof grandchild));
  close(ends[0]);
  close(ends[1]);
  return grandchild;
}

TEST(ProcessTree, ASubreaperKillsDescendantsThatLeftTheSession) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const pid_t orphan = StartEscapee(/*parent_leaves=*/true);
  const pid_t nested = StartEscapee(/*parent_leaves=*/false);
  EXPECT_TRUE(KillAllDescendants(std::chrono::seconds(10)));
  EXPECT_NE(kill(orphan, 0), 0);
  EXPECT_NE(kill(nested, 0), 0);
  EXPECT_TRUE(Descendants(getpid()).empty());
}

TEST(ProcessTree, ResidentBytesSeesTouchedMemory) {
  const int64_t before = ResidentBytes(getpid());
  constexpr size_t kBytes = 64 << 20;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  memset(memory, 1, kBytes);
  EXPECT_GT(ResidentBytes(getpid()), before + (48 << 20));
  munmap(memory, kBytes);
  EXPECT_EQ(ResidentBytes(-7), 0);
}

TEST(ProcessTree, ProportionalBytesDividesWhatAForkShares) {
  constexpr size_t kBytes = 64 << 20;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  memset(memory, 1, kBytes);
  const int64_t alone = ProportionalBytes(getpid());
  EXPECT_GT(alone, 60 << 20);
  const pid_t child = fork();
  if (child == 0) {
    while (true) pause();
  }
  EXPECT_LT(ProportionalBytes(getpid()) + ProportionalBytes(child), alone + (32 << 20));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  munmap(memory, kBytes);
}

TEST(ProcessTree, AvailableMemoryIsKnownHere) { EXPECT_GT(AvailableMemoryBytes(), 0); }

}  // namespace
}  // namespace strata
