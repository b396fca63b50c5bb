#include "worker/engine/capture/tensor_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/aminmax.h"
#include "ATen/record_function.h"
#include "c10/core/impl/LocalDispatchKeySet.h"
#include "worker/engine/capture/domain.h"

namespace strata::capture {
namespace {

using program::DType;
using program::ValueId;

constexpr int64_t kSmallElements = 2048;
constexpr int64_t kScanElements = int64_t{1} << 20;

// Our own operators are not the model's: not recorded, no autograd, no Python dispatch mode.
struct Quiet {
  at::DisableRecordFunctionGuard no_record;
  at::NoGradGuard no_grad;
  c10::impl::ExcludeDispatchKeyGuard no_modes{
      c10::DispatchKeySet({c10::DispatchKey::Python, c10::DispatchKey::PythonTLSSnapshot})};
};

bool HasReadableElements(const at::Tensor& tensor) {
  return tensor.has_storage() && tensor.layout() == c10::kStrided && !tensor.is_meta() && tensor.numel() > 0;
}

at::Tensor OnCpu(const at::Tensor& tensor) { return tensor.detach().to(c10::kCPU).contiguous(); }

program::Domain ScanAll(const at::Tensor& tensor) {
  const at::Tensor doubles = OnCpu(tensor).to(c10::kDouble);
  const auto count = static_cast<size_t>(doubles.numel());
  return Summarise({doubles.const_data_ptr<double>(), count}, doubles.dim() == 0 ? 1 : doubles.size(-1));
}

// Large tensors: a part says whether they hold whole numbers, a reduction gives the bounds. Where that is
// not exact (whole numbers, NaN, infinities) every element is looked at.
program::Domain Scan(const at::Tensor& tensor) {
  if (tensor.numel() <= kScanElements) return ScanAll(tensor);
  at::Tensor part = tensor.detach();
  for (int64_t d = 0; d < part.dim() && part.numel() > kScanElements; ++d) {
    part = part.narrow(d, 0, std::max<int64_t>(1, kScanElements / (part.numel() / part.size(d))));
  }
  program::Domain domain = ScanAll(part);
  if (domain.is_integral) return ScanAll(tensor);
  const auto [low, high] = at::aminmax(tensor.detach());
  domain.min = low.item().toDouble();
  domain.max = high.item().toDouble();
  if (!std::isfinite(domain.min) || !std::isfinite(domain.max)) return ScanAll(tensor);
  return domain;
}

}  // namespace

DType ToDType(c10::ScalarType type) {
  switch (type) {
    case c10::kDouble:
      return DType::kFloat64;
    case c10::kFloat:
      return DType::kFloat32;
    case c10::kHalf:
      return DType::kFloat16;
    case c10::kBFloat16:
      return DType::kBFloat16;
    case c10::kLong:
      return DType::kInt64;
    case c10::kInt:
      return DType::kInt32;
    case c10::kShort:
      return DType::kInt16;
    case c10::kChar:
      return DType::kInt8;
    case c10::kByte:
      return DType::kUInt8;
    case c10::kBool:
      return DType::kBool;
    case c10::kComplexFloat:
      return DType::kComplex64;
    case c10::kComplexDouble:
      return DType::kComplex128;
    default:
      return DType::kOther;
  }
}

int32_t TensorTable::StorageOf(const at::Tensor& tensor) {
  const auto fresh = static_cast<int32_t>(memory_.size());
  if (!tensor.has_storage()) {
    memory_.push_back(Memory::kWritten);
    return fresh;
  }
  const c10::Storage& storage = tensor.unsafeGetTensorImpl()->unsafe_storage();
  c10::StorageImpl* impl = storage.unsafeGetStorageImpl();
  const auto found = storages_.find(impl);
  if (found != storages_.end()) return found->second.id;
  storages_.emplace(
      impl, KnownStorage{c10::weak_intrusive_ptr<c10::StorageImpl>(storage.getWeakStorageImpl()), fresh});
  memory_.push_back(Memory::kWritten);
  return fresh;
}

ValueId TensorTable::Find(const at::Tensor& tensor) const {
  const auto found = known_.find(tensor.unsafeGetTensorImpl());
  if (found == known_.end()) return program::kNoId;
  const program::Value& value = program_.value(found->second.id);
  if (value.type.dtype != ToDType(tensor.scalar_type()) ||
      tensor.sizes() != at::IntArrayRef(value.type.sizes)) {
    return program::kNoId;
  }
  if (tensor.has_storage()) {
    const auto storage =
        storages_.find(tensor.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl());
    if (storage == storages_.end() || storage->second.id != value.storage) return program::kNoId;
  }
  return value.id;
}

ValueId TensorTable::AddBeside(const at::Tensor& tensor, program::ValueKind kind) {
  program::Value value;
  value.id = static_cast<ValueId>(program_.values.size());
  value.kind = kind;
  value.type.dtype = ToDType(tensor.scalar_type());
  value.type.sizes = tensor.sizes().vec();
  value.type.device = c10::DeviceTypeName(tensor.device().type(), /*lower_case=*/true);
  if (tensor.layout() == c10::kStrided && tensor.has_storage()) {
    value.type.strides = tensor.strides().vec();
    value.type.storage_offset = tensor.storage_offset();
  } else {
    value.type.strides.assign(value.type.sizes.size(), 0);
  }
  value.storage = StorageOf(tensor);
  value.is_wrapped_number = tensor.unsafeGetTensorImpl()->is_wrapped_number();
  program_.values.push_back(std::move(value));
  observed_.push_back(false);
  return program_.values.back().id;
}

ValueId TensorTable::Add(const at::Tensor& tensor, program::ValueKind kind) {
  const ValueId id = AddBeside(tensor, kind);
  Point(tensor, id);
  return id;
}

void TensorTable::Point(const at::Tensor& tensor, ValueId id) {
  const auto found = known_.find(tensor.unsafeGetTensorImpl());
  if (found != known_.end()) {
    found->second.id = id;
  } else {
    known_.emplace(tensor.unsafeGetTensorImpl(), Known{WeakTensor(tensor.getIntrusivePtr()), id});
  }
}

void TensorTable::SetMemory(const at::Tensor& tensor, Memory memory) {
  memory_[static_cast<size_t>(StorageOf(tensor))] = memory;
}

bool TensorTable::IsUnwritten(const at::Tensor& tensor) {
  return tensor.has_storage() && memory_[static_cast<size_t>(StorageOf(tensor))] == Memory::kUnwritten;
}

void TensorTable::Settle() {
  std::replace(memory_.begin(), memory_.end(), Memory::kUnwritten, Memory::kFilledUnseen);
}

std::vector<bool> TensorTable::UnseenStorages() const {
  std::vector<bool> unseen;
  for (const Memory memory : memory_) unseen.push_back(memory != Memory::kWritten);
  return unseen;
}

void TensorTable::Snapshot(ValueId id, const at::Tensor& tensor) {
  if (!HasReadableElements(tensor)) return;
  const Quiet quiet;
  const at::Tensor dense = OnCpu(tensor);
  const auto* begin = static_cast<const uint8_t*>(dense.const_data_ptr());
  Of(id).data.assign(begin, begin + dense.nbytes());
}

void TensorTable::Observe(ValueId id, const at::Tensor& tensor) {
  if (observed_[static_cast<size_t>(id)]) return;
  observed_[static_cast<size_t>(id)] = true;
  const program::Value& value = Of(id);
  const bool keep = value.kind == program::ValueKind::kConstant ||
                    (!program::IsFloating(value.type.dtype) && tensor.numel() <= kSmallElements &&
                     value.kind != program::ValueKind::kParameter);
  if (keep && value.data.empty()) Snapshot(id, tensor);
  const bool skip = value.kind == program::ValueKind::kParameter || tensor.is_complex() ||
                    value.type.dtype == DType::kOther || !HasReadableElements(tensor);
  if (skip) return;
  const Quiet quiet;
  Of(id).domain = Scan(tensor);
}

}  // namespace strata::capture
