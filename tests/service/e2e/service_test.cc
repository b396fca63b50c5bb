// Server, worker and CLI together; the engine is the scripted one, so the numbers are made up and the road is
// real. The submissions say what goes wrong, see scripted_engine.cc.
#include <signal.h>

#include <barrier>
#include <filesystem>
#include <thread>

#include "base/sha256.h"
#include "client/cli/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/e2e/harness.h"

namespace strata::e2e {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ServiceTest : public ::testing::Test {
 protected:
  std::string Submit(const std::string& text, const std::string& name = "toy.py") {
    const CliResult result = service_.Cli({"submit", service_.Write(name, text)});
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out.substr(0, result.out.find('\n'));
  }
  std::string StateOf(const std::string& id) {
    const auto status = service_.Cli({"status", id, "--json"}).json();
    return status.is_object() ? status.value("state", "") : "";
  }
  bool AwaitState(const std::string& id, const std::string& state, seconds patience = seconds(30)) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < end) {
      if (StateOf(id) == state) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }

  Service service_{SCRIPTED_ENGINE};
};

TEST_F(ServiceTest, DecomposeDeliversTheBundleAndSaysPass) {
  const std::string out = service_.Path("bundle");
  const CliResult result = service_.Cli({"decompose", service_.Write("toy.py", "# toy\n"), "-o", out});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("PASS  step_2_block_to_kernels"));
  EXPECT_THAT(result.out, HasSubstr("├─ block"));
  EXPECT_THAT(result.out, HasSubstr("FULL_COVERAGE  100 % of 5 operators, missing nothing, extra nothing"));
  EXPECT_THAT(result.out, HasSubstr("\nPASS  toy: 2 of 2 steps verified, max_diff 0, coverage 100 %\n"));
  EXPECT_EQ(ReadFile(out + "/source/toy.py").value_or(""), "# toy\n");
  EXPECT_TRUE(FileExists(out + "/steps/step_1_toy_to_layers/verification_result.json"));
  EXPECT_FALSE(FileExists(out + "/.strata"));
}

TEST_F(ServiceTest, DecomposeAsJsonPrintsOneDocument) {
  const CliResult result = service_.Cli(
      {"decompose", service_.Write("toy.py", "# toy\n"), "-o", service_.Path("bundle"), "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  const auto document = result.json();
  ASSERT_TRUE(document.is_object()) << result.out;
  EXPECT_EQ(document["status"], "PASS");
  EXPECT_EQ(document["decomposition"]["state"], "SUCCEEDED");
  EXPECT_EQ(document["steps"].size(), 2u);
  EXPECT_EQ(document["coverage"]["coverage_pct"], 100);
  EXPECT_THAT(result.err, HasSubstr("PASS  step_1_toy_to_layers"));
}

TEST_F(ServiceTest, AFailedGateDeliversWhatWasProvedAndEndsWithOne) {
  const std::string out = service_.Path("bundle");
  const CliResult result = service_.Cli({"decompose", service_.Write("toy.py", "# gate block\n"), "-o", out});
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_THAT(result.out, HasSubstr("FAIL  step_2_block_to_kernels"));
  EXPECT_THAT(result.out, HasSubstr("the outputs differ by 0.5"));
  EXPECT_THAT(result.out, HasSubstr("\nFAIL  toy: 1 of 2 steps verified"));
  EXPECT_THAT(service_.Cli({"steps", "--step", "step_2_block_to_kernels"}).out,
              HasSubstr("plumbing: refactored.py:7: relu: must be in a child"));
  EXPECT_TRUE(FileExists(out + "/steps/step_1_toy_to_layers/verification_result.json"));
}

TEST_F(ServiceTest, TheSubmissionsOwnFailureNamesFileAndLineAndEndsWithTwo) {
  const CliResult result = service_.Cli(
      {"decompose", service_.Write("toy.py", "# toy\n\n# fail prepare\n"), "-o", service_.Path("bundle")});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.out, HasSubstr("toy.py, line 3: told to fail in prepare"));
  EXPECT_EQ(
      service_.Cli({"decompose", service_.Write("toy.py", "# toy\n"), "-o", service_.Path("next")}).code, 0);
}

TEST_F(ServiceTest, AnEngineThatKeepsDyingEndsTheJobAsOursAndTheNextOneRuns) {
  const CliResult result =
      service_.Cli({"decompose", service_.Write("toy.py", "# die prepare\n"), "-o", service_.Path("bundle")});
  EXPECT_EQ(result.code, 3) << result.out;
  EXPECT_THAT(result.out, HasSubstr("exit status 17"));
  EXPECT_THAT(result.out, HasSubstr("told to die in prepare"));
  EXPECT_EQ(
      service_.Cli({"decompose", service_.Write("toy.py", "# toy\n"), "-o", service_.Path("next")}).code, 0);
  EXPECT_TRUE(service_.WorkerAlive());
}

TEST_F(ServiceTest, TheServersDeathInTheMiddleDoesNotStopTheJob) {
  Background decompose(service_.CliArgv(
      {"decompose", service_.Write("toy.py", "# sleep 0.5\n"), "-o", service_.Path("bundle")}));
  ASSERT_TRUE(decompose.AwaitOutput("step_1_toy_to_layers", seconds(30)));
  service_.KillServer();
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  service_.StartServer();
  const CliResult result = decompose.Wait(seconds(60));
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  // Everything a client asks for answers from what is on disk.
  EXPECT_THAT(service_.Cli({"tree"}).out, HasSubstr("└─ linear_4x4_fp32"));
  EXPECT_THAT(service_.Cli({"steps"}).out, HasSubstr("step_2_block_to_kernels  PASS"));
  EXPECT_THAT(service_.Cli({"log"}).out, HasSubstr("The blocks are equal"));
  EXPECT_THAT(service_.Cli({"coverage"}).out, HasSubstr("FULL_COVERAGE"));
}

TEST_F(ServiceTest, TheWorkersDeathCostsItsAttemptOnly) {
  const std::string id = Submit("# sleep 1\n");
  ASSERT_TRUE(AwaitState(id, "RUNNING"));
  service_.KillWorker();
  service_.StartWorker();
  EXPECT_TRUE(AwaitState(id, "SUCCEEDED", seconds(60)));
}

// Writes a step whose refactored.py has this text.
std::string WriteStep(const std::string& folder, const std::string& refactored) {
  EXPECT_TRUE(MakeDirs(folder + "/children").ok());
  EXPECT_TRUE(WriteFile(folder + "/original.py", "# original\n").ok());
  EXPECT_TRUE(WriteFile(folder + "/refactored.py", refactored).ok());
  EXPECT_TRUE(WriteFile(folder + "/children/__init__.py", "").ok());
  return folder;
}

TEST_F(ServiceTest, VerifyEndsWithTheVerdictsCodeAndListsTheViolations) {
  const CliResult accepted = service_.Cli({"verify", WriteStep(service_.Path("good"), "# fine\n")});
  EXPECT_EQ(accepted.code, 0) << accepted.out << accepted.err;
  EXPECT_THAT(accepted.out, HasSubstr("done  judge"));
  EXPECT_THAT(accepted.out, HasSubstr("\naccepted  good\n"));

  const std::string bad = WriteStep(service_.Path("bad"), "# verdict rejected\n");
  const CliResult rejected = service_.Cli({"verify", bad});
  EXPECT_EQ(rejected.code, 1) << rejected.err;
  EXPECT_THAT(rejected.out, HasSubstr("numbers: refactored.py:7\n    output 0 differs by 0.5\n"));
  EXPECT_THAT(rejected.out, HasSubstr("\nrejected  bad\n"));
  const CliResult json = service_.Cli({"verify", bad, "--json"});
  EXPECT_EQ(json.code, 1) << json.err;
  EXPECT_EQ(json.json()["verdict"], "rejected");
  EXPECT_EQ(json.json()["folder"], "bad");
  EXPECT_EQ(json.json()["violations"][0]["rule"], "numbers");
  EXPECT_EQ(json.json()["environment"]["engine_version"], "fake");

  const CliResult none = service_.Cli({"verify", WriteStep(service_.Path("odd"), "# verdict cannot\n")});
  EXPECT_EQ(none.code, 2) << none.err;
  EXPECT_THAT(none.out, HasSubstr("original.py ran past 60 s\n"));
  EXPECT_THAT(none.out, HasSubstr("\ncannot be judged  odd\n"));

  EXPECT_THAT(service_.Cli({"list"}).out, HasSubstr("judge  bad    rejected"));
  EXPECT_THAT(service_.Cli({"status"}).out, HasSubstr("verdict    cannot be judged"));
  EXPECT_EQ(service_.Cli({"log"}).code, 0);
  EXPECT_THAT(service_.Cli({"log", "--output"}).out, HasSubstr("judge"));
  EXPECT_EQ(service_.Cli({"watch"}).code, 2);
}

TEST_F(ServiceTest, VerifyOfAnEngineThatDiesIsOursAndNoVerdict) {
  const std::string step = WriteStep(service_.Path("step"), "# die judge\n");
  const CliResult result = service_.Cli({"verify", step});
  EXPECT_EQ(result.code, 3) << result.out;
  EXPECT_THAT(result.out, HasSubstr("told to die in judge"));
  const CliResult json = service_.Cli({"verify", step, "--json"});
  EXPECT_EQ(json.code, 3);
  EXPECT_EQ(json.json()["verdict"], "cannot be judged");
  EXPECT_THAT(json.json()["error"].get<std::string>(), HasSubstr("exit status 17"));
  EXPECT_TRUE(service_.WorkerAlive());
}

TEST_F(ServiceTest, AnInterruptedVerifyCancelsItsJob) {
  Background verify(service_.CliArgv({"verify", WriteStep(service_.Path("step"), "# sleep 600\n")}));
  ASSERT_TRUE(verify.AwaitOutput("running", seconds(20)));
  verify.Signal(SIGINT);
  EXPECT_EQ(verify.Wait(seconds(30)).code, 130);
  const std::string id = service_.Cli({"list", "--json"}).json()["decompositions"][0]["id"];
  EXPECT_TRUE(AwaitState(id, "CANCELED"));
}

TEST_F(ServiceTest, AFolderThatCannotBeSentIsRefusedWithTheFilesName) {
  const std::string step = WriteStep(service_.Path("step"), "# fine\n");
  const auto refused = [&](const std::string& path) {
    const CliResult result = service_.Cli({"verify", path});
    EXPECT_EQ(result.code, 2) << path;
    return result.err;
  };
  EXPECT_THAT(refused(service_.Path("nothing")), HasSubstr("is no folder"));
  EXPECT_THAT(refused(step + "/original.py"), HasSubstr("is no folder"));
  std::filesystem::create_directories(service_.Path("empty/inside"));
  EXPECT_THAT(refused(service_.Path("empty")), HasSubstr("holds no files"));
  std::filesystem::create_symlink("/etc", step + "/children/etc");
  EXPECT_THAT(refused(step), HasSubstr("children/etc is a symbolic link"));
  std::filesystem::remove(step + "/children/etc");
  std::filesystem::create_symlink("original.py", step + "/link.py");
  EXPECT_THAT(refused(step), HasSubstr("link.py is a symbolic link"));
  std::filesystem::remove(step + "/link.py");
  ASSERT_TRUE(WriteFile(step + "/weights.bin", "x").ok());
  std::filesystem::resize_file(step + "/weights.bin", (64 << 20) + 1);
  EXPECT_THAT(refused(step), HasSubstr("weights.bin is too large; at most 64.0 MiB"));
  EXPECT_THAT(service_.Cli({"list"}).out, HasSubstr("no decompositions"));
}

TEST_F(ServiceTest, WatchAsJsonIsOneEventALineAndResumes) {
  const std::string id = Submit("# toy\n");
  const CliResult all = service_.Cli({"watch", id, "--json"});
  EXPECT_EQ(all.code, 0) << all.err;
  std::vector<nlohmann::json> events;
  std::istringstream lines(all.out);
  for (std::string line; std::getline(lines, line);) events.push_back(nlohmann::json::parse(line));
  ASSERT_GT(events.size(), 5u);
  EXPECT_EQ(events.back()["state_changed"]["state"], "SUCCEEDED");
  const CliResult rest =
      service_.Cli({"watch", id, "--json", "--after", events[events.size() - 2]["number"].dump()});
  EXPECT_EQ(std::count(rest.out.begin(), rest.out.end(), '\n'), 1) << rest.out;
}

TEST_F(ServiceTest, QuestionsAnswerForPeopleAndForMachines) {
  const std::string id = Submit("# print hello from the model\n");
  ASSERT_EQ(service_.Cli({"watch", id}).code, 0);
  EXPECT_THAT(service_.Cli({"status", id}).out, HasSubstr("2 of 2 verified"));
  EXPECT_THAT(service_.Cli({"list", "--model", "toy"}).out, HasSubstr(id));
  EXPECT_THAT(service_.Cli({"list", "--state", "failed"}).out, HasSubstr("no decompositions"));
  EXPECT_THAT(service_.Cli({"workers"}).out, HasSubstr("connected"));
  EXPECT_THAT(service_.Cli({"log", id, "--output", "--task", "prepare"}).out,
              HasSubstr("hello from the model"));
  EXPECT_THAT(service_.Cli({"steps", id, "--step", "block"}).out, HasSubstr("original.py → refactored.py"));
  EXPECT_THAT(service_.Cli({"coverage", id, "--step", "block"}).out, HasSubstr("relu"));
  EXPECT_EQ(service_.Cli({"steps", id, "--json"}).json()["steps"][0]["status"], "PASS");
  EXPECT_EQ(service_.Cli({"tree", id, "--json"}).json()["nodes"].size(), 4u);
  EXPECT_EQ(service_.Cli({"get", id, "-o", service_.Path("got")}).code, 0);
  EXPECT_TRUE(FileExists(service_.Path("got/decomposition_tree.json")));
}

TEST_F(ServiceTest, CancelKillsTheRunningTask) {
  const std::string id = Submit("# sleep 600\n");
  ASSERT_TRUE(AwaitState(id, "RUNNING"));
  EXPECT_EQ(service_.Cli({"cancel", id, "--reason", "test"}).code, 0);
  EXPECT_TRUE(AwaitState(id, "CANCELED"));
  const std::string next = Submit("# toy\n", "next.py");
  EXPECT_TRUE(AwaitState(next, "SUCCEEDED"));
}

TEST_F(ServiceTest, WhoWatchesACanceledJobReadsSoAndEndsWithTwo) {
  Background decompose(service_.CliArgv(
      {"decompose", service_.Write("toy.py", "# sleep 600\n"), "-o", service_.Path("bundle")}));
  ASSERT_TRUE(decompose.AwaitOutput("running", seconds(30)));
  const std::string id = service_.Cli({"list", "--json"}).json()["decompositions"][0]["id"];
  EXPECT_EQ(service_.Cli({"cancel", id, "--reason", "not needed"}).code, 0);
  for (const CliResult& result : {decompose.Wait(seconds(30)), service_.Cli({"watch", id})}) {
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\nCANCELED  toy: not needed\n"));
  }
}

TEST_F(ServiceTest, AQueuedJobSaysSoAtOnceAndWhatItWaitsFor) {
  const CliResult submitted =
      service_.Cli({"submit", service_.Write("toy.py", "# toy\n"), "--device", "cuda"});
  ASSERT_EQ(submitted.code, 0) << submitted.err;
  Background watch(service_.CliArgv({"watch"}));
  EXPECT_TRUE(watch.AwaitOutput("queued", seconds(1)));
  EXPECT_TRUE(watch.AwaitOutput("waiting: no connected worker has cuda", seconds(10)));
  service_.KillWorker();
  EXPECT_TRUE(watch.AwaitOutput("waiting: no worker is connected", seconds(20)));
}

TEST_F(ServiceTest, ManyClientsSendTheSameNewFileAtOnce) {
  constexpr int kClients = 4, kFiles = 50;
  std::barrier start(kClients);
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] {
      cli::Client client(service_.address());
      for (int number = 0; number < kFiles; ++number) {
        const std::string content = "# toy " + std::to_string(number) + "\n";
        start.arrive_and_wait();
        std::this_thread::sleep_for(std::chrono::microseconds(i * number * 100));
        const absl::Status status =
            client.Retry(seconds(20), [&] { return client.Upload(Sha256Hex(content), content); });
        EXPECT_TRUE(status.ok()) << status;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ServiceTest, ASubmissionWaitsForAServerThatIsRestarting) {
  service_.KillServer();
  Background submit(service_.CliArgv({"submit", service_.Write("toy.py", "# toy\n")}));
  std::this_thread::sleep_for(seconds(1));
  service_.StartServer();
  const CliResult result = submit.Wait(seconds(30));
  EXPECT_EQ(result.code, 0) << result.err;
}

TEST_F(ServiceTest, TheServersDeathAfterTheJobsEndDoesNotLoseTheResult) {
  Background decompose(
      service_.CliArgv({"decompose", service_.Write("toy.py", "# toy\n"), "-o", service_.Path("bundle")}));
  ASSERT_TRUE(decompose.AwaitOutput("done  publish", seconds(30)));
  std::this_thread::sleep_for(std::chrono::milliseconds(10));  // the job's last event comes right behind
  service_.KillServer();
  std::this_thread::sleep_for(seconds(1));
  service_.StartServer();
  const CliResult result = decompose.Wait(seconds(60));
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_TRUE(FileExists(service_.Path("bundle/decomposition_tree.json")));
}

TEST_F(ServiceTest, ABundleThatCannotBeDeliveredIsStillThere) {
  const std::string out = service_.Path("bundle");
  Background decompose(service_.CliArgv({"decompose", service_.Write("toy.py", "# sleep 0.2\n"), "-o", out}));
  ASSERT_TRUE(decompose.AwaitOutput("job ", seconds(30)));
  ASSERT_TRUE(WriteFile(out, "in the way").ok());
  const CliResult result = decompose.Wait(seconds(60));
  EXPECT_EQ(result.code, 2) << result.out;
  const size_t hint = result.err.find("strata get d-");
  ASSERT_NE(hint, std::string::npos) << result.err;
  const std::string id = result.err.substr(hint + 11, result.err.find(' ', hint + 11) - hint - 11);
  EXPECT_EQ(service_.Cli({"get", id, "-o", service_.Path("got")}).code, 0);
}

TEST_F(ServiceTest, CtrlCOnDecomposeCancelsTheJob) {
  Background decompose(service_.CliArgv(
      {"decompose", service_.Write("toy.py", "# sleep 600\n"), "-o", service_.Path("bundle")}));
  ASSERT_TRUE(decompose.AwaitOutput("job ", seconds(30)));
  decompose.Signal(SIGINT);
  EXPECT_EQ(decompose.Wait(seconds(20)).code, 130);
  const auto list = service_.Cli({"list", "--json"}).json();
  ASSERT_EQ(list["decompositions"].size(), 1u);
  EXPECT_TRUE(AwaitState(list["decompositions"][0]["id"], "CANCELED"));
}

TEST_F(ServiceTest, BadInputIsRefusedBeforeAnythingStarts) {
  const auto refused = [&](const std::string& path, const std::string& message) {
    const CliResult result = service_.Cli({"decompose", path});
    EXPECT_EQ(result.code, 2) << path;
    EXPECT_THAT(result.err, StartsWith("error: "));
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  refused(service_.Path("missing.py"), "missing.py does not exist");
  refused(service_.Write("empty.py", ""), "is empty (0 bytes)");
  refused(service_.Path("data"), "is not a regular file");
  const std::string large = service_.Write("large.py", "x");
  std::filesystem::resize_file(large, uintmax_t{600} << 20);
  refused(large, "has 600.0 MiB; at most 64.0 MiB");
  refused(service_.Write("b\xff.py", "# toy\n"), "the file's name b\\xff.py is not UTF-8");
  EXPECT_EQ(service_.Cli({"list", "--json"}).json()["decompositions"].size(), 0u);
}

TEST_F(ServiceTest, TextThatIsNotUtf8IsRefusedByName) {
  const std::string file = service_.Write("toy.py", "# toy\n");
  const std::vector<std::vector<std::string>> commands = {{"submit", file, "--name", "b\xff"},
                                                          {"submit", file, "--label", "k=b\xff"},
                                                          {"list", "--model", "b\xff"},
                                                          {"list", "--label", "k=b\xff"},
                                                          {"status", "b\xff"},
                                                          {"cancel", "d-1", "--reason", "b\xff"}};
  for (const auto& command : commands) {
    const CliResult result = service_.Cli(command);
    EXPECT_EQ(result.code, 2) << command[0];
    EXPECT_THAT(result.err, HasSubstr("b\\xff is not UTF-8")) << command[0];
    EXPECT_THAT(result.err, Not(HasSubstr("libprotobuf"))) << command[0];
  }
}

TEST_F(ServiceTest, AnOutputThatCannotBeWrittenIsRefusedBeforeTheWorkStarts) {
  const std::string file = service_.Write("toy.py", "# toy\n");
  for (const std::string& out : {std::string("/proc/nowhere/x"), file + "/sub"}) {
    const CliResult result = service_.Cli({"decompose", file, "-o", out});
    EXPECT_EQ(result.code, 2) << out;
    EXPECT_THAT(result.err, HasSubstr("cannot write below")) << out;
  }
  EXPECT_EQ(service_.Cli({"list", "--json"}).json()["decompositions"].size(), 0u);
}

TEST_F(ServiceTest, AFolderThatIsNotEmptyIsRefusedBeforeTheWorkStarts) {
  const CliResult result =
      service_.Cli({"decompose", service_.Write("toy.py", "# toy\n"), "-o", service_.Path("data")});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("is not empty"));
  EXPECT_EQ(service_.Cli({"list", "--json"}).json()["decompositions"].size(), 0u);
}

TEST_F(ServiceTest, ADecompositionThatIsNotThereEndsWithTwo) {
  const CliResult result = service_.Cli({"status", "nothing"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("nothing"));
}

TEST(ServiceAway, EveryCommandEndsWithThree) {
  for (const char* command :
       {"status", "list", "tree", "steps", "log", "coverage", "workers", "watch", "get"}) {
    const CliResult result =
        RunProgram({Program("strata"), command, "--server", "unix:/tmp/strata_nobody.sock"}, seconds(20));
    EXPECT_EQ(result.code, 3) << command;
    EXPECT_THAT(result.err, HasSubstr("unix:/tmp/strata_nobody.sock")) << command;
  }
}

TEST(Usage, WrongOptionsEndWithTwoAndHelpWithZero) {
  EXPECT_EQ(RunProgram({Program("strata"), "decompose"}, seconds(20)).code, 2);
  EXPECT_EQ(RunProgram({Program("strata"), "list", "--limit", "0", "--server", "x"}, seconds(20)).code, 2);
  EXPECT_EQ(RunProgram({Program("strata")}, seconds(20)).code, 2);
  EXPECT_EQ(RunProgram({Program("strata"), "decompose", "--help"}, seconds(20)).code, 0);
}

// The programs with the scripted engine as "strata-engine" beside them, as an installation has them.
class EmbeddedTest : public ::testing::Test {
 protected:
  EmbeddedTest() : dir_(*TempDir::Create("strata_embedded")) {
    for (const char* name : {"strata", "strata-server", "strata-worker"}) Install(Program(name), name);
    Install(SCRIPTED_ENGINE, "strata-engine");
    UseTmp(Path("tmp"));
  }
  ~EmbeddedTest() override { unsetenv("TMPDIR"); }

  // Where the programs put their temporary folders.
  void UseTmp(const std::string& path) {
    std::filesystem::create_directories(path);
    setenv("TMPDIR", path.c_str(), 1);
  }
  size_t LeftInTmp() const { return std::distance(std::filesystem::directory_iterator(Path("tmp")), {}); }
  void Install(const std::string& from, const std::string& name) {
    std::error_code error;
    std::filesystem::create_hard_link(from, Path(name), error);
    if (error) std::filesystem::copy_file(from, Path(name));
  }
  std::string Path(const std::string& name) const { return JoinPath(dir_.path(), name); }

  // Processes whose command line names this test's folder.
  int Left() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const auto command = ReadFile(entry.path() / "cmdline");
      if (command.ok() && command->find(dir_.path()) != std::string::npos) ++count;
    }
    return count;
  }

  TempDir dir_;
};

TEST_F(EmbeddedTest, WithoutServerItStartsItsOwnAndLeavesNothing) {
  ASSERT_TRUE(WriteFile(Path("toy.py"), "# toy\n").ok());
  const CliResult result =
      RunProgram({Path("strata"), "decompose", Path("toy.py"), "-o", Path("bundle")}, seconds(60));
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nPASS  toy"));
  EXPECT_EQ(Left(), 0);
  EXPECT_EQ(LeftInTmp(), 0u);
}

TEST_F(EmbeddedTest, ATmpdirTooLongForASocketDoesNotMatter) {
  UseTmp(Path(std::string(120, 't')));
  ASSERT_TRUE(WriteFile(Path("toy.py"), "# toy\n").ok());
  const CliResult result =
      RunProgram({Path("strata"), "decompose", Path("toy.py"), "-o", Path("bundle")}, seconds(60));
  EXPECT_EQ(result.code, 0) << result.out << result.err;
}

TEST_F(EmbeddedTest, ABundleThatCannotBeDeliveredIsKept) {
  ASSERT_TRUE(WriteFile(Path("toy.py"), "# sleep 0.2\n").ok());
  Background decompose({Path("strata"), "decompose", Path("toy.py"), "-o", Path("bundle")});
  ASSERT_TRUE(decompose.AwaitOutput("running", seconds(20)));
  ASSERT_TRUE(WriteFile(Path("bundle"), "in the way").ok());
  const CliResult result = decompose.Wait(seconds(60));
  EXPECT_EQ(result.code, 2) << result.out;
  const std::string words = "the bundle lies in ";
  const size_t hint = result.err.find(words);
  ASSERT_NE(hint, std::string::npos) << result.err;
  const std::string kept =
      result.err.substr(hint + words.size(), result.err.find('\n', hint) - hint - words.size());
  EXPECT_TRUE(FileExists(kept + "/decomposition_tree.json")) << kept;
}

TEST_F(EmbeddedTest, VerifyNeedsNoServer) {
  const CliResult result =
      RunProgram({Path("strata"), "verify", WriteStep(Path("step"), "# verdict rejected\n")}, seconds(60));
  EXPECT_EQ(result.code, 1) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("rejected  step"));
  EXPECT_EQ(Left(), 0);
}

TEST_F(EmbeddedTest, CtrlCStopsAllOfIt) {
  ASSERT_TRUE(WriteFile(Path("toy.py"), "# sleep 600\n").ok());
  Background decompose({Path("strata"), "decompose", Path("toy.py"), "-o", Path("bundle")});
  ASSERT_TRUE(decompose.AwaitOutput("strata: ", seconds(20)));
  std::this_thread::sleep_for(seconds(1));
  decompose.Signal(SIGINT);
  EXPECT_EQ(decompose.Wait(seconds(30)).code, 130);
  EXPECT_EQ(Left(), 0);
}

TEST_F(EmbeddedTest, ItsOwnDeathTakesTheServiceWithIt) {
  ASSERT_TRUE(WriteFile(Path("toy.py"), "# sleep 600\n").ok());
  Background decompose({Path("strata"), "decompose", Path("toy.py"), "-o", Path("bundle")});
  ASSERT_TRUE(decompose.AwaitOutput("strata: ", seconds(20)));
  std::this_thread::sleep_for(seconds(1));
  decompose.Signal(SIGKILL);
  decompose.Wait(seconds(10));
  for (int i = 0; i < 50 && Left() > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(Left(), 0);
  // Nobody could remove the folder any more: the next one does, and leaves alone what is not its own.
  std::filesystem::create_directories(Path("tmp/strata-mine"));
  EXPECT_EQ(LeftInTmp(), 2u);
  ASSERT_TRUE(WriteFile(Path("toy.py"), "# toy\n").ok());
  EXPECT_EQ(RunProgram({Path("strata"), "decompose", Path("toy.py"), "-o", Path("bundle")}, seconds(60)).code,
            0);
  EXPECT_EQ(LeftInTmp(), 1u);
  EXPECT_TRUE(FileExists(Path("tmp/strata-mine")));
}

TEST_F(EmbeddedTest, ALivingServicesFolderStays) {
  ASSERT_TRUE(WriteFile(Path("slow.py"), "# sleep 1\n").ok());
  ASSERT_TRUE(WriteFile(Path("toy.py"), "# toy\n").ok());
  Background slow({Path("strata"), "decompose", Path("slow.py"), "-o", Path("slow")});
  ASSERT_TRUE(slow.AwaitOutput("running", seconds(20)));
  EXPECT_EQ(RunProgram({Path("strata"), "decompose", Path("toy.py"), "-o", Path("toy")}, seconds(60)).code,
            0);
  EXPECT_EQ(slow.Wait(seconds(60)).code, 0);
}

TEST_F(EmbeddedTest, AnEngineThatDoesNotStartEndsWithThreeAndItsOwnWords) {
  std::filesystem::remove(Path("strata-engine"));
  std::filesystem::copy_file("/bin/false", Path("strata-engine"));
  ASSERT_TRUE(WriteFile(Path("toy.py"), "# toy\n").ok());
  const CliResult result =
      RunProgram({Path("strata"), "decompose", Path("toy.py"), "-o", Path("bundle")}, seconds(60));
  EXPECT_EQ(result.code, 3) << result.out;
  EXPECT_THAT(result.err, HasSubstr("strata-worker ended"));
  EXPECT_THAT(result.err, HasSubstr("exit status 1"));
}

TEST(PythonClient, SubmitsWatchesAndDownloadsByReflection) {
  const CliResult has = RunProgram({TEST_PYTHON, "-c", "import grpc, grpc_reflection"}, seconds(60));
  if (has.code != 0) GTEST_SKIP() << TEST_PYTHON << " has no grpcio and grpcio-reflection";
  Service service(SCRIPTED_ENGINE);
  const CliResult result = RunProgram({TEST_PYTHON, CLIENT_TEST, "--server", service.address(), "--model",
                                       service.Write("toy.py", "# sleep 0.1\n")},
                                      seconds(120));
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("PASS"));
}

}  // namespace
}  // namespace strata::e2e
