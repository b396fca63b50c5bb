#include "worker/agent/engine_process.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace strata::agent {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

EngineOptions Fake(std::vector<std::string> arguments = {}) {
  return {.path = FAKE_ENGINE, .arguments = std::move(arguments)};
}

class EngineProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/engine_process_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { fs::remove_all(dir_); }

  engine::v1::Task Task(const std::string& order) {
    engine::v1::Task task;
    task.set_task_id("task-" + order);
    task.set_component(order);
    task.set_output_dir(dir_);
    return task;
  }

  TaskEnd Run(EngineProcess& engine, const std::string& order,
              std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    TaskEvents events;
    events.progress = [this](const std::string& line) { progress_.push_back(line); };
    events.output = [this](const engine::v1::Output& output) { output_ += output.data(); };
    return engine.Run(Task(order), Clock::now() + limit, events);
  }

  std::string dir_;
  std::vector<std::string> progress_;
  std::string output_;
};

TEST_F(EngineProcessTest, OneEngineRunsManyTasksAndHandsOverWhatItSays) {
  auto engine = EngineProcess::Start(Fake());
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->hello().engine_version(), "fake");
  for (int i = 0; i < 3; ++i) {
    const TaskEnd end = Run(**engine, "pass");
    ASSERT_EQ(end.kind, TaskEnd::Kind::kFinished) << end.detail;
    EXPECT_EQ(end.finished.status(), engine::v1::TASK_STATUS_PASSED);
  }
  EXPECT_EQ(progress_, std::vector<std::string>(3, "working on pass"));
  EXPECT_THAT(output_, HasSubstr("said by user code"));
  EXPECT_TRUE((*engine)->alive());
}

TEST_F(EngineProcessTest, AFailureOfTheSubmissionLeavesTheEngineWarm) {
  auto engine = EngineProcess::Start(Fake());
  ASSERT_TRUE(engine.ok()) << engine.status();
  const TaskEnd end = Run(**engine, "fail");
  ASSERT_EQ(end.kind, TaskEnd::Kind::kFinished);
  EXPECT_EQ(end.finished.failure().line(), 7u);
  EXPECT_EQ(Run(**engine, "pass").kind, TaskEnd::Kind::kFinished);
}

TEST_F(EngineProcessTest, ADeadEngineIsReportedWithItsExitStatusAndLastWords) {
  auto engine = EngineProcess::Start(Fake());
  ASSERT_TRUE(engine.ok()) << engine.status();
  const TaskEnd end = Run(**engine, "exit:5");
  EXPECT_EQ(end.kind, TaskEnd::Kind::kDied);
  EXPECT_THAT(end.detail, HasSubstr("exit status 5"));
  EXPECT_THAT(end.detail, HasSubstr("last words of the engine"));
  EXPECT_FALSE((*engine)->alive());
}

TEST_F(EngineProcessTest, AnEngineKilledByASignalIsReportedWithTheSignal) {
  auto engine = EngineProcess::Start(Fake());
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_THAT(Run(**engine, "abort").detail, HasSubstr("signal 6"));
}

TEST_F(EngineProcessTest, NonsenseOnTheWireEndsTheEngine) {
  auto engine = EngineProcess::Start(Fake());
  ASSERT_TRUE(engine.ok()) << engine.status();
  const TaskEnd end = Run(**engine, "garbage");
  EXPECT_EQ(end.kind, TaskEnd::Kind::kDied);
  EXPECT_THAT(end.detail, HasSubstr("nonsense"));
}

TEST_F(EngineProcessTest, AHangingTaskIsKilledAtItsDeadlineWithItsRunners) {
  auto engine = EngineProcess::Start(Fake());
  ASSERT_TRUE(engine.ok()) << engine.status();
  const TaskEnd end = Run(**engine, "hang-with-child", std::chrono::milliseconds(500));
  EXPECT_EQ(end.kind, TaskEnd::Kind::kTimedOut);
  pid_t child = 0;
  std::ifstream(dir_ + "/child.pid") >> child;
  ASSERT_GT(child, 0);
  EXPECT_EQ(kill(child, 0), -1) << "the runner in a session of its own survived";
}

TEST_F(EngineProcessTest, CancelFromAnotherThreadEndsTheTaskAtOnce) {
  auto engine = EngineProcess::Start(Fake());
  ASSERT_TRUE(engine.ok()) << engine.status();
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    (*engine)->Cancel();
  });
  const auto started = Clock::now();
  EXPECT_EQ(Run(**engine, "hang").kind, TaskEnd::Kind::kCancelled);
  EXPECT_LT(Clock::now() - started, std::chrono::seconds(5));
  canceller.join();
}

TEST_F(EngineProcessTest, AnEngineThatPrintsMuchIsDrainedAndNotBlocked) {
  auto engine = EngineProcess::Start(Fake());
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ(Run(**engine, "print:3000000").kind, TaskEnd::Kind::kFinished);
}

TEST_F(EngineProcessTest, AnEngineThatDoesNotStartSaysWhy) {
  const auto engine = EngineProcess::Start(Fake({"--fail-start"}));
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.status().message(), HasSubstr("no module named torch"));
  EXPECT_THAT(engine.status().message(), HasSubstr("exit status 4"));
}

TEST_F(EngineProcessTest, AnEngineThatNeverSaysHelloIsGivenUp) {
  EngineOptions options = Fake({"--no-hello"});
  options.start_timeout = std::chrono::seconds(1);
  const auto engine = EngineProcess::Start(options);
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.status().message(), HasSubstr("said nothing for 1 s"));
}

TEST_F(EngineProcessTest, AMissingProgramIsNamed) {
  const auto engine = EngineProcess::Start({.path = "/nowhere/strata-engine"});
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.status().message(), HasSubstr("/nowhere/strata-engine"));
}

TEST(FrameReader, FramesComeOutWholeHoweverTheBytesArrive) {
  engine::v1::Event event;
  event.set_progress(std::string(300, 'a'));
  const std::string stream = EncodeFrame(event) + EncodeFrame(event);
  FrameReader frames;
  int whole = 0;
  for (char byte : stream) {
    frames.Append(std::string_view(&byte, 1));
    auto frame = frames.Next();
    ASSERT_TRUE(frame.ok());
    if (frame->has_value()) ++whole;
  }
  EXPECT_EQ(whole, 2);
}

TEST(FrameReader, AFrameBeyondTheLimitIsRefusedBeforeItIsRead) {
  FrameReader frames;
  frames.Append("\xff\xff\xff\xff\x0f");
  EXPECT_FALSE(frames.Next().ok());
}

}  // namespace
}  // namespace strata::agent
