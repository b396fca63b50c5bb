#pragma once
// Which value a tensor is. Tensors are known by their TensorImpl and storages by their StorageImpl, both
// held weakly: the address cannot be reused while the table knows it, the memory behind it can be freed.
//
// Includes torch. One thread.

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "ATen/core/Tensor.h"
#include "worker/engine/program/program.h"

namespace strata::capture {

program::DType ToDType(c10::ScalarType type);

using WeakTensor = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

class TensorTable {
 public:
  explicit TensorTable(program::Program& program) : program_(program) {}

  // kNoId for a tensor never seen, or seen with another shape, dtype or storage (`x.data = y`).
  program::ValueId Find(const at::Tensor& tensor) const;
  // A new value; the tensor means it from now on.
  program::ValueId Add(const at::Tensor& tensor, program::ValueKind kind);
  // A new value of this tensor, which goes on meaning what it meant.
  program::ValueId AddBeside(const at::Tensor& tensor, program::ValueKind kind);
  void Point(const at::Tensor& tensor, program::ValueId id);

  // Memory from empty(): torch.tensor and friends fill it where no one can see.
  void SetUnwritten(const at::Tensor& tensor, bool unwritten);
  bool IsUnwritten(const at::Tensor& tensor);
  int32_t StorageId(const at::Tensor& tensor) { return StorageOf(tensor); }
  const std::vector<bool>& unwritten_storages() const { return unwritten_; }

  // Takes the elements into Value::data (row-major, little-endian).
  void Snapshot(program::ValueId id, const at::Tensor& tensor);
  // At first use: the domain, and the elements of constants and of small int and bool tensors. Cheap when
  // it was done before.
  void Observe(program::ValueId id, const at::Tensor& tensor);

 private:
  struct Known {
    WeakTensor impl;
    program::ValueId id;
  };
  struct KnownStorage {
    c10::weak_intrusive_ptr<c10::StorageImpl> impl;
    int32_t id;
  };
  int32_t StorageOf(const at::Tensor& tensor);
  program::Value& Of(program::ValueId id) { return program_.values[static_cast<size_t>(id)]; }

  program::Program& program_;
  std::unordered_map<const c10::TensorImpl*, Known> known_;
  std::unordered_map<const c10::StorageImpl*, KnownStorage> storages_;
  std::vector<bool> unwritten_;  // by storage id
  std::vector<bool> observed_;   // by value id
};

}  // namespace strata::capture
