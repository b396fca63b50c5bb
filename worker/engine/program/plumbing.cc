#include "worker/engine/program/plumbing.h"

#include <algorithm>
#include <cmath>

namespace strata::program {
namespace {

// Sorted. docs/plumbing.md has the same rows with their reasons.
constexpr std::string_view kPlumbingNames[] = {
    "_local_scalar_dense",
    "_to_copy",
    "_unsafe_view",
    "alias",
    "arange",
    "broadcast_to",
    "cat",
    "chunk",
    "clone",
    "concat",
    "concatenate",
    "contiguous",
    "copy",
    "detach",
    "empty",
    "empty_like",
    "expand",
    "expand_as",
    "fill",
    "flatten",
    "flip",
    "full",
    "full_like",
    "hstack",
    "is_nonzero",
    "item",
    "lift",
    "lift_fresh",
    "mT",
    "moveaxis",
    "movedim",
    "narrow",
    "new_empty",
    "new_full",
    "new_ones",
    "new_zeros",
    "numpy_T",
    "ones",
    "ones_like",
    "permute",
    "repeat",
    "reshape",
    "reshape_as",
    "roll",
    "row_stack",
    "scalar_tensor",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "stack",
    "swapaxes",
    "swapdims",
    "t",
    "tensor_split",
    "tile",
    "to",
    "transpose",
    "type_as",
    "unbind",
    "unflatten",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "unsqueeze",
    "view",
    "view_as",
    "vstack",
    "zero",
    "zeros",
    "zeros_like",
};

constexpr std::string_view kArithmeticNames[] = {
    "add", "div", "divide", "mul", "multiply", "neg", "negative", "rsub", "sub", "subtract", "true_divide",
};

// docs/plumbing.md, "What passes besides".
constexpr std::string_view kMaskLogicNames[] = {"__and__",     "__or__",     "__xor__",     "bitwise_and",
                                                "bitwise_not", "bitwise_or", "bitwise_xor", "logical_and",
                                                "logical_not", "logical_or", "logical_xor"};
constexpr std::string_view kMaskedFillNames[] = {"masked_fill"};
constexpr std::string_view kPowerNames[] = {"pow"};
constexpr std::string_view kIndexingNames[] = {"index", "index_put", "masked_select"};
constexpr std::string_view kComparisonNames[] = {"eq", "ge", "gt", "le", "lt", "ne"};

template <size_t N>
bool Contains(const std::string_view (&sorted)[N], std::string_view name) {
  return std::binary_search(std::begin(sorted), std::end(sorted), name);
}

const Argument* Find(const Call& call, std::string_view name) {
  for (const NamedArgument& argument : call.args) {
    if (argument.name == name) return &argument.value;
  }
  return nullptr;
}

bool IsNumber(const Program& program, const Argument& argument) {
  switch (argument.kind) {
    case Argument::Kind::kBool:
    case Argument::Kind::kInt:
    case Argument::Kind::kDouble:
    case Argument::Kind::kComplex:
      return true;
    case Argument::Kind::kValue:
      return argument.value != kNoId && program.value(argument.value).is_wrapped_number;
    default:
      return false;
  }
}

bool IsComplex(DType dtype) { return dtype == DType::kComplex64 || dtype == DType::kComplex128; }

// A write by an index that adds up what falls on one place is a sum.
bool Accumulates(const Call& call) {
  const Argument* accumulate = Find(call, "accumulate");
  return accumulate != nullptr && accumulate->kind == Argument::Kind::kBool && accumulate->boolean;
}

// Python spells `a / x` as `x.reciprocal() * a`: the product is the very next call.
bool IsReflectedDivision(const Program& program, const Call& call) {
  const auto next = static_cast<size_t>(call.id) + 1;
  if (next >= program.calls.size() || program.calls[next - 1].op != call.op || call.results.size() != 1)
    return false;
  const Call& product = program.calls[next];
  if (OperatorName(product.op) != "mul" || product.scope != call.scope) return false;
  const Argument* left = Find(product, "self");
  const Argument* right = Find(product, "other");
  return left && right && *left == Argument::OfValue(call.results[0]) && IsNumber(program, *right);
}

}  // namespace

OpClass ClassifyName(std::string_view operator_name) {
  if (Contains(kArithmeticNames, operator_name)) return OpClass::kArithmetic;
  if (Contains(kPlumbingNames, operator_name)) return OpClass::kPlumbing;
  return OpClass::kCompute;
}

std::span<const std::string_view> NamesOf(OpClass op_class) {
  switch (op_class) {
    case OpClass::kPlumbing:
      return kPlumbingNames;
    case OpClass::kArithmetic:
      return kArithmeticNames;
    case OpClass::kCompute:
      break;
  }
  return {};
}

std::span<const std::string_view> NamesOf(Besides besides) {
  switch (besides) {
    case Besides::kMaskLogic:
      return kMaskLogicNames;
    case Besides::kMaskedFill:
      return kMaskedFillNames;
    case Besides::kPower:
      return kPowerNames;
    case Besides::kIndexing:
      return kIndexingNames;
    case Besides::kComparison:
      return kComparisonNames;
    case Besides::kNothing:
      break;
  }
  return {};
}

Besides ClassifyBesides(const Program& program, const Call& call) {
  const std::string name = OperatorName(call.op);
  if (!call.op.starts_with("aten::")) return Besides::kNothing;
  const auto all_bool = [&] {
    const std::vector<ValueId> reads = Reads(call);
    return std::all_of(reads.begin(), reads.end(),
                       [&](ValueId id) { return program.value(id).type.dtype == DType::kBool; });
  };
  if (Contains(kMaskLogicNames, name)) return all_bool() ? Besides::kMaskLogic : Besides::kNothing;
  if (Contains(kMaskedFillNames, name)) {
    const Argument* value = Find(call, "value");
    return value != nullptr && IsNumber(program, *value) ? Besides::kMaskedFill : Besides::kNothing;
  }
  if (Contains(kPowerNames, name)) {
    const Argument* exponent = Find(call, "exponent");
    const bool whole =
        exponent != nullptr && call.overload == "Tensor_Scalar" &&
        (exponent->kind == Argument::Kind::kInt ||
         (exponent->kind == Argument::Kind::kDouble && exponent->real == std::floor(exponent->real)));
    return whole ? Besides::kPower : Besides::kNothing;
  }
  if (Contains(kIndexingNames, name)) return Accumulates(call) ? Besides::kNothing : Besides::kIndexing;
  return Contains(kComparisonNames, name) ? Besides::kComparison : Besides::kNothing;
}

OpClass Classify(const Program& program, const Call& call) {
  const std::string name = OperatorName(call.op);
  if (name == "repeat_interleave")
    return call.overload == "self_int" ? OpClass::kPlumbing : OpClass::kCompute;
  if (name == "reciprocal") {
    return IsReflectedDivision(program, call) ? OpClass::kArithmetic : OpClass::kCompute;
  }
  if (name == "resolve_conj" || name == "resolve_neg") {
    const std::vector<ValueId> reads = Reads(call);
    const bool real = reads.size() == 1 && reads[0] >= 0 && !IsComplex(program.value(reads[0]).type.dtype);
    return real ? OpClass::kPlumbing : OpClass::kCompute;
  }
  return ClassifyName(name);
}

}  // namespace strata::program
