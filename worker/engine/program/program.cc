#include "worker/engine/program/program.h"

#include <set>

namespace strata::program {
namespace {

struct DTypeRow {
  const char* short_name;
  const char* torch_name;
  int64_t size_bytes;
};

constexpr DTypeRow kDTypes[] = {
    {"fp64", "torch.float64", 8},  {"fp32", "torch.float32", 4},  {"fp16", "torch.float16", 2},
    {"bf16", "torch.bfloat16", 2}, {"i64", "torch.int64", 8},     {"i32", "torch.int32", 4},
    {"i16", "torch.int16", 2},     {"i8", "torch.int8", 1},       {"u8", "torch.uint8", 1},
    {"bool", "torch.bool", 1},     {"c64", "torch.complex64", 8}, {"c128", "torch.complex128", 16},
    {"other", "torch.other", 0},
};

const DTypeRow& Row(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  constexpr size_t kCount = sizeof(kDTypes) / sizeof(kDTypes[0]);
  return kDTypes[index < kCount ? index : kCount - 1];
}

void CollectValues(const Argument& argument, std::vector<ValueId>& out) {
  if (argument.kind == Argument::Kind::kValue && argument.value != kNoId) out.push_back(argument.value);
  for (const Argument& item : argument.items) CollectValues(item, out);
}

void CollectTensors(const Tree& tree, std::vector<ValueId>& out) {
  if (tree.kind == Tree::Kind::kTensor && tree.value != kNoId) out.push_back(tree.value);
  for (const Tree& item : tree.items) CollectTensors(item, out);
}

}  // namespace

const char* ShortName(DType dtype) { return Row(dtype).short_name; }
const char* TorchName(DType dtype) { return Row(dtype).torch_name; }
int64_t ElementSizeBytes(DType dtype) { return Row(dtype).size_bytes; }
bool IsFloating(DType dtype) { return dtype <= DType::kBFloat16; }
bool IsIntegral(DType dtype) { return dtype >= DType::kInt64 && dtype <= DType::kUInt8; }

Argument Argument::OfValue(ValueId id) {
  Argument a;
  a.kind = Kind::kValue;
  a.value = id;
  return a;
}

Argument Argument::OfBool(bool b) {
  Argument a;
  a.kind = Kind::kBool;
  a.boolean = b;
  return a;
}

Argument Argument::OfInt(int64_t i) {
  Argument a;
  a.kind = Kind::kInt;
  a.integer = i;
  return a;
}

Argument Argument::OfDouble(double d) {
  Argument a;
  a.kind = Kind::kDouble;
  a.real = d;
  return a;
}

Argument Argument::OfString(std::string s) {
  Argument a;
  a.kind = Kind::kString;
  a.text = std::move(s);
  return a;
}

Argument Argument::OfDType(DType d) {
  Argument a;
  a.kind = Kind::kDType;
  a.dtype = d;
  return a;
}

Argument Argument::OfList(std::vector<Argument> items) {
  Argument a;
  a.kind = Kind::kList;
  a.items = std::move(items);
  return a;
}

bool Encloses(const Program& program, InvocationId ancestor, InvocationId scope) {
  while (scope != kNoId && scope != ancestor)
    scope = program.invocations.at(static_cast<size_t>(scope)).parent;
  return scope == ancestor;
}

std::string OperatorName(const std::string& op) {
  std::string name = op.starts_with("aten::") ? op.substr(6) : op;
  // __and__, __lshift__ ... are whole names; only a single underscore marks an in-place form.
  if (name.size() > 1 && name.ends_with('_') && !name.ends_with("__")) name.pop_back();
  return name;
}

std::vector<CallId> InitSlice(const Program& program, ValueId value) {
  std::multimap<int32_t, CallId> writers;  // storage -> calls that wrote to it
  for (const Call& call : program.init_calls) {
    for (ValueId id : call.mutated) writers.emplace(program.value(id).storage, call.id);
  }
  std::set<CallId> slice;
  std::set<ValueId> seen;
  std::vector<ValueId> todo = {value};
  if (program.value(value).init_producer == kNoId) return {};
  while (!todo.empty()) {
    const ValueId id = todo.back();
    todo.pop_back();
    if (!seen.insert(id).second) continue;
    const Value& v = program.value(id);
    std::vector<CallId> makers;
    if (v.init_producer != kNoId) makers.push_back(v.init_producer);
    const auto [begin, end] = writers.equal_range(v.storage);
    for (auto it = begin; it != end; ++it) makers.push_back(it->second);
    for (CallId maker : makers) {
      if (!slice.insert(maker).second) continue;
      const std::vector<ValueId> reads = Reads(program.init_calls.at(static_cast<size_t>(maker)));
      todo.insert(todo.end(), reads.begin(), reads.end());
    }
  }
  return {slice.begin(), slice.end()};
}

std::vector<ValueId> Reads(const Call& call) {
  std::vector<ValueId> values;
  for (const NamedArgument& argument : call.args) CollectValues(argument.value, values);
  return values;
}

std::vector<ValueId> Tensors(const Tree& tree) {
  std::vector<ValueId> tensors;
  CollectTensors(tree, tensors);
  return tensors;
}

std::vector<ValueId> TensorsOfArguments(const Invocation& invocation) {
  std::vector<ValueId> tensors;
  for (const Tree& tree : invocation.args) CollectTensors(tree, tensors);
  for (const auto& [name, tree] : invocation.kwargs) CollectTensors(tree, tensors);
  return tensors;
}

std::string FirstOpaque(const Tree& tree) {
  if (tree.kind == Tree::Kind::kOpaque) return tree.text.empty() ? "?" : tree.text;
  for (const Tree& item : tree.items) {
    if (std::string found = FirstOpaque(item); !found.empty()) return found;
  }
  return "";
}

}  // namespace strata::program
