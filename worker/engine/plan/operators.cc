#include "worker/engine/plan/operators.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace strata::plan {
namespace {

using program::Argument;

template <size_t N>
bool Contains(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

constexpr std::string_view kConvolutions[] = {
    "conv1d",           "conv2d",           "conv3d",      "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "convolution", "_convolution",
};
constexpr std::string_view kLinears[] = {"linear", "addmm", "_addmm_activation"};
constexpr std::string_view kMatmuls[] = {
    "matmul",       "mm",
    "bmm",          "baddbmm",
    "addbmm",       "einsum",
    "mv",           "addmv",
    "dot",          "tensordot",
    "inner",        "bilinear",
    "__matmul__",   "linalg_matmul",
    "chain_matmul", "linalg_multi_dot",
};
constexpr std::string_view kAttention[] = {
    "scaled_dot_product_attention",   "_scaled_dot_product_flash_attention",
    "_native_multi_head_attention",   "_scaled_dot_product_efficient_attention",
    "_transformer_encoder_layer_fwd", "flex_attention",
};
constexpr std::string_view kRecurrent[] = {
    "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
};
constexpr std::string_view kPools[] = {
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_pool1d_with_indices",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
};
constexpr std::string_view kDropouts[] = {
    "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout",
};
constexpr std::string_view kActivations[] = {
    "relu",        "relu6",       "gelu",       "silu",       "mish",       "elu",      "selu",
    "celu",        "leaky_relu",  "rrelu",      "prelu",      "sigmoid",    "tanh",     "hardtanh",
    "hardswish",   "hardsigmoid", "hardshrink", "softshrink", "tanhshrink", "softplus", "softsign",
    "log_sigmoid", "threshold",   "clamp",      "clamp_min",  "clamp_max",  "glu",
};
constexpr std::string_view kNormalisations[] = {
    "batch_norm",          "layer_norm",        "group_norm",
    "instance_norm",       "rms_norm",          "native_layer_norm",
    "native_group_norm",   "native_batch_norm", "_native_batch_norm_legit_no_training",
    "local_response_norm",
};
constexpr std::string_view kSoftmaxes[] = {"softmax", "log_softmax", "_softmax", "_log_softmax", "softmin"};
constexpr std::string_view kComparisons[] = {
    "eq",          "ne",          "lt",         "le",          "gt",          "ge",
    "equal",       "not_equal",   "less",       "less_equal",  "greater",     "greater_equal",
    "logical_not", "logical_and", "logical_or", "logical_xor", "bitwise_not", "bitwise_and",
    "bitwise_or",  "bitwise_xor", "__and__",    "__or__",      "__xor__",     "isinf",
    "isnan",       "isfinite",
};
constexpr std::string_view kReductions[] = {
    "sum",
    "mean",
    "var",
    "std",
    "amax",
    "amin",
    "max",
    "min",
    "prod",
    "norm",
    "linalg_vector_norm",
    "logsumexp",
    "any",
    "all",
    "var_mean",
    "std_mean",
    "argmax",
    "argmin",
    "nansum",
    "median",
};
constexpr std::string_view kElementwise[] = {
    "add",        "sub",     "rsub",    "mul",   "div",          "neg",        "pow",
    "square",     "sqrt",    "rsqrt",   "exp",   "expm1",        "log",        "log1p",
    "log2",       "log10",   "abs",     "sign",  "erf",          "erfc",       "sin",
    "cos",        "tan",     "asin",    "acos",  "atan",         "sinh",       "cosh",
    "reciprocal", "floor",   "ceil",    "round", "trunc",        "frac",       "fmod",
    "remainder",  "maximum", "minimum", "where", "masked_fill",  "lerp",       "addcmul",
    "addcdiv",    "atan2",   "xlogy",   "logit", "floor_divide", "nan_to_num", "exp2",
};
constexpr std::string_view kFactories[] = {
    "arange", "zeros", "ones", "full", "empty", "scalar_tensor", "eye", "linspace", "logspace",
};

}  // namespace

bool IsConvolution(std::string_view op) { return Contains(kConvolutions, op); }
bool IsLinear(std::string_view op) { return Contains(kLinears, op); }
bool IsMatmul(std::string_view op) { return Contains(kMatmuls, op); }
bool IsAttentionOp(std::string_view op) { return Contains(kAttention, op); }
bool IsRecurrent(std::string_view op) { return Contains(kRecurrent, op); }
bool IsContraction(std::string_view op) {
  return IsConvolution(op) || IsLinear(op) || IsMatmul(op) || IsAttentionOp(op) || IsRecurrent(op);
}
bool IsPool(std::string_view op) { return Contains(kPools, op); }
bool IsDropout(std::string_view op) { return Contains(kDropouts, op); }
bool IsActivation(std::string_view op) { return Contains(kActivations, op); }
bool IsNormalisation(std::string_view op) { return Contains(kNormalisations, op); }
bool IsSoftmax(std::string_view op) { return Contains(kSoftmaxes, op); }
bool IsComparison(std::string_view op) { return Contains(kComparisons, op); }
bool IsReduction(std::string_view op) { return Contains(kReductions, op); }
bool IsElementwise(std::string_view op) {
  return Contains(kElementwise, op) || (IsActivation(op) && op != "glu") || IsComparison(op);
}
bool IsFactory(std::string_view op) { return Contains(kFactories, op); }

std::string NameOf(const program::Call& call) {
  static constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
      {"multiply", "mul"},     {"divide", "div"},      {"true_divide", "div"}, {"subtract", "sub"},
      {"negative", "neg"},     {"concat", "cat"},      {"concatenate", "cat"}, {"absolute", "abs"},
      {"clip", "clamp"},       {"arccos", "acos"},     {"arcsin", "asin"},     {"arctan", "atan"},
      {"moveaxis", "movedim"}, {"row_stack", "vstack"}};
  std::string name = program::OperatorName(call.op);
  for (const auto& [alias, usual] : kAliases) {
    if (name == alias) return std::string(usual);
  }
  return name;
}

std::string TitleOf(const program::Program& program, const program::Call& call) {
  const std::string op = NameOf(call);
  double low = 0, high = 0;
  const bool bounded = op == "hardtanh" && NumberOf(program, FindArgument(call, "min_val"), &low) &&
                       NumberOf(program, FindArgument(call, "max_val"), &high);
  return bounded && low == 0 && high == 6 ? "relu6" : op;
}

const Argument* FindArgument(const program::Call& call, std::string_view name) {
  for (const program::NamedArgument& argument : call.args) {
    if (argument.name == name) return &argument.value;
  }
  return nullptr;
}

bool NumberOf(const program::Program& program, const Argument* argument, double* number) {
  if (argument == nullptr) return false;
  switch (argument->kind) {
    case Argument::Kind::kInt:
      *number = static_cast<double>(argument->integer);
      return true;
    case Argument::Kind::kDouble:
      *number = argument->real;
      return true;
    case Argument::Kind::kBool:
      *number = argument->boolean ? 1 : 0;
      return true;
    case Argument::Kind::kValue: {
      if (argument->value == program::kNoId) return false;
      const program::Value& value = program.value(argument->value);
      if (value.kind != program::ValueKind::kConstant || !value.type.sizes.empty()) return false;
      const auto size = static_cast<size_t>(program::ElementSizeBytes(value.type.dtype));
      if (value.data.size() != size) return false;
      if (value.type.dtype == program::DType::kFloat64) {
        std::memcpy(number, value.data.data(), size);
      } else if (value.type.dtype == program::DType::kFloat32) {
        float f;
        std::memcpy(&f, value.data.data(), size);
        *number = f;
      } else if (value.type.dtype == program::DType::kInt64) {
        int64_t i;
        std::memcpy(&i, value.data.data(), size);
        *number = static_cast<double>(i);
      } else if (value.type.dtype == program::DType::kBool) {
        *number = value.data[0];
      } else {
        return false;
      }
      return true;
    }
    default:
      return false;
  }
}

}  // namespace strata::plan
