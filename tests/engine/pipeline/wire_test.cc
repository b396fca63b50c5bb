// The engine as the agent meets it: a process, a socketpair, protobuf.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/subprocess.h"
#include "nlohmann/json.hpp"
#include "strata/engine/v1/engine.pb.h"

namespace strata {
namespace {

namespace fs = std::filesystem;
namespace pb = strata::engine::v1;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

class Engine {
 public:
  Engine() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    fd_ = ends[0];
    auto process =
        Subprocess::Start({.argv = {STRATA_ENGINE, "serve", "--wire-fd", "3"}, .descriptors = {ends[1]}});
    if (!process.ok()) std::abort();
    process_ = *std::move(process);
    close(ends[1]);
  }
  ~Engine() { close(fd_); }

  void Send(const pb::Request& request) {
    const std::string body = request.SerializeAsString();
    std::string frame;
    for (size_t rest = body.size();; rest >>= 7) {
      frame.push_back(static_cast<char>(rest < 0x80 ? rest : (rest & 0x7f) | 0x80));
      if (rest < 0x80) break;
    }
    frame += body;
    ASSERT_EQ(write(fd_, frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
  }

  pb::Event Receive() {
    size_t size = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(Read(1)[0]);
      size |= size_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
    }
    pb::Event event;
    EXPECT_TRUE(event.ParseFromString(Read(size)));
    return event;
  }

  Subprocess& process() { return *process_; }
  int fd() const { return fd_; }

 private:
  std::string Read(size_t size) {
    std::string bytes(size, '\0');
    for (size_t at = 0; at < size;) {
      pollfd wait{fd_, POLLIN, 0};
      if (poll(&wait, 1, 120'000) <= 0) throw std::runtime_error("the engine says nothing for 120 s");
      const ssize_t n = read(fd_, bytes.data() + at, size - at);
      if (n <= 0) throw std::runtime_error("the engine closed its wire");
      at += static_cast<size_t>(n);
    }
    return bytes;
  }

  int fd_ = -1;
  std::unique_ptr<Subprocess> process_;
};

class WireTest : public ::testing::Test {
 protected:
  WireTest() : dir_(*TempDir::Create("wire_test_")) { hello_ = engine_.Receive(); }

  // A task whose input holds `source` as source/model.py.
  pb::Request TaskFor(const std::string& source) {
    const std::string base = dir_.path() + "/" + std::to_string(tasks_++);
    EXPECT_TRUE(MakeDirs(base + "/in/source").ok() && MakeDirs(base + "/out").ok());
    EXPECT_TRUE(WriteFile(base + "/in/source/model.py", source).ok());
    pb::Request request;
    pb::Task& task = *request.mutable_task();
    task.set_task_id("task-" + std::to_string(tasks_));
    task.set_kind(pb::TASK_KIND_PREPARE);
    task.set_source("source/model.py");
    task.set_input_dir(base + "/in");
    task.set_output_dir(base + "/out");
    task.mutable_limits()->set_wall_seconds(30);
    task.mutable_limits()->set_memory_bytes(uint64_t{2} << 30);
    return request;
  }

  pb::Finished Run(const pb::Request& request) {
    engine_.Send(request);
    outputs_.clear();
    while (true) {
      const pb::Event event = engine_.Receive();
      EXPECT_EQ(event.task_id(), request.task().task_id());
      if (event.kind_case() == pb::Event::kOutput) outputs_[event.output().stream()] += event.output().data();
      if (event.kind_case() == pb::Event::kFinished) return event.finished();
    }
  }

  pb::Failure Fail(const std::string& source) {
    const pb::Finished finished = Run(TaskFor(source));
    EXPECT_EQ(finished.status(), pb::TASK_STATUS_FAILED);
    return finished.failure();
  }

  TempDir dir_;
  Engine engine_;
  pb::Event hello_;
  std::map<int, std::string> outputs_;
  int tasks_ = 0;
};

constexpr char kModel[] =
    "import torch\n"
    "import torch.nn as nn\n"
    "class Model(nn.Module):\n"
    "    def __init__(self):\n"
    "        super().__init__()\n"
    "        self.a = nn.Linear(8, 8)\n"
    "        self.b = nn.Linear(8, 8)\n"
    "        self.c = nn.Linear(8, 8)\n"
    "    def forward(self, x):\n"
    "        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))\n"
    "def get_inputs():\n"
    "    return [torch.randn(2, 8)]\n"
    "def get_init_inputs():\n"
    "    return []\n";

std::string With(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

constexpr char kReturn[] = "return self.c(torch.relu(self.b(torch.relu(self.a(x)))))";

// One engine for all of it: each start imports torch, and what one submission does must not reach the next.
TEST_F(WireTest, BadSubmissionsFailAndTheNextOneIsUnharmed) {
  EXPECT_THAT(hello_.hello().torch_version(), HasSubstr("2."));
  EXPECT_EQ(hello_.hello().devices(0), "cpu");

  pb::Failure failure = Fail("class Model(:\n");
  EXPECT_EQ(failure.kind(), pb::FAILURE_KIND_USER);
  EXPECT_EQ(failure.file(), "model.py");
  EXPECT_EQ(failure.line(), 1u);
  EXPECT_THAT(failure.message(), HasSubstr("SyntaxError"));

  failure = Fail("x = 1\n");
  EXPECT_EQ(failure.kind(), pb::FAILURE_KIND_USER);
  EXPECT_THAT(failure.message(), HasSubstr("Model"));

  failure = Fail(With(kModel, kReturn, "raise ValueError('my fault')"));
  EXPECT_EQ(failure.kind(), pb::FAILURE_KIND_USER);
  EXPECT_EQ(failure.line(), 10u);
  EXPECT_THAT(failure.message(), HasSubstr("my fault"));
  EXPECT_THAT(outputs_[pb::Output::TRACEBACK], HasSubstr("my fault"));

  failure = Fail(With(kModel, kReturn, "return x / 0 - x / 0"));
  EXPECT_EQ(failure.kind(), pb::FAILURE_KIND_USER);
  EXPECT_THAT(failure.message(), HasSubstr("NaN"));

  failure = Fail(With(kModel, kReturn, "import os; os._exit(0)"));
  EXPECT_EQ(failure.kind(), pb::FAILURE_KIND_USER);
  EXPECT_THAT(failure.message(), HasSubstr("exit code 0"));

  failure = Fail(With(kModel, kReturn, "return 3"));
  EXPECT_EQ(failure.kind(), pb::FAILURE_KIND_USER);
  EXPECT_THAT(failure.message(), HasSubstr("no tensor"));

  failure = Fail("");
  EXPECT_EQ(failure.kind(), pb::FAILURE_KIND_USER);
  EXPECT_THAT(failure.message(), HasSubstr("is empty"));

  pb::Request endless = TaskFor(With(kModel, kReturn, "\n        while True: pass"));
  endless.mutable_task()->mutable_limits()->set_wall_seconds(2);
  EXPECT_EQ(Run(endless).failure().kind(), pb::FAILURE_KIND_LIMITS);

  const pb::Request good =
      TaskFor(With(kModel, kReturn, std::string("print('said') or 0\n        ") + kReturn));
  const pb::Finished finished = Run(good);
  EXPECT_EQ(finished.status(), pb::TASK_STATUS_PASSED) << finished.failure().message();
  EXPECT_THAT(outputs_[pb::Output::STDOUT], HasSubstr("said"));
  EXPECT_GT(finished.peak_memory_bytes(), 0u);
  EXPECT_THAT(
      std::vector<std::string>(finished.files().begin(), finished.files().end()),
      IsSupersetOf({".strata/program.bin", ".strata/jobs.json", "level_3_model/model.py",
                    "decomposition_tree.json", "decomposition_analysis.md", ".strata/log/prepare.json"}));

  pb::Request unknown = good;
  unknown.mutable_task()->set_kind(static_cast<pb::TaskKind>(99));
  EXPECT_EQ(Run(unknown).failure().kind(), pb::FAILURE_KIND_OURS);

  pb::Request shutdown;
  shutdown.set_shutdown(true);
  engine_.Send(shutdown);
  const auto status = engine_.process().Wait(std::chrono::seconds(30));
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(status->ok()) << status->ToString();
}

// Every task reads one folder and writes another, as the coordinator hands them out.
TEST_F(WireTest, TheTasksOfAJobPassFilesByFoldersOnly) {
  const std::string so_far = dir_.path() + "/so_far";
  pb::Request request = TaskFor(kModel);
  fs::copy(request.task().input_dir(), so_far, fs::copy_options::recursive);
  const auto step = [&](pb::TaskKind kind, const std::string& component) {
    const std::string out = dir_.path() + "/out" + std::to_string(tasks_++);
    ASSERT_TRUE(MakeDirs(out).ok());
    request.mutable_task()->set_kind(kind);
    request.mutable_task()->set_component(component);
    request.mutable_task()->set_input_dir(so_far);
    request.mutable_task()->set_output_dir(out);
    const pb::Finished finished = Run(request);
    ASSERT_EQ(finished.status(), pb::TASK_STATUS_PASSED) << component << ": " << finished.failure().message();
    for (const std::string& file : finished.files()) EXPECT_TRUE(FileExists(JoinPath(out, file))) << file;
    if (kind != pb::TASK_KIND_PUBLISH)
      fs::copy(out, so_far, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  };
  step(pb::TASK_KIND_PREPARE, "");
  const auto jobs = nlohmann::json::parse(*ReadFile(so_far + "/.strata/jobs.json"));
  for (const auto& component : jobs["components"]) {
    if (component["step"] == "") continue;
    step(pb::TASK_KIND_DECOMPOSE, component["id"]);
    step(pb::TASK_KIND_VERIFY, component["id"]);
  }
  step(pb::TASK_KIND_COMPOSE, "");
  step(pb::TASK_KIND_COVERAGE, "");
  step(pb::TASK_KIND_PUBLISH, "");
  const std::string bundle = request.task().output_dir();
  const auto tree = nlohmann::json::parse(*ReadFile(bundle + "/decomposition_tree.json"));
  EXPECT_EQ(tree["metadata"]["verification_status"], "PASS");
  EXPECT_FALSE(FileExists(bundle + "/.strata"));
  EXPECT_TRUE(FileExists(bundle + "/source/model.py"));
  EXPECT_TRUE(FileExists(bundle + "/scripts/verify_step.py"));
}

TEST_F(WireTest, AVerdictIsAFileAndNeverAFailure) {
  const char* root = std::getenv("STRATA_SOURCE_DIR");
  const fs::path steps = fs::path(root != nullptr ? root : ".") / "tests/golden/mlp/expected/steps";
  pb::Request request = TaskFor("");
  pb::Task& task = *request.mutable_task();
  task.set_kind(pb::TASK_KIND_JUDGE);
  task.set_source("source/step");
  const fs::path step = fs::path(task.input_dir()) / "source/step";
  fs::copy(steps / "step_2_linear_relu_784x512_to_kernels", step, fs::copy_options::recursive);
  const auto verdict = [&] {
    const pb::Finished finished = Run(request);
    EXPECT_EQ(finished.status(), pb::TASK_STATUS_PASSED) << finished.failure().message();
    EXPECT_THAT(finished.files(), ::testing::ElementsAre("verdict.json"));
    const std::string text = ReadFile(task.output_dir() + "/verdict.json").value_or("");
    EXPECT_THAT(text, ::testing::Not(HasSubstr(dir_.path())));
    return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  };
  EXPECT_EQ(verdict().value("verdict", ""), "accepted");
  std::string text = *ReadFile(step / "refactored.py");
  const size_t call = text.find("self.relu(x)");
  ASSERT_NE(call, std::string::npos);
  ASSERT_TRUE(WriteFile(step / "refactored.py", text.replace(call, 4, "torch")).ok());
  const auto rejected = verdict();
  EXPECT_EQ(rejected.value("verdict", ""), "rejected");
  EXPECT_EQ(rejected.value("folder", ""), "step");
  EXPECT_FALSE(rejected["violations"].empty());
  fs::remove(step / "original.py");
  const auto neither = verdict();
  EXPECT_EQ(neither.value("verdict", ""), "cannot be judged");
  EXPECT_THAT(neither.value("error", ""), HasSubstr("step is neither a bundle"));
}

TEST_F(WireTest, BytesThatAreNoRequestEndTheEngine) {
  ASSERT_EQ(write(engine_.fd(), "\xff\xff\xff\xff\xff\xff", 6), 6);
  const auto status = engine_.process().Wait(std::chrono::seconds(30));
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->code, 1);
}

}  // namespace
}  // namespace strata
