#pragma once
// Makes Programs by hand, for the tests of plan/, emit/ and verify/.
//
//   Builder b("mlp.py");
//   b.Module("fc1", "Linear", {{"in_features", "8"}, {"out_features", "16"}});
//   auto w = b.Parameter("fc1.weight", {16, 8}), bias = b.Parameter("fc1.bias", {16});
//   auto x = b.Input("x", {2, 8});
//   b.Enter("fc1", {x});
//   auto h = b.Op("aten::linear", {T("input", x), T("weight", w), T("bias", bias)}, {2, 16});
//   b.Leave({h});
//   auto y = b.Op("aten::relu", {T("self", h)}, {2, 16});
//   Program p = b.Finish({y});
//
// Missing modules on a path are made as plain custom modules. Lines count up by one per call unless
// Line() says otherwise. Misuse (an unknown id, an unclosed scope) aborts with a message.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::program {

// Arguments by schema name. T tensor, Ts Tensor[], I int, Is int[], F float, B bool, N a Python number as
// Scalar, None.
NamedArgument T(std::string name, ValueId value);
NamedArgument Ts(std::string name, const std::vector<ValueId>& values);
NamedArgument I(std::string name, int64_t value);
NamedArgument Is(std::string name, const std::vector<int64_t>& values);
NamedArgument F(std::string name, double value);
NamedArgument B(std::string name, bool value);
NamedArgument N(std::string name, double value);
NamedArgument None(std::string name, std::string schema_type = "Tensor?");
NamedArgument Dt(std::string name, DType value);
NamedArgument Default(NamedArgument argument);    // marks it as the schema's default
NamedArgument KwargOnly(NamedArgument argument);  // marks it keyword-only

class Builder {
 public:
  using Sizes = std::vector<int64_t>;

  explicit Builder(std::string source_file = "model.py", std::string class_name = "Model");

  // A module at a dotted path. With settings, or with is_torch_nn, a torch.nn leaf.
  ModuleId Module(const std::string& path, const std::string& class_name,
                  std::vector<std::pair<std::string, std::string>> settings = {}, bool is_torch_nn = true);
  // A second name of an existing module (shared module).
  void Alias(const std::string& path, const std::string& existing_path);
  ModuleId Container(const std::string& path, const std::string& class_name);  // Sequential, ModuleList, ...

  ValueId Input(const std::string& name, Sizes sizes, DType dtype = DType::kFloat32);
  ValueId Parameter(const std::string& path, Sizes sizes, DType dtype = DType::kFloat32);
  // Another path of a parameter or buffer: a tie.
  void Tie(const std::string& path, ValueId value);
  ValueId Buffer(const std::string& path, Sizes sizes, DType dtype = DType::kFloat32,
                 std::vector<uint8_t> data = {}, bool persistent = true);
  ValueId Constant(Sizes sizes, DType dtype = DType::kFloat32, std::vector<uint8_t> data = {});

  // Scopes. Tensors only; edit the Program afterwards for richer trees.
  InvocationId Enter(const std::string& path, const std::vector<ValueId>& args);
  void Leave(const std::vector<ValueId>& outputs);

  // Python functions below the current forward; nests.
  void EnterFunction(const std::string& name);
  void LeaveFunction();
  void Line(int32_t line);                         // of the next calls
  void Targets(std::vector<std::string> targets);  // of the next call only

  // One result. `op` may carry an overload after a dot: "aten::add.Tensor". Names that end in an
  // underscore mutate their first tensor: the result is a new value of the same storage.
  ValueId Op(const std::string& op, std::vector<NamedArgument> args, Sizes sizes,
             DType dtype = DType::kFloat32, uint32_t marks = 0);
  // A view: as Op, but the result has the storage of the first tensor argument.
  ValueId View(const std::string& op, std::vector<NamedArgument> args, Sizes sizes,
               DType dtype = DType::kFloat32);
  // Several results: a Tensor[] when `is_list`, else a tuple.
  std::vector<ValueId> OpMany(const std::string& op, std::vector<NamedArgument> args,
                              const std::vector<Sizes>& sizes, DType dtype = DType::kFloat32,
                              bool is_list = true);
  // The same, recorded while the model was built (init_calls).
  ValueId InitOp(const std::string& op, std::vector<NamedArgument> args, Sizes sizes,
                 DType dtype = DType::kFloat32);
  // `buffer` (a buffer or constant) is what the init call that made `made` left behind.
  void MadeBy(ValueId buffer, ValueId made);

  Value& value(ValueId id);
  Call& last_call();

  // Closes the model's forward. One output: the tensor itself, else a tuple.
  Program Finish(const std::vector<ValueId>& outputs);

 private:
  ValueId NewValue(ValueKind kind, Sizes sizes, DType dtype);
  Call& NewCall(const std::string& op, std::vector<NamedArgument> args);
  ModuleId FindOrMake(const std::string& path);

  Program program_;
  std::vector<InvocationId> scopes_;
  std::vector<std::vector<Frame>> frames_;  // one stack per open scope
  std::vector<std::string> targets_;
  int32_t line_ = 10;
  int32_t serial_ = 0;
};

}  // namespace strata::program
