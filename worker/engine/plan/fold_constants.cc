#include "worker/engine/plan/fold_constants.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/rewrite.h"

namespace strata::plan {
namespace {

using program::Argument;
using program::Call;
using program::CallId;
using program::DType;
using program::Program;
using program::Value;
using program::ValueId;
using program::ValueKind;

bool IsCopy(const std::string& op) {
  return op == "to" || op == "_to_copy" || op == "lift" || op == "lift_fresh" || op == "lift_fresh_copy" ||
         op == "detach" || op == "alias" || op == "clone" || op == "contiguous" || op == "type_as";
}

// May return its very input.
bool MayBeNothing(const std::string& op) {
  return IsCopy(op) || op == "expand" || op == "expand_as" || op == "view" || op == "reshape" ||
         op == "flatten";
}

ValueId SelfOf(const Call& call) {
  const Argument* self = FindArgument(call, "self");
  if (self == nullptr) self = FindArgument(call, "input");
  return self && self->kind == Argument::Kind::kValue ? self->value : program::kNoId;
}

template <typename T>
T ElementAt(const std::vector<uint8_t>& data, size_t i) {
  T element;
  std::memcpy(&element, data.data() + i * sizeof(T), sizeof(T));
  return element;
}

bool ToDouble(DType dtype, const std::vector<uint8_t>& data, size_t i, double* out) {
  switch (dtype) {
    case DType::kFloat64:
      *out = ElementAt<double>(data, i);
      return true;
    case DType::kFloat32:
      *out = ElementAt<float>(data, i);
      return true;
    case DType::kInt64:
      *out = static_cast<double>(ElementAt<int64_t>(data, i));
      return true;
    case DType::kInt32:
      *out = ElementAt<int32_t>(data, i);
      return true;
    case DType::kUInt8:
      *out = ElementAt<uint8_t>(data, i);
      return true;
    case DType::kBool:
      *out = data[i] != 0;
      return true;
    default:
      return false;
  }
}

template <typename T>
void Append(T element, std::vector<uint8_t>* data) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&element);
  data->insert(data->end(), bytes, bytes + sizeof(T));
}

bool FromDouble(DType dtype, double element, std::vector<uint8_t>* data) {
  switch (dtype) {
    case DType::kFloat64:
      Append(element, data);
      return true;
    case DType::kFloat32:
      Append(static_cast<float>(element), data);
      return true;
    case DType::kInt64:
      Append(static_cast<int64_t>(element), data);
      return true;
    case DType::kInt32:
      Append(static_cast<int32_t>(element), data);
      return true;
    case DType::kBool:
      Append(static_cast<uint8_t>(element != 0), data);
      return true;
    default:
      return false;
  }
}

// False where a conversion could lose or is not known: the cast then stays an operator.
bool Convert(const Value& from, DType to, std::vector<uint8_t>* data) {
  if (from.type.dtype == to) {
    *data = from.data;
    return true;
  }
  const auto size = static_cast<size_t>(program::ElementSizeBytes(from.type.dtype));
  if (size == 0) return false;
  for (size_t i = 0; i < from.data.size() / size; ++i) {
    double element = 0;
    if (!ToDouble(from.type.dtype, from.data, i, &element) || std::abs(element) > 9e15) return false;
    if (!FromDouble(to, element, data)) return false;
  }
  return true;
}

std::vector<int64_t> ContiguousStrides(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<int64_t>(sizes[i], 1);
  return strides;
}

// A copy of a constant is a constant.
bool FoldCopy(Program* program, const Call& call, const std::set<int32_t>& written) {
  const ValueId from = SelfOf(call);
  if (from == program::kNoId || call.results.size() != 1 || call.results[0] == program::kNoId) return false;
  const Value source = program->value(from);
  if (source.kind != ValueKind::kConstant || source.data.empty()) return false;
  Value& result = program->values[static_cast<size_t>(call.results[0])];
  if (result.id == from) return true;
  if (written.contains(result.storage) || written.contains(source.storage)) return false;
  std::vector<uint8_t> data;
  if (!Convert(source, result.type.dtype, &data)) return false;
  result.kind = ValueKind::kConstant;
  result.producer = program::kNoId;
  result.data = std::move(data);
  result.type.strides = ContiguousStrides(result.type.sizes);
  result.type.storage_offset = 0;
  result.is_wrapped_number = source.is_wrapped_number;
  result.domain = source.domain;
  if (source.type.dtype == result.type.dtype) {
    result.init_producer = source.init_producer;
    result.init_result_index = source.init_result_index;
  }
  return true;
}

bool IsEmptyVector(const Program& program, const Argument& item) {
  return item.kind == Argument::Kind::kValue && item.value != program::kNoId &&
         program.value(item.value).type.sizes == std::vector<int64_t>{0};
}

// cat([empty, x]) reads x alone; of one operand left, that operand. Its id, else kNoId.
ValueId DropEmptyOperands(Program* program, Call* call) {
  for (program::NamedArgument& argument : call->args) {
    if (argument.value.kind != Argument::Kind::kList) continue;
    auto& items = argument.value.items;
    std::erase_if(items,
                  [&](const Argument& item) { return items.size() > 1 && IsEmptyVector(*program, item); });
    if (items.size() == 1 && items[0].kind == Argument::Kind::kValue) return items[0].value;
  }
  return program::kNoId;
}

}  // namespace

Program FoldConstants(Program program) {
  std::set<int32_t> written;
  for (const Call& call : program.calls) {
    for (ValueId value : call.mutated) written.insert(program.value(value).storage);
  }
  std::set<CallId> removed;
  std::map<ValueId, ValueId> replaced;
  for (Call& call : program.calls) {
    const std::string op = NameOf(call);
    if (call.results.size() != 1 || !call.mutated.empty()) continue;
    const ValueId result = call.results[0];
    if (IsCopy(op) && FoldCopy(&program, call, written)) {
      removed.insert(call.id);
      continue;
    }
    ValueId same = program::kNoId;
    if (op == "cat" || op == "concat") {
      same = DropEmptyOperands(&program, &call);
      // cat copies: reading its operand instead is right only where nobody writes to either.
      if (same != program::kNoId && written.contains(program.value(same).storage)) same = program::kNoId;
    } else if (MayBeNothing(op)) {
      same = SelfOf(call);
      if (same != program::kNoId && program.value(same).storage != program.value(result).storage)
        same = program::kNoId;
    }
    if (same == program::kNoId || result == program::kNoId) continue;
    if (same != result && program.value(same).type != program.value(result).type) continue;
    removed.insert(call.id);
    if (same != result) replaced[result] = same;
  }
  ReplaceValues(&program, replaced);
  RemoveCalls(&program, removed);
  return program;
}

}  // namespace strata::plan
