#include "worker/engine/plan/functionalise.h"

#include <algorithm>
#include <set>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/operators.h"

namespace strata::plan {
namespace {

using program::Call;
using program::CallId;
using program::kNoId;
using program::Program;
using program::Value;
using program::ValueId;
using program::ValueKind;

// In-place forms that have no plain twin, or change what the tensor is instead of what it holds.
bool HasPlainForm(const std::string& op) {
  static const auto* const kNone = new std::set<std::string>{
      "copy",     "zero",      "fill",          "set",        "resize",    "random", "normal",
      "uniform",  "bernoulli", "exponential",   "squeeze",    "unsqueeze", "t",      "transpose",
      "swapaxes", "detach",    "requires_grad", "as_strided", "index_put"};
  return !kNone->contains(op);
}

bool IsInPlace(const Call& call) {
  return call.op.size() > 1 && call.op.back() == '_' && !call.op.ends_with("__") &&
         call.mutated.size() == 1 && call.mutated_to.size() == 1 && call.results.size() <= 1 &&
         HasPlainForm(program::OperatorName(call.op));
}

bool KeepsDType(const Program& program, const Call& call) {
  const Value& written = program.value(call.mutated[0]);
  for (ValueId id : program::Reads(call)) {
    const Value& value = program.value(id);
    const bool decides = !value.is_wrapped_number && !value.type.sizes.empty();
    const bool mask = value.type.dtype == program::DType::kBool;
    if (decides && !mask && value.type.dtype != written.type.dtype) return false;
  }
  // A number may promote an integer tensor.
  return program::IsFloating(written.type.dtype);
}

// Somebody sees the memory of the written value after the write, by another id than the new one.
bool IsSeenLater(const Dataflow& flow, const Call& call) {
  const Program& program = flow.program();
  const int32_t storage = program.value(call.mutated[0]).storage;
  for (const Value& value : program.values) {
    if (value.storage != storage || value.id == call.mutated_to[0]) continue;
    if (value.kind != ValueKind::kResult) return true;
    const CallId producer = flow.producer(value.id);
    if (producer == kNoId || producer >= call.id) continue;  // made from the new value
    const auto& readers = flow.readers(value.id);
    if (flow.is_output(value.id) || (!readers.empty() && readers.back() > call.id)) return true;
  }
  return false;
}

}  // namespace

Program Functionalise(Program program) {
  std::vector<CallId> plain;
  {
    const Dataflow flow(program);
    for (const Call& call : program.calls) {
      if (IsInPlace(call) && KeepsDType(program, call) && !IsSeenLater(flow, call)) plain.push_back(call.id);
    }
  }
  for (CallId id : plain) {
    Call& call = program.calls[static_cast<size_t>(id)];
    call.op.pop_back();
    call.results = call.mutated_to;
    call.mutated.clear();
    call.mutated_to.clear();
    call.marks &= ~static_cast<uint32_t>(program::kMutates);
    Value& made = program.values[static_cast<size_t>(call.results[0])];
    made.producer = id;
    made.result_index = 0;
    // dropout_(self, ...) is dropout(input, ...).
    if (program::OperatorName(call.op).find("dropout") != std::string::npos && !call.args.empty())
      call.args[0].name = "input";
  }
  return program;
}

}  // namespace strata::plan
