#include "worker/engine/capture/arguments.h"

#include "ATen/core/Tensor.h"
#include "ATen/core/jit_type.h"
#include "worker/engine/capture/tensor_table.h"

namespace strata::capture {
namespace {

using program::Argument;

Argument Text(Argument::Kind kind, std::string text) {
  Argument a;
  a.kind = kind;
  a.text = std::move(text);
  return a;
}

std::string LayoutName(c10::Layout layout) {
  switch (layout) {
    case c10::Layout::Strided:
      return "torch.strided";
    case c10::Layout::Sparse:
      return "torch.sparse_coo";
    case c10::Layout::SparseCsr:
      return "torch.sparse_csr";
    default:
      return "torch.layout";
  }
}

std::string MemoryFormatName(c10::MemoryFormat format) {
  switch (format) {
    case c10::MemoryFormat::Contiguous:
      return "torch.contiguous_format";
    case c10::MemoryFormat::Preserve:
      return "torch.preserve_format";
    case c10::MemoryFormat::ChannelsLast:
      return "torch.channels_last";
    case c10::MemoryFormat::ChannelsLast3d:
      return "torch.channels_last_3d";
    default:
      return "torch.preserve_format";
  }
}

Argument Plain(const c10::IValue& value, const IdentifyTensor& identify) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    return tensor.defined() ? Argument::OfValue(identify(tensor)) : Argument::None();
  }
  if (value.isBool()) return Argument::OfBool(value.toBool());
  if (value.isInt()) return Argument::OfInt(value.toInt());
  if (value.isDouble()) return Argument::OfDouble(value.toDouble());
  if (value.isComplexDouble()) {
    Argument a;
    a.kind = Argument::Kind::kComplex;
    a.real = value.toComplexDouble().real();
    a.imag = value.toComplexDouble().imag();
    return a;
  }
  if (value.isString()) return Argument::OfString(value.toStringRef());
  if (value.isDevice()) {
    return Text(Argument::Kind::kDevice, c10::DeviceTypeName(value.toDevice().type(), /*lower_case=*/true));
  }
  if (value.isGenerator()) return Text(Argument::Kind::kGenerator, "");
  return Text(Argument::Kind::kString, value.tagKind());
}

}  // namespace

Argument ToArgument(const c10::IValue& value, const c10::Type& type, const IdentifyTensor& identify) {
  if (value.isNone()) return Argument::None();
  switch (type.kind()) {
    case c10::TypeKind::OptionalType:
      return ToArgument(value, *type.expectRef<c10::OptionalType>().getElementType(), identify);
    case c10::TypeKind::ScalarTypeType:
      return Argument::OfDType(ToDType(value.toScalarType()));
    case c10::TypeKind::LayoutType:
      return Text(Argument::Kind::kLayout, LayoutName(value.toLayout()));
    case c10::TypeKind::MemoryFormatType:
      return Text(Argument::Kind::kMemoryFormat, MemoryFormatName(value.toMemoryFormat()));
    default:
      break;
  }
  if (!value.isList()) return Plain(value, identify);
  std::vector<Argument> items;
  const bool typed = type.kind() == c10::TypeKind::ListType;
  for (const c10::IValue& item : value.toListRef()) {
    items.push_back(typed ? ToArgument(item, *type.expectRef<c10::ListType>().getElementType(), identify)
                          : Plain(item, identify));
  }
  return Argument::OfList(std::move(items));
}

std::string SchemaType(const c10::Argument& argument) {
  std::string text = argument.real_type()->str();
  const size_t sym = text.find("SymInt");
  if (sym != std::string::npos) text.replace(sym, 6, "int");
  return text;
}

void ForEachTensor(const c10::IValue& value, const std::function<void(const at::Tensor&)>& visit) {
  if (value.isTensor()) {
    if (value.toTensor().defined()) visit(value.toTensor());
  } else if (value.isList()) {
    for (const c10::IValue& item : value.toListRef()) ForEachTensor(item, visit);
  }
}

}  // namespace strata::capture
