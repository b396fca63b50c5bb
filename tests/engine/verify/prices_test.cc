#include "worker/engine/verify/prices.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>

namespace strata::verify {
namespace {

void Burn(double seconds) {
  const std::clock_t end = std::clock() + static_cast<std::clock_t>(seconds * CLOCKS_PER_SEC);
  while (std::clock() < end) {
  }
}

TEST(Prices, ARunnerThatWasWaitedForCountsToo) {
  Prices prices;
  {
    const Prices::Scope price(&prices, "replay");
    const pid_t pid = fork();
    if (pid == 0) {
      Burn(0.05);
      _exit(0);
    }
    waitpid(pid, nullptr, 0);
  }
  EXPECT_GE(prices.ToJson()["replay"].get<double>(), 0.045);
}

TEST(Prices, WhatIsInsideIsTakenFromWhatEnclosesIt) {
  Prices prices;
  {
    const Prices::Scope outer(&prices, "outer");
    Burn(0.03);
    {
      const Prices::Scope inner(&prices, "inner");
      Burn(0.06);
    }
    Burn(0.03);
  }
  const auto json = prices.ToJson();
  EXPECT_GE(json["inner"].get<double>(), 0.055);
  EXPECT_GE(json["outer"].get<double>(), 0.055);
  EXPECT_EQ(json.size(), 3u);  // and "other"
}

TEST(Prices, NobodyNeedsToCount) { const Prices::Scope price(nullptr, "replay"); }

}  // namespace
}  // namespace strata::verify
