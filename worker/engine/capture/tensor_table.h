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

  int32_t StorageOf(const at::Tensor& tensor);

  // Memory from empty(): torch.tensor and friends fill it where no one can see. It is unwritten until a
  // recorded call writes to it, or until something shows that it was filled unseen.
  enum class Memory : uint8_t { kWritten, kUnwritten, kFilledUnseen };
  void SetMemory(const at::Tensor& tensor, Memory memory);
  bool IsUnwritten(const at::Tensor& tensor);
  // What is unwritten now was filled unseen: the construction is over.
  void Settle();
  // By storage id: not written by any recorded call.
  std::vector<bool> UnseenStorages() const;

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
  program::Value& Of(program::ValueId id) { return program_.values[static_cast<size_t>(id)]; }

  program::Program& program_;
  std::unordered_map<const c10::TensorImpl*, Known> known_;
  std::unordered_map<const c10::StorageImpl*, KnownStorage> storages_;
  std::vector<Memory> memory_;  // by storage id
  std::vector<bool> observed_;  // by value id
};

}  // namespace strata::capture
