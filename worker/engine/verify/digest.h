#pragma once
// One text that stands for the bits of a tree of tensors. Includes torch.

#include <string>

#include "ATen/core/Tensor.h"
#include "worker/engine/host/tensor_file.h"

namespace strata::verify {

// SHA-256 over structure, dtypes, shapes and elements of these trees of `file`; strides, aliasing and the
// names of classes are left out. Equal digests: equal bits.
std::string DigestOf(const host::TensorFile& file, const std::vector<std::string>& trees);
// Of one tensor.
std::string DigestOf(const at::Tensor& tensor);

}  // namespace strata::verify
