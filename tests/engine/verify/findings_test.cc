#include "worker/engine/verify/findings.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

class NoZygote : public host::Zygote {
 public:
  host::RunOutcome Run(const host::RunRequest&, const host::Limits&) override { return {}; }
  absl::StatusOr<std::string> RunTrusted(const std::function<absl::StatusOr<std::string>()>&,
                                         const host::Limits&) override {
    return "";
  }
  std::vector<std::pair<std::string, std::string>> Environment() const override { return {}; }
};

class FindingsTest : public ::testing::Test {
 protected:
  FindingsTest() : dir_(*TempDir::Create("findings_test_")) {}

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = dir_.path() + "/" + name;
    EXPECT_TRUE(MakeDirs(DirName(path)).ok());
    EXPECT_TRUE(WriteFile(path, text).ok());
    return path;
  }

  TempDir dir_;
  NoZygote zygote_;
  Context context_{.zygote = zygote_,
                   .limits = {},
                   .numeric = {},
                   .device = "cpu",
                   .scratch_dir = "",
                   .findings = nullptr};
};

TEST_F(FindingsTest, TheSameFileInAnotherFolderIsKnown) {
  const std::string key = Findings::Key(context_, Write("level_0_kernel/relu.py", "relu"));
  EXPECT_EQ(key, Findings::Key(context_, Write("steps/step_1/children/relu.py", "relu")));
  Findings findings;
  findings.NotePassed(key);
  EXPECT_TRUE(findings.Passed(key));
}

TEST_F(FindingsTest, WhateverTheRunDependsOnMakesAnotherKey) {
  const std::string path = Write("relu.py", "relu");
  const std::string key = Findings::Key(context_, path);
  EXPECT_NE(key, Findings::Key(context_, Write("a/relu.py", "relu ")));
  EXPECT_NE(key, Findings::Key(context_, Write("gelu.py", "relu")));
  for (const auto& change : std::vector<void (*)(Context&)>{
           [](Context& c) { c.device = "cuda"; }, [](Context& c) { c.numeric.threads = 2; },
           [](Context& c) { c.limits.wall = std::chrono::seconds(1); },
           [](Context& c) { c.limits.memory_bytes = 1; }}) {
    Context other = context_;
    change(other);
    EXPECT_NE(key, Findings::Key(other, path));
  }
}

TEST_F(FindingsTest, WorkloadsAreApartAndAnUnreadableFileIsNeverKnown) {
  Findings findings;
  findings.NoteExecuted("k", 0, {.shapes = "fp32[2]", .counted = {{"relu", 1}}});
  ASSERT_NE(findings.FindExecuted("k", 0), nullptr);
  EXPECT_EQ(findings.FindExecuted("k", 0)->shapes, "fp32[2]");
  EXPECT_EQ(findings.FindExecuted("k", 1), nullptr);
  const std::string none = Findings::Key(context_, dir_.path() + "/none.py");
  findings.NotePassed(none);
  EXPECT_FALSE(findings.Passed(none));
}

TEST_F(FindingsTest, ItForgetsRatherThanGrow) {
  Findings findings;
  findings.NotePassed("first");
  for (const char c : {'a', 'b', 'c'}) findings.NotePassed(std::string(Findings::kMaxBytes / 2, c));
  EXPECT_FALSE(findings.Passed("first"));
  EXPECT_TRUE(findings.Passed(std::string(Findings::kMaxBytes / 2, 'c')));
}

}  // namespace
}  // namespace strata::verify
