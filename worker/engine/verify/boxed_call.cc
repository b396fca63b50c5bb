#include "worker/engine/verify/boxed_call.h"

#include <exception>
#include <optional>

#include "ATen/ATen.h"
#include "ATen/autocast_mode.h"
#include "ATen/core/dispatch/Dispatcher.h"
#include "ATen/core/stack.h"
#include "absl/strings/str_cat.h"

namespace strata::verify {
namespace {

using program::Argument;
using program::DType;
using Kind = Argument::Kind;

absl::Status DoesNotFit(const Argument& argument, const c10::Type& type) {
  return absl::InvalidArgumentError(
      absl::StrCat("an argument of kind ", static_cast<int>(argument.kind), " does not fit ", type.str()));
}

absl::StatusOr<c10::IValue> ToIValue(const Argument& argument, const c10::Type& type, const ReadValue& read);

absl::StatusOr<c10::IValue> ToList(const Argument& argument, const c10::ListType& type,
                                   const ReadValue& read) {
  const c10::TypePtr element = type.getElementType();
  c10::impl::GenericList list(element->kind() == c10::TypeKind::SymIntType ? c10::IntType::get() : element);
  for (const Argument& item : argument.items) {
    absl::StatusOr<c10::IValue> value = ToIValue(item, *element, read);
    if (!value.ok()) return value.status();
    list.push_back(*std::move(value));
  }
  return c10::IValue(std::move(list));
}

absl::StatusOr<c10::IValue> ToDType(const Argument& argument, const c10::Type& type) {
  const at::ScalarType dtype = ToScalarType(argument.dtype);
  if (argument.kind != Kind::kDType || dtype == at::ScalarType::Undefined) return DoesNotFit(argument, type);
  return c10::IValue(dtype);
}

absl::StatusOr<c10::IValue> ToMemoryFormat(const Argument& argument) {
  for (const auto& [text, format] : {std::pair{"torch.contiguous_format", at::MemoryFormat::Contiguous},
                                     std::pair{"torch.preserve_format", at::MemoryFormat::Preserve},
                                     std::pair{"torch.channels_last", at::MemoryFormat::ChannelsLast},
                                     std::pair{"torch.channels_last_3d", at::MemoryFormat::ChannelsLast3d}}) {
    if (argument.text == text) return c10::IValue(format);
  }
  return absl::InvalidArgumentError(absl::StrCat("no memory format is called ", argument.text));
}

absl::StatusOr<c10::IValue> ToIValue(const Argument& argument, const c10::Type& type, const ReadValue& read) {
  if (type.kind() == c10::TypeKind::OptionalType) {
    if (argument.kind == Kind::kNone) return c10::IValue();
    return ToIValue(argument, *type.expectRef<c10::OptionalType>().getElementType(), read);
  }
  if (type.kind() == c10::TypeKind::ScalarTypeType) return ToDType(argument, type);
  switch (argument.kind) {
    case Kind::kNone:
      // An undefined tensor is None to a boxed kernel.
      return c10::IValue();
    case Kind::kValue: {
      absl::StatusOr<at::Tensor> tensor = read(argument.value);
      if (!tensor.ok()) return tensor.status();
      return c10::IValue(*std::move(tensor));
    }
    case Kind::kBool:
      return c10::IValue(argument.boolean);
    case Kind::kInt:
      if (type.kind() == c10::TypeKind::FloatType) return c10::IValue(static_cast<double>(argument.integer));
      return c10::IValue(argument.integer);
    case Kind::kDouble:
      return c10::IValue(argument.real);
    case Kind::kComplex:
      return c10::IValue(c10::complex<double>(argument.real, argument.imag));
    case Kind::kString:
      return c10::IValue(argument.text);
    case Kind::kLayout:
      if (argument.text != "torch.strided") return DoesNotFit(argument, type);
      return c10::IValue(c10::Layout::Strided);
    case Kind::kDevice:
      return c10::IValue(c10::Device(argument.text));
    case Kind::kMemoryFormat:
      return ToMemoryFormat(argument);
    case Kind::kList:
      if (type.kind() != c10::TypeKind::ListType) return DoesNotFit(argument, type);
      return ToList(argument, type.expectRef<c10::ListType>(), read);
    case Kind::kDType:
    case Kind::kGenerator:  // its state is nowhere recorded
      break;
  }
  return DoesNotFit(argument, type);
}

absl::StatusOr<torch::jit::Stack> Arguments(const c10::FunctionSchema& schema, const program::Call& call,
                                            const ReadValue& read) {
  torch::jit::Stack stack;
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const c10::Argument& expected = schema.arguments()[i];
    if (i < call.args.size()) {
      if (call.args[i].name != expected.name())
        return absl::InvalidArgumentError(absl::StrCat("it has no argument ", call.args[i].name));
      absl::StatusOr<c10::IValue> value = ToIValue(call.args[i].value, *expected.real_type(), read);
      if (!value.ok()) return value.status();
      stack.push_back(*std::move(value));
    } else if (expected.default_value()) {
      stack.push_back(*expected.default_value());
    } else {
      return absl::InvalidArgumentError(absl::StrCat("its argument ", expected.name(), " is missing"));
    }
  }
  if (call.args.size() > schema.arguments().size())
    return absl::InvalidArgumentError("it has too many arguments");
  return stack;
}

void Append(const c10::IValue& value, std::vector<at::Tensor>& out) {
  if (value.isTensor()) {
    out.push_back(value.toTensor());
  } else if (value.isList()) {
    for (const c10::IValue& item : value.toListRef()) {
      if (item.isTensor() && item.toTensor().defined()) Append(item, out);
      if (item.isList()) Append(item, out);
    }
  }
}

// The casts of autocast happen inside the call.
class Autocast {
 public:
  Autocast(const program::Call& call, const torch::jit::Stack& stack) {
    if (call.autocast == DType::kOther) return;
    device_ = c10::DeviceType::CPU;
    for (const c10::IValue& value : stack) {
      if (value.isTensor() && value.toTensor().defined() && value.toTensor().is_cuda())
        device_ = c10::DeviceType::CUDA;
    }
    at::autocast::set_autocast_enabled(*device_, true);
    at::autocast::set_autocast_dtype(*device_, ToScalarType(call.autocast));
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~Autocast() {
    if (device_) at::autocast::set_autocast_enabled(*device_, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  std::optional<c10::DeviceType> device_;
};

}  // namespace

at::ScalarType ToScalarType(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return at::kDouble;
    case DType::kFloat32:
      return at::kFloat;
    case DType::kFloat16:
      return at::kHalf;
    case DType::kBFloat16:
      return at::kBFloat16;
    case DType::kInt64:
      return at::kLong;
    case DType::kInt32:
      return at::kInt;
    case DType::kInt16:
      return at::kShort;
    case DType::kInt8:
      return at::kChar;
    case DType::kUInt8:
      return at::kByte;
    case DType::kBool:
      return at::kBool;
    case DType::kComplex64:
      return at::kComplexFloat;
    case DType::kComplex128:
      return at::kComplexDouble;
    case DType::kOther:
      break;
  }
  return at::ScalarType::Undefined;
}

absl::StatusOr<std::vector<at::Tensor>> CallBoxed(const program::Call& call, const ReadValue& read) {
  try {
    const auto handle = c10::Dispatcher::singleton().findSchema({call.op, call.overload});
    if (!handle) return absl::InvalidArgumentError("this torch has no such operator");
    absl::StatusOr<torch::jit::Stack> stack = Arguments(handle->schema(), call, read);
    if (!stack.ok()) return stack.status();
    const Autocast autocast(call, *stack);
    handle->callBoxed(&*stack);
    std::vector<at::Tensor> results;
    for (const c10::IValue& value : *stack) Append(value, results);
    return results;
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return absl::InvalidArgumentError(text.substr(0, text.find('\n')));
  }
}

}  // namespace strata::verify
