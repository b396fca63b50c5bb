#pragma once
// Turns the outermost dispatcher calls of one thread into a Program.
//
// at::RecordFunction callbacks do the seeing. Inside the end callback results are only looked at: they get
// no PyObject and no second owner, because factories reuse a TensorImpl only while it has one owner.
//
// One Recorder may record twice: the construction of a model (kInit), then one forward (kForward).
// One recording at a time in a process. GIL held for every call but the callbacks. Includes torch.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ATen/core/Tensor.h"
#include "ATen/core/function_schema.h"
#include "ATen/record_function.h"
#include "worker/engine/capture/tensor_table.h"
#include "worker/engine/program/program.h"

namespace strata::capture {

class Recorder {
 public:
  enum class Phase { kInit, kForward };

  Recorder();
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void Start(Phase phase);  // REQUIRES: no recording is under way in this process
  void Stop();              // harmless when none is

  // The leaves of the forward, before Start(kForward). A tensor that was added before gets one more path.
  program::ValueId AddInput(const at::Tensor& tensor, const std::string& path);
  program::ValueId AddParameter(const at::Tensor& tensor, const std::string& path);
  program::ValueId AddBuffer(const at::Tensor& tensor, const std::string& path, bool persistent,
                             bool keep_data);
  // After the construction: what its buffers hold. A buffer that changes later loses its formula.
  void RememberBuffer(const at::Tensor& tensor, const std::string& path);

  // Scopes. Leave closes the innermost one; Abandon does when an exception passes through it.
  void Enter(program::Invocation invocation);
  void Leave(program::Tree output);
  void Abandon();
  // The value a tensor has now; a tensor never seen becomes a constant.
  program::ValueId Identify(const at::Tensor& tensor);
  // A model output is read by its caller.
  program::ValueId IdentifyOutput(const at::Tensor& tensor);

  // An operator of the innermost scope handed its argument back as its result (dropout in eval). Returns
  // another tensor of the same memory that means the result, so that the argument means itself again.
  // Empty when `tensor` is no such result.
  std::optional<at::Tensor> Separate(const at::Tensor& tensor);

  // The raw recording; see Assemble() for what is left to do.
  program::Program& program() { return program_; }
  std::vector<bool> unseen_storages() const { return table_.UnseenStorages(); }

 private:
  struct Touched;
  struct Pending;
  struct Context;
  struct Rename {
    program::ValueId before, after;
    program::CallId call;
  };

  static std::unique_ptr<at::ObserverContext> OnStart(const at::RecordFunction& fn);
  static void OnEnd(const at::RecordFunction& fn, at::ObserverContext* context);

  void Begin(const at::RecordFunction& fn, const c10::OperatorName& name);
  void End(const at::RecordFunction& fn);
  program::ValueId ReadArgument(const at::Tensor& tensor, const c10::Argument& schema, bool write_only);
  program::ValueId MakeConstant(const at::Tensor& tensor);
  void EndArguments(const std::vector<int32_t>& result_storages);
  program::ValueId ResultValue(const at::Tensor& tensor, int32_t index);
  program::ValueId NewResult(const at::Tensor& tensor, int32_t index, bool repoint);
  bool Recording() const;
  std::vector<program::Call>& calls() {
    return phase_ == Phase::kInit ? program_.init_calls : program_.calls;
  }

  program::Program program_;
  TensorTable table_{program_};
  Phase phase_ = Phase::kForward;
  bool active_ = false;
  at::CallbackHandle callback_ = at::INVALID_CALLBACK_HANDLE;
  std::thread::id thread_;
  int depth_ = 0;
  std::unique_ptr<Pending> pending_;
  std::vector<std::pair<program::InvocationId, size_t>> scopes_;  // and the activations open at its start
  std::map<const c10::TensorImpl*, Rename> renamed_;              // arguments handed back as results
  std::map<std::string, program::ValueId> built_;                 // buffer path -> value, after construction
};

}  // namespace strata::capture
