// Whole steps, judged in real runners. A case is a folder of cases/: what it has replaces the files of
// cases/good, expected.json says the verdict.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/files.h"
#include "worker/engine/host/hiding.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

host::Zygote& TheZygote() {
  static host::Zygote* zygote = [] {
    absl::StatusOr<std::unique_ptr<host::Zygote>> started = host::Zygote::Start({.python = STRATA_PYTHON});
    if (!started.ok()) {
      ADD_FAILURE() << started.status();
      std::exit(1);
    }
    return started->release();
  }();
  return *zygote;
}

class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() : dir_(*TempDir::Create("verify_test_")) {}

  Context MakeContext() {
    return {.zygote = TheZygote(),
            .limits = {.wall = std::chrono::seconds(60)},
            .numeric = {},
            .device = "cpu",
            .scratch_dir = dir_.path() + "/scratch"};
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = dir_.path() + "/" + name;
    EXPECT_TRUE(MakeDirs(DirName(path)).ok());
    EXPECT_TRUE(WriteFile(path, text).ok());
    return path;
  }

  // The step folder of one case: good, then the case over it.
  std::string StepDir(const fs::path& cases, const std::string& name) {
    const fs::path step = fs::path(dir_.path()) / "steps" / ("step_1_" + name);
    const auto options = fs::copy_options::recursive | fs::copy_options::overwrite_existing;
    fs::create_directories(step);
    fs::copy(cases / "good", step, options);
    fs::copy(cases / name, step, options);
    return step.string();
  }

  TempDir dir_;
};

void CheckCase(const StepVerdict& verdict, const ordered_json& expected) {
  const std::string said = verdict.verification_result.dump(1);
  EXPECT_EQ(DecisionName(verdict.decision), expected["verdict"].get<std::string>()) << said;
  EXPECT_EQ(verdict.pass, verdict.reason.empty()) << verdict.reason;
  std::set<std::string> rules;
  for (const Violation& violation : verdict.violations) {
    rules.insert(violation.rule);
    EXPECT_FALSE(violation.what.empty());
    EXPECT_FALSE(violation.advice.empty());
  }
  for (const std::string rule : expected["rules"]) EXPECT_TRUE(rules.contains(rule)) << rule << said;
  for (const char* kind : {"missing", "extra"}) {
    if (!expected.contains(kind)) continue;
    EXPECT_EQ(verdict.coverage_report["coverage"][kind + std::string("_op_types")], expected[kind]);
  }
}

TEST_F(VerifyTest, EveryCaseHasItsVerdict) {
  const fs::path cases = fs::path(STRATA_CASES_DIR);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(cases)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  ASSERT_FALSE(names.empty());
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const auto expected = ordered_json::parse(*ReadFile(cases / name / "expected.json"));
    const auto verdict = VerifyStep(MakeContext(), StepDir(cases, name),
                                    {.is_submission = expected.value("submission", false)});
    ASSERT_TRUE(verdict.ok()) << verdict.status();
    CheckCase(*verdict, expected);
  }
}

TEST_F(VerifyTest, APassedStepHasAllFieldsOfTheSchema) {
  const auto verdict = VerifyStep(MakeContext(), StepDir(STRATA_CASES_DIR, "good"), {});
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  const ordered_json& result = verdict->verification_result;
  EXPECT_EQ(result["original_file"], "steps/step_1_good/original.py");
  EXPECT_EQ(result["weight_transfer"]["mapped_count"], 3);
  EXPECT_EQ(result["numerical_comparison"]["num_trials"], 3);
  EXPECT_EQ(result["numerical_comparison"]["max_diff_across_trials"], 0.0);
  EXPECT_EQ(result["numerical_comparison"]["bit_exact"], true);
  EXPECT_EQ(result["numerical_comparison"]["rtol"], 1e-5);
  EXPECT_EQ(result["numerical_comparison"]["trials"][2]["seed"], 44);
  EXPECT_EQ(result["environment"]["numeric"]["threads"], 1);
  const ordered_json& coverage = verdict->coverage_report;
  EXPECT_EQ(coverage["status"], "FULL_COVERAGE") << coverage.dump(1);
  EXPECT_EQ(coverage["coverage"]["total_original_ops"], 2)
      << "linear and relu; mul and add stay in the parent";
  EXPECT_EQ(coverage["plumbing"]["add"], 1);
}

TEST_F(VerifyTest, AFilePassesIfItPrintsPassAndEndsWithZero) {
  const auto verdict = [&](const std::string& text, bool by_import = false) {
    return VerifyFile(MakeContext(), Write("file.py", text), by_import);
  };
  EXPECT_TRUE(verdict("print('PASS')\n").pass);
  EXPECT_TRUE(verdict("print('[PASS] relu: all shapes')\n").pass) << "as others say it";
  EXPECT_FALSE(verdict("print('BYPASS')\n").pass);
  EXPECT_FALSE(verdict("import sys\nprint('PASS')\nsys.exit(1)\n").pass);
  EXPECT_EQ(verdict("import sys\nprint('FAIL: shape')\nsys.exit(1)\n").message, "FAIL: shape");
  const FileVerdict raised = verdict("x = 1 / 0\n");
  EXPECT_FALSE(raised.pass);
  EXPECT_NE(raised.message.find("ZeroDivisionError"), std::string::npos) << raised.message;
  EXPECT_TRUE(verdict("def run_tests():\n    print('PASS')\n    return True\nif __name__ == '__main__':\n    "
                      "raise SystemExit(3)\n",
                      true)
                  .pass);
  EXPECT_FALSE(verdict("def run_tests():\n    print('PASS')\n    return False\n", true).pass);
}

TEST_F(VerifyTest, AFileThatPassedIsRunAgainOnlyWhenItChanged) {
  Findings findings;
  Context context = MakeContext();
  context.findings = &findings;
  const std::string ran = dir_.path() + "/ran";
  const std::string text = "open('" + ran + "', 'a').write('.')\nprint('PASS')\n";
  const std::string path = Write("file.py", text);
  const auto run = [&] { return VerifyFile(context, path, /*by_import=*/false, /*may_write=*/true).pass; };
  EXPECT_TRUE(run());
  EXPECT_TRUE(run());
  EXPECT_EQ(*ReadFile(ran), ".");
  Write("file.py", text + "raise SystemExit(1)\n");
  EXPECT_FALSE(run());
  EXPECT_FALSE(run());
  EXPECT_EQ(*ReadFile(ran), "...");
}

TEST_F(VerifyTest, AFileWritesNothingBesideItself) {
  if (!host::CanHideFiles()) GTEST_SKIP() << "this kernel has no Landlock";
  const std::string path = Write("file.py", "open(__file__ + '.txt', 'w').write('.')\nprint('PASS')\n");
  EXPECT_FALSE(VerifyFile(MakeContext(), path, false).pass);
  EXPECT_FALSE(FileExists(path + ".txt"));
  const std::string own = Write("own.py", "open('own.txt', 'w').write('.')\nprint('PASS')\n");
  EXPECT_TRUE(VerifyFile(MakeContext(), own, false).pass) << "where it runs is its own";
}

}  // namespace
}  // namespace strata::verify
