#include "worker/engine/capture/operator_facts.h"

#include <algorithm>
#include <optional>

#include "ATen/autocast_mode.h"
#include "ATen/core/dispatch/Dispatcher.h"
#include "ATen/core/enum_tag.h"
#include "worker/engine/capture/arguments.h"
#include "worker/engine/capture/tensor_table.h"

namespace strata::capture {
namespace {

using program::Argument;
using program::Call;

template <size_t N>
bool IsOneOf(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

const Argument* FindArgument(const Call& call, std::string_view name) {
  for (const auto& argument : call.args) {
    if (argument.name == name) return &argument.value;
  }
  return nullptr;
}

// Operators tagged as random draw nothing when their own arguments switch it off (dropout in eval).
bool DrawsNothing(const Call& call) {
  for (const char* name : {"train", "training"}) {
    const Argument* a = FindArgument(call, name);
    if (a && a->kind == Argument::Kind::kBool && !a->boolean) return true;
  }
  const bool named_dropout = call.op.find("dropout") != std::string::npos;
  for (const char* name : {"dropout", "dropout_p", "p"}) {
    const Argument* a = FindArgument(call, name);
    if (!a || (*name == 'p' && !named_dropout)) continue;
    if (a->kind == Argument::Kind::kDouble && a->real == 0) return true;
  }
  return false;
}

}  // namespace

bool OverwritesSelf(std::string_view op) {
  constexpr std::string_view kNames[] = {
      "aten::copy_",      "aten::fill_",   "aten::zero_",      "aten::index_put_", "aten::normal_",
      "aten::uniform_",   "aten::random_", "aten::bernoulli_", "aten::set_",       "aten::exponential_",
      "aten::geometric_", "aten::cauchy_", "aten::log_normal_"};
  return IsOneOf(op, kNames);
}

bool ChangesOnlyMetadata(std::string_view op) {
  constexpr std::string_view kNames[] = {"aten::detach_",   "aten::squeeze_",      "aten::unsqueeze_",
                                         "aten::t_",        "aten::transpose_",    "aten::swapaxes_",
                                         "aten::swapdims_", "aten::as_strided_",   "aten::rename_",
                                         "aten::resize_",   "aten::requires_grad_"};
  return IsOneOf(op, kNames);
}

bool EndsTensorFactory(std::string_view op) { return op == "aten::lift_fresh" || op == "aten::detach_"; }

bool MakesUnwrittenMemory(const std::string& op) {
  constexpr std::string_view kNames[] = {"empty",     "empty_like",        "empty_strided",
                                         "new_empty", "new_empty_strided", "empty_permuted"};
  return op.starts_with("aten::") && IsOneOf(program::OperatorName(op), kNames);
}

uint32_t MarksOf(const c10::OperatorHandle& handle, const Call& call) {
  uint32_t marks = 0;
  if (handle.hasTag(at::Tag::nondeterministic_seeded) && !DrawsNothing(call)) marks |= program::kRandom;
  if (handle.hasTag(at::Tag::data_dependent_output)) marks |= program::kDataDependent;
  if (!call.op.starts_with("aten::")) marks |= program::kOpaque;
  return marks;
}

program::DType AutocastOf(c10::ArrayRef<const c10::IValue> inputs) {
  std::optional<c10::DeviceType> device;
  for (const c10::IValue& input : inputs) {
    ForEachTensor(input, [&](const at::Tensor& t) { device = device.value_or(t.device().type()); });
  }
  const bool on =
      device && at::autocast::is_autocast_available(*device) && at::autocast::is_autocast_enabled(*device);
  return on ? ToDType(at::autocast::get_autocast_dtype(*device)) : program::DType::kOther;
}

}  // namespace strata::capture
