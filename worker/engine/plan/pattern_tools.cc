#include "worker/engine/plan/pattern_tools.h"

#include <algorithm>

namespace strata::plan::patterns {

using program::Call;
using program::CallId;
using program::kNoId;
using program::Value;
using program::ValueId;
using program::ValueKind;

std::vector<ValueId> Tensors(const Dataflow& flow, const Call& call) {
  std::vector<ValueId> tensors;
  for (ValueId id : program::Reads(call)) {
    if (flow.program().value(id).is_wrapped_number) continue;
    if (std::find(tensors.begin(), tensors.end(), id) == tensors.end()) tensors.push_back(id);
  }
  return tensors;
}

Operands OperandsOf(const Dataflow& flow, const Call& call) {
  Operands operands;
  const auto take = [&](const char* name, const char* other_name, ValueId* side) {
    const program::Argument* argument = FindArgument(call, name);
    if (argument == nullptr) argument = FindArgument(call, other_name);
    if (NumberOf(flow.program(), argument, &operands.number)) {
      operands.has_number = true;
    } else if (argument != nullptr && argument->kind == program::Argument::Kind::kValue) {
      *side = argument->value;
    }
  };
  take("self", "input", &operands.left);
  take("other", "exponent", &operands.right);
  return operands;
}

const Call* MadeBy(const Dataflow& flow, ValueId value, std::initializer_list<const char*> names) {
  if (value == kNoId || flow.producer(value) == kNoId) return nullptr;
  const Call& call = flow.program().call(flow.producer(value));
  const std::string name = NameOf(call);
  for (const char* candidate : names) {
    if (name == candidate) return &call;
  }
  return nullptr;
}

const Call* OnlyReader(const Dataflow& flow, ValueId value) {
  if (flow.is_output(value) || flow.readers(value).size() != 1) return nullptr;
  return &flow.program().call(flow.readers(value)[0]);
}

bool ReadOnlyBy(const Dataflow& flow, ValueId value, const std::set<CallId>& calls) {
  if (flow.is_output(value)) return false;
  return std::all_of(flow.readers(value).begin(), flow.readers(value).end(),
                     [&](CallId reader) { return calls.contains(reader); });
}

bool IsWeight(const Dataflow& flow, ValueId value) {
  for (int steps = 0; value != kNoId && steps < 8; ++steps) {
    const Value& v = flow.program().value(value);
    if (v.kind == ValueKind::kParameter) return true;
    if (flow.producer(value) == kNoId) return false;
    const Call& call = flow.program().call(flow.producer(value));
    if (program::Classify(flow.program(), call) != program::OpClass::kPlumbing) return false;
    const std::vector<ValueId> tensors = Tensors(flow, call);
    if (tensors.size() != 1) return false;
    value = tensors[0];
  }
  return false;
}

ValueId SkipCasts(const Dataflow& flow, ValueId value, std::set<CallId>* passed) {
  while (const Call* cast =
             MadeBy(flow, value, {"to", "_to_copy", "type_as", "detach", "alias", "contiguous"})) {
    const program::Argument* from = FindArgument(*cast, "self");
    if (from == nullptr || from->kind != program::Argument::Kind::kValue) break;
    passed->insert(cast->id);
    value = from->value;
  }
  return value;
}

}  // namespace strata::plan::patterns
