#include "worker/engine/verify/tolerance.h"

#include <set>

namespace strata::verify {
namespace {

using program::DType;
using program::Program;
using program::Tree;
using program::ValueId;

bool IsHalf(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBFloat16; }

Tolerance For(bool half, Purpose purpose) {
  if (half) return {1e-3, 1e-3};
  return purpose == Purpose::kComposition ? Tolerance{1e-4, 1e-5} : Tolerance{1e-5, 1e-6};
}

// Backward from one output. A write through a view makes a value of the same storage, so every call that
// wrote into a storage on the way is on the way too.
bool HalfOnTheWay(const Program& program, ValueId output) {
  if (output < 0) return false;
  std::set<ValueId> values = {output};
  std::set<int32_t> storages = {program.value(output).storage};
  bool half = IsHalf(program.value(output).type.dtype);
  for (size_t i = program.calls.size(); i-- > 0 && !half;) {
    const program::Call& call = program.calls[i];
    bool on_the_way = false;
    for (const ValueId id : call.results) on_the_way |= id >= 0 && values.contains(id);
    for (const ValueId id : call.mutated_to)
      on_the_way |= id >= 0 && storages.contains(program.value(id).storage);
    if (!on_the_way) continue;
    for (const ValueId id : call.results) half |= id >= 0 && IsHalf(program.value(id).type.dtype);
    for (const ValueId id : program::Reads(call)) {
      values.insert(id);
      storages.insert(program.value(id).storage);
    }
  }
  return half;
}

}  // namespace

std::vector<Tolerance> OutputTolerances(const Program& original, Purpose purpose) {
  std::vector<Tolerance> tolerances;
  if (original.invocations.empty()) return tolerances;
  for (const ValueId id : program::Tensors(original.invocations[0].output))
    tolerances.push_back(For(HalfOnTheWay(original, id), purpose));
  return tolerances;
}

std::string InputDType(const Program& original) {
  std::string first = "none";
  for (const program::Value& value : original.values) {
    if (value.kind != program::ValueKind::kInput) continue;
    const DType dtype = value.type.dtype;
    const bool inexact =
        program::IsFloating(dtype) || dtype == DType::kComplex64 || dtype == DType::kComplex128;
    if (inexact) return program::TorchName(dtype);
    if (first == "none") first = program::TorchName(dtype);
  }
  return first;
}

}  // namespace strata::verify
