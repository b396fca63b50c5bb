#pragma once
// Drawing for what already holds tensors. Includes torch; for trusted forks only.

#include "ATen/core/Tensor.h"

namespace strata::verify {

// Numbers of a wide range in the shape and type of `like`: rows of scale 1 to 100, or else 0.01 to 1 with
// some rows far from zero. A model's own input (`keeps_domain`) stays in its domain. Undefined where `like`
// is to be kept: no floats, a mask. The same seed draws the same.
at::Tensor DrawWide(const at::Tensor& like, bool keeps_domain, bool mostly_large, int64_t seed);

// Of one dtype, sizes and elements: drawn as they come, nothing would tell the two apart.
bool SameValue(const at::Tensor& a, const at::Tensor& b);

}  // namespace strata::verify
