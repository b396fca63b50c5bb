// The program strata-server as a process: its ready line, its exit codes, SIGTERM, SIGKILL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/subprocess.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/service/server/api/live_server.h"

namespace strata::testing {
namespace {

using ::testing::HasSubstr;

std::string Program() { return STRATA_SERVER; }

class ServerProcess : public LiveServer {
 public:
  void Start() {
    SubprocessOptions options;
    options.argv = {Program(),         "--listen", address(),     "--data-dir", folder() + "/data",
                    "--lease-seconds", "3",        "--log-level", "off"};
    auto process = Subprocess::Start(options);
    ASSERT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
    Dial(address());
    // On a channel of its own: the other may not know yet that the server before is gone.
    auto health =
        grpc::health::v1::Health::NewStub(grpc::CreateChannel(address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::health::v1::HealthCheckResponse reply;
    ASSERT_TRUE(health->Check(&context, {}, &reply).ok());
  }
  std::string address() const { return "unix:" + folder() + "/s"; }
  void Terminate() { process_->Terminate(std::chrono::seconds(10)); }
  void Kill() {
    process_->Signal(SIGKILL);
    process_->Wait();
  }

 private:
  std::unique_ptr<Subprocess> process_;
};

int RunShell(const std::string& command, std::string* output) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output->append(buffer, n);
  return WEXITSTATUS(pclose(pipe));
}

TEST(StrataServer, WrongUsageIsExitTwoWithASentence) {
  std::string output;
  EXPECT_EQ(RunShell(Program() + " --listen 0.0.0.0:1", &output), 2);
  EXPECT_THAT(output, HasSubstr("would be reached from other machines"));
  EXPECT_EQ(RunShell(Program() + " --no-such-option", &output), 2);
  EXPECT_EQ(RunShell(Program() + " --version", &output), 0);
}

TEST(StrataServer, SocketIsPrivateAndNobodyTakesItOver) {
  ServerProcess server;
  ASSERT_NO_FATAL_FAILURE(server.Start());
  const std::string socket = server.folder() + "/s";
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(socket).permissions() & (perms::group_all | perms::others_all),
            perms::none);
  std::string output;
  EXPECT_EQ(RunShell(absl::StrCat(Program(), " --listen ", server.address(), " --data-dir ", server.folder(),
                                  "/other"),
                     &output),
            3);
  EXPECT_THAT(output, HasSubstr("another server listens on " + socket));
  output.clear();
  EXPECT_EQ(RunShell(absl::StrCat(Program(), " --listen 127.0.0.1:0 --data-dir ", server.folder(), "/data"),
                     &output),
            3);
  EXPECT_THAT(output, HasSubstr("another strata-server uses the data folder"));
  EXPECT_EQ(server.Submit("r1").state(), v1::STATE_QUEUED) << "the first one is still there";
  server.Terminate();
  EXPECT_FALSE(std::filesystem::exists(socket));
}

TEST(StrataServer, SaysWhenItIsReadyAndEndsOnSigterm) {
  LiveServer folder_only;
  const std::string out = folder_only.folder() + "/out";
  std::string ignored;
  // Port 0, so that the line has to name the one that was found.
  const std::string script =
      absl::StrCat(Program(), " --listen 127.0.0.1:0 --data-dir ", folder_only.folder(),
                   "/data --log-level off > ", out, " & pid=$!; for i in $(seq 100); do [ -s ", out,
                   " ] && break; sleep 0.05; done;"
                   " kill -TERM $pid; wait $pid");
  EXPECT_EQ(RunShell(script, &ignored), 0);
  std::ifstream file(out);
  std::string line, more;
  std::getline(file, line);
  EXPECT_THAT(line, ::testing::MatchesRegex("strata-server [0-9.]+ ready on 127\\.0\\.0\\.1:[1-9][0-9]*"));
  EXPECT_FALSE(std::getline(file, more)) << "one line only: " << more;
}

TEST(StrataServer, JobSurvivesSigkill) {
  ServerProcess server;
  ASSERT_NO_FATAL_FAILURE(server.Start());
  FakeWorker worker(server, "w1", [](const v1::Lease& lease) {
    absl::SleepFor(absl::Milliseconds(150));
    return FakeWorker::Work{.files = OutputsOf(lease)};
  });
  const auto job = server.Submit("r1");
  for (size_t tasks : {2, 4, 6}) {
    while (worker.seen().size() < tasks) absl::SleepFor(absl::Milliseconds(10));
    server.Kill();
    ASSERT_NO_FATAL_FAILURE(server.Start());
  }
  const auto ended = server.WaitForEnd(job.id());
  EXPECT_EQ(ended.state(), v1::STATE_SUCCEEDED) << ended.ShortDebugString();
  EXPECT_EQ(ended.counts().steps_done(), 2u);
  EXPECT_EQ(server.Submit("r1").id(), job.id());
}

}  // namespace
}  // namespace strata::testing
