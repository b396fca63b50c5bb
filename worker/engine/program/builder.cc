#include "worker/engine/program/builder.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace strata::program {
namespace {

[[noreturn]] void Misuse(const std::string& what) {
  std::fprintf(stderr, "program::Builder: %s\n", what.c_str());
  std::abort();
}

NamedArgument Make(std::string name, std::string type, Argument value) {
  return {.name = std::move(name), .schema_type = std::move(type), .value = std::move(value)};
}

std::vector<int64_t> DenseStrides(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(1, sizes[i]);
  }
  return strides;
}

std::pair<std::string, std::string> SplitPath(const std::string& path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string::npos) return {"", path};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

Tree TensorTree(ValueId id) {
  Tree tree;
  tree.kind = Tree::Kind::kTensor;
  tree.value = id;
  return tree;
}

Tree OutputTree(const std::vector<ValueId>& outputs) {
  if (outputs.size() == 1) return TensorTree(outputs[0]);
  Tree tree;
  tree.kind = Tree::Kind::kTuple;
  for (ValueId id : outputs) tree.items.push_back(TensorTree(id));
  return tree;
}

ValueId FirstTensor(const Call& call) {
  const std::vector<ValueId> reads = Reads(call);
  if (reads.empty()) Misuse(call.op + " has no tensor argument");
  return reads[0];
}

}  // namespace

NamedArgument T(std::string name, ValueId value) {
  return Make(std::move(name), "Tensor", Argument::OfValue(value));
}
NamedArgument Ts(std::string name, const std::vector<ValueId>& values) {
  std::vector<Argument> items;
  for (ValueId id : values) items.push_back(Argument::OfValue(id));
  return Make(std::move(name), "Tensor[]", Argument::OfList(std::move(items)));
}
NamedArgument I(std::string name, int64_t value) {
  return Make(std::move(name), "int", Argument::OfInt(value));
}
NamedArgument Is(std::string name, const std::vector<int64_t>& values) {
  std::vector<Argument> items;
  for (int64_t v : values) items.push_back(Argument::OfInt(v));
  return Make(std::move(name), "int[]", Argument::OfList(std::move(items)));
}
NamedArgument F(std::string name, double value) {
  return Make(std::move(name), "float", Argument::OfDouble(value));
}
NamedArgument B(std::string name, bool value) {
  return Make(std::move(name), "bool", Argument::OfBool(value));
}
NamedArgument N(std::string name, double value) {
  return Make(std::move(name), "Scalar", Argument::OfDouble(value));
}
NamedArgument None(std::string name, std::string schema_type) {
  return Make(std::move(name), std::move(schema_type), Argument::None());
}
NamedArgument Dt(std::string name, DType value) {
  return Make(std::move(name), "ScalarType?", Argument::OfDType(value));
}
NamedArgument Default(NamedArgument argument) {
  argument.is_default = true;
  return argument;
}
NamedArgument KwargOnly(NamedArgument argument) {
  argument.kwarg_only = true;
  return argument;
}

Builder::Builder(std::string source_file, std::string class_name) {
  program_.source_file = std::move(source_file);
  program_.torch_version = "2.13.0";
  program_.device = "cpu";
  strata::program::Module root;
  root.id = 0;
  root.paths = {""};
  root.class_name = class_name;
  root.qualified_class = "model." + class_name;
  root.file = program_.source_file;
  root.line = 1;
  program_.modules.push_back(std::move(root));
  Enter("", {});
}

ModuleId Builder::FindOrMake(const std::string& path) {
  for (const auto& m : program_.modules) {
    if (std::find(m.paths.begin(), m.paths.end(), path) != m.paths.end()) return m.id;
  }
  const auto [parent_path, name] = SplitPath(path);
  const ModuleId parent = FindOrMake(parent_path);
  strata::program::Module module;
  module.id = static_cast<ModuleId>(program_.modules.size());
  module.paths = {path};
  module.class_name = "Block";
  module.qualified_class = "model.Block";
  module.file = program_.source_file;
  module.line = 1;
  program_.modules[static_cast<size_t>(parent)].children.emplace_back(name, module.id);
  program_.modules.push_back(std::move(module));
  return program_.modules.back().id;
}

ModuleId Builder::Module(const std::string& path, const std::string& class_name,
                         std::vector<std::pair<std::string, std::string>> settings, bool is_torch_nn) {
  const ModuleId id = FindOrMake(path);
  auto& module = program_.modules[static_cast<size_t>(id)];
  module.class_name = class_name;
  module.is_torch_nn = is_torch_nn;
  module.qualified_class = (is_torch_nn ? "torch.nn." : "model.") + class_name;
  module.file = is_torch_nn ? "torch/nn.py" : program_.source_file;
  module.settings_known = is_torch_nn;
  for (auto& [name, value] : settings) module.settings.push_back({name, value, false});
  return id;
}

void Builder::Alias(const std::string& path, const std::string& existing_path) {
  const ModuleId id = FindOrMake(existing_path);
  const auto [parent_path, name] = SplitPath(path);
  const ModuleId parent = FindOrMake(parent_path);
  program_.modules[static_cast<size_t>(parent)].children.emplace_back(name, id);
  program_.modules[static_cast<size_t>(id)].paths.push_back(path);
}

ModuleId Builder::Container(const std::string& path, const std::string& class_name) {
  const ModuleId id = Module(path, class_name);
  program_.modules[static_cast<size_t>(id)].is_container = true;
  program_.modules[static_cast<size_t>(id)].settings_known = false;
  return id;
}

ValueId Builder::NewValue(ValueKind kind, Sizes sizes, DType dtype) {
  Value value;
  value.id = static_cast<ValueId>(program_.values.size());
  value.kind = kind;
  value.storage = value.id;
  value.type.dtype = dtype;
  value.type.strides = DenseStrides(sizes);
  value.type.sizes = std::move(sizes);
  program_.values.push_back(std::move(value));
  return program_.values.back().id;
}

ValueId Builder::Input(const std::string& name, Sizes sizes, DType dtype) {
  const ValueId id = NewValue(ValueKind::kInput, std::move(sizes), dtype);
  value(id).paths = {name};
  program_.invocations[0].args.push_back(TensorTree(id));
  program_.invocations[0].parameter_names.push_back(name);
  return id;
}

ValueId Builder::Parameter(const std::string& path, Sizes sizes, DType dtype) {
  const ValueId id = NewValue(ValueKind::kParameter, std::move(sizes), dtype);
  Tie(path, id);
  return id;
}

void Builder::Tie(const std::string& path, ValueId id) {
  const auto [owner, name] = SplitPath(path);
  auto& module = program_.modules[static_cast<size_t>(FindOrMake(owner))];
  auto& table = value(id).kind == ValueKind::kBuffer ? module.buffers : module.parameters;
  table.emplace_back(name, id);
  value(id).paths.push_back(path);
}

ValueId Builder::Buffer(const std::string& path, Sizes sizes, DType dtype, std::vector<uint8_t> data,
                        bool persistent) {
  const ValueId id = NewValue(ValueKind::kBuffer, std::move(sizes), dtype);
  value(id).data = std::move(data);
  value(id).persistent = persistent;
  Tie(path, id);
  return id;
}

ValueId Builder::Constant(Sizes sizes, DType dtype, std::vector<uint8_t> data) {
  const ValueId id = NewValue(ValueKind::kConstant, std::move(sizes), dtype);
  value(id).data = std::move(data);
  return id;
}

InvocationId Builder::Enter(const std::string& path, const std::vector<ValueId>& args) {
  Invocation invocation;
  invocation.id = static_cast<InvocationId>(program_.invocations.size());
  invocation.parent = scopes_.empty() ? kNoId : scopes_.back();
  invocation.module = FindOrMake(path);
  invocation.begin = invocation.end = static_cast<CallId>(program_.calls.size());
  for (size_t i = 0; i < args.size(); ++i) {
    invocation.args.push_back(TensorTree(args[i]));
    invocation.parameter_names.push_back(i == 0 ? "x" : "x" + std::to_string(i));
  }
  scopes_.push_back(invocation.id);
  const auto& module = program_.modules[static_cast<size_t>(invocation.module)];
  frames_.push_back({{.function = "forward", .file = module.file, .line = 0, .serial = serial_++}});
  program_.invocations.push_back(std::move(invocation));
  return scopes_.back();
}

void Builder::Leave(const std::vector<ValueId>& outputs) {
  if (scopes_.empty()) Misuse("Leave() without Enter()");
  Invocation& invocation = program_.invocations[static_cast<size_t>(scopes_.back())];
  invocation.end = static_cast<CallId>(program_.calls.size());
  invocation.output = OutputTree(outputs);
  scopes_.pop_back();
  frames_.pop_back();
}

void Builder::EnterFunction(const std::string& name) {
  frames_.back().back().line = line_++;
  frames_.back().push_back({.function = name, .file = program_.source_file, .line = 0, .serial = serial_++});
}

void Builder::LeaveFunction() {
  if (frames_.back().size() < 2) Misuse("LeaveFunction() without EnterFunction()");
  frames_.back().pop_back();
}

void Builder::Line(int32_t line) { line_ = line; }
void Builder::Targets(std::vector<std::string> targets) { targets_ = std::move(targets); }

Call& Builder::NewCall(const std::string& op, std::vector<NamedArgument> args) {
  Call call;
  call.id = static_cast<CallId>(program_.calls.size());
  const size_t dot = op.find('.');
  call.op = op.substr(0, dot);
  call.overload = dot == std::string::npos ? "" : op.substr(dot + 1);
  call.args = std::move(args);
  for (ValueId id : Reads(call)) value(id);  // must exist
  call.scope = scopes_.back();
  frames_.back().back().line = line_++;
  call.frames = frames_.back();
  call.frames.back().targets = std::move(targets_);
  targets_.clear();
  program_.calls.push_back(std::move(call));
  return program_.calls.back();
}

ValueId Builder::Op(const std::string& op, std::vector<NamedArgument> args, Sizes sizes, DType dtype,
                    uint32_t marks) {
  Call& call = NewCall(op, std::move(args));
  call.marks = marks;
  const ValueId id = NewValue(ValueKind::kResult, std::move(sizes), dtype);
  value(id).producer = call.id;
  call.results = {id};
  if (call.op.ends_with('_') && !call.op.ends_with("__")) {
    const ValueId old = FirstTensor(call);
    value(id).storage = value(old).storage;
    call.mutated = {old};
    call.mutated_to = {id};
    call.marks |= kMutates;
  }
  return id;
}

ValueId Builder::View(const std::string& op, std::vector<NamedArgument> args, Sizes sizes, DType dtype) {
  const ValueId id = Op(op, std::move(args), std::move(sizes), dtype);
  value(id).storage = value(FirstTensor(program_.calls.back())).storage;
  return id;
}

std::vector<ValueId> Builder::OpMany(const std::string& op, std::vector<NamedArgument> args,
                                     const std::vector<Sizes>& sizes, DType dtype, bool is_list) {
  Call& call = NewCall(op, std::move(args));
  call.result_is_list = is_list;
  call.result_is_tuple = !is_list;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const ValueId id = NewValue(ValueKind::kResult, sizes[i], dtype);
    value(id).producer = call.id;
    value(id).result_index = static_cast<int32_t>(i);
    call.results.push_back(id);
  }
  return call.results;
}

ValueId Builder::InitOp(const std::string& op, std::vector<NamedArgument> args, Sizes sizes, DType dtype) {
  const ValueId id = Op(op, std::move(args), std::move(sizes), dtype);
  Call call = std::move(program_.calls.back());
  program_.calls.pop_back();
  call.id = static_cast<CallId>(program_.init_calls.size());
  call.scope = kNoId;
  value(id).producer = kNoId;
  value(id).init_producer = call.id;
  program_.init_calls.push_back(std::move(call));
  return id;
}

void Builder::MadeBy(ValueId buffer, ValueId made) {
  value(buffer).init_producer = value(made).init_producer;
  value(buffer).init_result_index = value(made).init_result_index;
  program_.init_calls[static_cast<size_t>(value(made).init_producer)].results[0] = buffer;
}

Value& Builder::value(ValueId id) {
  if (id < 0 || static_cast<size_t>(id) >= program_.values.size())
    Misuse("value " + std::to_string(id) + " does not exist");
  return program_.values[static_cast<size_t>(id)];
}

Call& Builder::last_call() {
  if (program_.calls.empty()) Misuse("no call yet");
  return program_.calls.back();
}

Program Builder::Finish(const std::vector<ValueId>& outputs) {
  if (scopes_.size() != 1) Misuse("Finish() inside an open scope");
  Leave(outputs);
  return std::move(program_);
}

}  // namespace strata::program
