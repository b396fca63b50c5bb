// Runs on an accelerator; skipped where there is none.

#include <gmock/gmock.h>

#include "tests/engine/host/fixture.h"

namespace strata::host {
namespace {

using testing::HasSubstr;

class GpuTest : public HostTest {
 protected:
  void SetUp() override {
    if (!HasDevice()) GTEST_SKIP() << "no accelerator here";
    limits_.memory_bytes = int64_t{16} << 30;
  }
  RunRequest OnDevice(const std::string& text) {
    RunRequest request = Request(File("model.py", text));
    request.device = "cuda";
    request.save_inputs = request.save_outputs = request.save_weights = true;
    return request;
  }
};

constexpr char kAliases[] = R"(import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
    def forward(self, a, b):
        assert {t.device.type for t in (a, b, self.linear.weight, torch.ones(1))} == {"cuda"}
        assert a.stride() == (1, 4) and b.storage_offset() == 4
        a.add_(1)
        return self.linear(b) + torch.rand(4)
def get_inputs():
    base = torch.arange(8.).view(2, 4)
    return [base.t(), base[1]]
)";

TEST_F(GpuTest, InputsFromAFileAreBackOnTheirDeviceWithTheirAliases) {
  const RunRequest drawn = OnDevice(kAliases);
  const RunOutcome first = Run(drawn);
  ASSERT_EQ(first.status, RunStatus::kOk) << first.message << first.stderr_text;
  RunRequest given = OnDevice(kAliases);
  given.trials = {Trial{.inputs_path = JoinPath(drawn.out_dir, "inputs_42_0.bin")}};
  given.weights_path = JoinPath(drawn.out_dir, "weights.bin");
  given.build_seed = 1;
  const RunOutcome second = Run(given);
  ASSERT_EQ(second.status, RunStatus::kOk) << second.message << second.stderr_text;
  const std::vector<std::string> names = *ListFiles(drawn.out_dir);
  EXPECT_EQ(names.size(), 4u);
  for (const std::string& name : names) {
    EXPECT_EQ(*ReadFile(JoinPath(drawn.out_dir, name)), *ReadFile(JoinPath(given.out_dir, name))) << name;
  }
}

TEST_F(GpuTest, AFailedKernelIsForwardsErrorAndTheNextRunIsUnharmed) {
  const std::string head = "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        ";
  const std::string tail = "\ndef get_inputs():\n    return [torch.ones(3)]\n";
  const RunOutcome failed = Run(OnDevice(head + "return x[torch.tensor([7])]" + tail));
  EXPECT_EQ(failed.status, RunStatus::kRaised);
  EXPECT_EQ(failed.stage, "forward");
  EXPECT_THAT(failed.message, HasSubstr("device-side assert"));
  EXPECT_EQ(Run(OnDevice(head + "return x" + tail)).status, RunStatus::kOk);
}

TEST_F(GpuTest, MemoryOfTheDeviceHasItsLimitToo) {
  const RunOutcome outcome =
      Run(OnDevice("import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return "
                   "torch.ones(1 << 40)\n"
                   "def get_inputs():\n    return [torch.ones(3)]\n"));
  EXPECT_EQ(outcome.status, RunStatus::kMemoryLimit) << outcome.message;
  EXPECT_EQ(outcome.line, 4);
}

TEST_F(GpuTest, TheZygoteKnowsTheDeviceAndStillHasOneThread) {
  std::string name, threads;
  for (const auto& [key, value] : zygote().Environment()) {
    if (key == "device_name") name = value;
    if (key == "zygote_threads") threads = value;
  }
  EXPECT_THAT(name, HasSubstr("NVIDIA"));
  EXPECT_EQ(threads, "1");
}

}  // namespace
}  // namespace strata::host
