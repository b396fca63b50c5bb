// What a run of a good file delivers.

#include <gmock/gmock.h>

#include "ATen/ATen.h"
#include "tests/engine/host/fixture.h"
#include "worker/engine/host/tensor_file.h"

namespace strata::host {
namespace {

using RunnerTest = HostTest;

TEST_F(RunnerTest, AGoodModelLeavesInputsOutputsAndWeights) {
  RunRequest request = Request(File("model.py", ModelWithForward("return self.linear(x)")));
  request.save_inputs = request.save_outputs = request.save_weights = true;
  request.trials = {Trial{.seed = 42}, Trial{.seed = 43}};
  const RunOutcome outcome = Run(request);
  ASSERT_EQ(outcome.status, RunStatus::kOk) << outcome.message << outcome.stderr_text;
  EXPECT_THAT(*ListFiles(request.out_dir),
              testing::ElementsAre("after_42_0.bin", "after_43_0.bin", "inputs_42_0.bin", "inputs_43_0.bin",
                                   "outputs_42_0.bin", "outputs_43_0.bin", "weights.bin"));
}

}  // namespace
}  // namespace strata::host
