#pragma once
// Executes a recorded Program once more, operator by operator, through torch's dispatcher. What a runner
// recorded is a claim; what comes out here is what those operators compute.
//
// Starts tensor work: use it in a Zygote::RunTrusted fork only. Includes torch. One thread.
// Programs and files come from processes that have run user code: whatever does not fit is a Status.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/host/tensor_file.h"
#include "worker/engine/program/program.h"

namespace strata::verify {

// What a replay starts from. It writes to these tensors where the Program does.
struct Leaves {
  host::TensorFile inputs;                    // trees "args" and "kwargs"
  std::map<std::string, at::Tensor> weights;  // state_dict key of the recorded model -> tensor
};

class Replay {
 public:
  // Called while it runs; each may be empty.
  struct Hooks {
    std::function<absl::Status(const program::Invocation&)> enter, leave;
    // False: the call is not executed, the hook has said what its results are (Set).
    std::function<bool(const program::Call&)> before_call;
    std::function<void(const program::Call&)> after_call;
  };

  // `program` outlives the Replay. Floating parameters require gradients, as nn.Parameter makes them: under
  // no_grad too, matmul decides by that how it folds.
  Replay(const program::Program& program, Leaves leaves);

  // Gradients off, the default generators seeded as a runner seeds them. Once per Replay.
  // InvalidArgument names the call that could not be executed: "#12 aten::linear at mlp.py:21: …".
  absl::Status Run(int64_t seed, const Hooks& hooks = {});

  // Undefined where nothing has made it yet.
  const at::Tensor& Get(program::ValueId id) const { return tensors_[static_cast<size_t>(id)]; }
  void Set(program::ValueId id, at::Tensor tensor) { tensors_[static_cast<size_t>(id)] = std::move(tensor); }
  // The same, leaves made at their first use. InvalidArgument where it is not there.
  absl::StatusOr<at::Tensor> Read(program::ValueId id);

  // What lies at these trees now: the tensors themselves, the structure as host/trees.py writes it.
  absl::StatusOr<host::TensorFile> Collect(const std::vector<std::pair<std::string, program::Tree>>& trees);
  // "output" of the model's forward; "args" and "kwargs" as they are now.
  absl::StatusOr<host::TensorFile> Outputs();
  const host::TensorFile& inputs() const { return leaves_.inputs; }

 private:
  absl::Status BindInputs();
  absl::StatusOr<at::Tensor> MakeLeaf(const program::Value& value);
  absl::Status Execute(const program::Call& call);

  const program::Program& program_;
  Leaves leaves_;
  std::vector<at::Tensor> tensors_;  // by value id
};

// The arguments of an invocation as the trees "args" and "kwargs".
std::vector<std::pair<std::string, program::Tree>> ArgumentTrees(const program::Invocation& invocation);

// The tensor that a recorded constant or buffer holds; InvalidArgument where its elements were not kept.
absl::StatusOr<at::Tensor> TensorOf(const program::Value& value);

// "#12 aten::linear at mlp.py:21"
std::string Describe(const program::Call& call);

}  // namespace strata::verify
