// The whole road with the real engine: `strata` as a user calls it.
#include <algorithm>
#include <filesystem>
#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/e2e/harness.h"

namespace strata::e2e {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

std::string Source(const std::string& path) {
  const char* root = std::getenv("STRATA_SOURCE_DIR");
  return JoinPath(root != nullptr ? root : ".", path);
}

TEST(Decompose, TheExampleComesBackProvedBitForBit) {
  auto dir = TempDir::Create("strata_engine");
  const std::string out = JoinPath(dir->path(), "bundle");
  const CliResult result = RunProgram(
      {Program("strata"), "decompose", Source("examples/mlp.py"), "-o", out, "--device", "cpu", "--json"},
      seconds(300));
  ASSERT_EQ(result.code, 0) << result.out << result.err;
  const auto document = result.json();
  EXPECT_EQ(document["status"], "PASS");
  ASSERT_GT(document["steps"].size(), 0u);
  for (const auto& step : document["steps"]) {
    EXPECT_EQ(step["status"], "PASS");
    EXPECT_EQ(step["max_diff"], 0.0) << step["name"];
  }
  EXPECT_EQ(document["coverage"]["status"], "FULL_COVERAGE");
  EXPECT_EQ(ReadFile(out + "/source/mlp.py").value_or(""), ReadFile(Source("examples/mlp.py")).value_or("-"));
  // What the bundle says of itself holds without strata.
  const CliResult alone = RunProgram({TEST_PYTHON, out + "/verification/composition_test.py"}, seconds(120));
  EXPECT_EQ(alone.code, 0) << alone.out << alone.err;
  EXPECT_THAT(alone.out, HasSubstr("PASS"));
}

// One service for all cases: each must leave it unharmed for the next.
class EngineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { service_ = new Service(Program("strata-engine")); }
  static void TearDownTestSuite() { delete std::exchange(service_, nullptr); }

  static Service* service_;
};
Service* EngineTest::service_ = nullptr;

struct Case {
  std::vector<std::string> expected, options;
};

Case ReadCase(const std::string& path) {
  Case result;
  std::istringstream lines(ReadFile(path).value_or(""));
  for (std::string line; std::getline(lines, line) && line.starts_with("# ");) {
    if (line.starts_with("# expect: ")) result.expected.push_back(line.substr(10));
    std::istringstream options(line.starts_with("# options: ") ? line.substr(11) : "");
    for (std::string word; options >> word;) result.options.push_back(word);
  }
  return result;
}

TEST_F(EngineTest, EveryBadSubmissionEndsWithTwoAndSaysWhatIsWrong) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(Source("tests/corpus/reject"))) {
    if (entry.path().extension() == ".py") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  ASSERT_GE(files.size(), 11u);
  for (const std::string& file : files) {
    const Case wanted = ReadCase(file);
    ASSERT_FALSE(wanted.expected.empty()) << file;
    std::vector<std::string> arguments = {"decompose", file, "-o", service_->Path(Stem(file))};
    arguments.insert(arguments.end(), wanted.options.begin(), wanted.options.end());
    const CliResult result = service_->Cli(arguments, seconds(180));
    EXPECT_EQ(result.code, 2) << file << "\n" << result.out << result.err;
    for (const std::string& text : wanted.expected) EXPECT_THAT(result.out, HasSubstr(text)) << file;
    EXPECT_LT(result.out.size(), 100'000u) << file;
    EXPECT_TRUE(service_->ServerAlive()) << file;
    EXPECT_TRUE(service_->WorkerAlive()) << file;
  }
  const CliResult next =
      service_->Cli({"decompose", Source("examples/mlp.py"), "-o", service_->Path("mlp")}, seconds(300));
  EXPECT_EQ(next.code, 0) << next.out << next.err;
}

// What models do that is easily lost on the way; the bundle's own scripts must agree.
TEST_F(EngineTest, WhatIsHonestIsProvedAndItsOwnScriptsAgree) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(Source("tests/corpus/accept"))) {
    if (entry.path().extension() == ".py") files.push_back(entry.path());
  }
  ASSERT_GE(files.size(), 3u);
  for (const std::string& file : files) {
    const std::string out = service_->Path(Stem(file));
    const CliResult result = service_->Cli({"decompose", file, "-o", out}, seconds(180));
    EXPECT_EQ(result.code, 0) << file << "\n" << result.out << result.err;
    EXPECT_THAT(result.out, HasSubstr("max_diff 0, coverage 100 %")) << file;
    const CliResult again =
        RunProgram({TEST_PYTHON, out + "/scripts/run_step_pipeline.py", out}, seconds(180));
    EXPECT_EQ(again.code, 0) << file << "\n" << again.out << again.err;
  }
}

TEST_F(EngineTest, AStepIsAcceptedAndItsSpoiledTwinRejected) {
  const std::string step = service_->Path("step");
  std::filesystem::copy(Source("tests/golden/mlp/expected/steps/step_2_linear_relu_784x512_to_kernels"), step,
                        std::filesystem::copy_options::recursive);
  const CliResult good = service_->Cli({"verify", step, "--device", "cpu"}, seconds(180));
  EXPECT_EQ(good.code, 0) << good.out << good.err;
  EXPECT_THAT(good.out, HasSubstr("\naccepted  step\n"));
  std::string text = ReadFile(step + "/refactored.py").value_or("");
  const size_t call = text.find("self.relu(x)");
  ASSERT_NE(call, std::string::npos);
  ASSERT_TRUE(WriteFile(step + "/refactored.py", text.replace(call, 4, "torch")).ok());
  const CliResult bad = service_->Cli({"verify", step, "--device", "cpu", "--json"}, seconds(180));
  EXPECT_EQ(bad.code, 1) << bad.out << bad.err;
  EXPECT_EQ(bad.json()["verdict"], "rejected");
  EXPECT_EQ(bad.json()["folder"], "step");
  EXPECT_GT(bad.json()["violations"].size(), 0u);
  std::filesystem::remove(step + "/original.py");
  const CliResult neither = service_->Cli({"verify", step}, seconds(180));
  EXPECT_EQ(neither.code, 2) << neither.out << neither.err;
  EXPECT_THAT(neither.out, HasSubstr("\nstep is neither a bundle"));
}

TEST_F(EngineTest, AfterTheServersDeathTheRealJobFinishesToo) {
  Background decompose(
      service_->CliArgv({"decompose", Source("examples/mlp.py"), "-o", service_->Path("killed")}));
  ASSERT_TRUE(decompose.AwaitOutput("done  prepare", seconds(120)));
  service_->KillServer();
  service_->StartServer();
  const CliResult result = decompose.Wait(seconds(300));
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  for (const char* question : {"tree", "steps", "log", "coverage"})
    EXPECT_EQ(service_->Cli({question}).code, 0) << question;
}

TEST_F(EngineTest, APythonClientFindsItsWayByReflection) {
  if (RunProgram({TEST_PYTHON, "-c", "import grpc, grpc_reflection"}, seconds(60)).code != 0) {
    GTEST_SKIP() << TEST_PYTHON << " has no grpcio and grpcio-reflection";
  }
  const CliResult result = RunProgram(
      {TEST_PYTHON, CLIENT_TEST, "--server", service_->address(), "--model", Source("examples/mlp.py")},
      seconds(300));
  EXPECT_EQ(result.code, 0) << result.out << result.err;
}

}  // namespace
}  // namespace strata::e2e
