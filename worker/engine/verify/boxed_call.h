#pragma once
// One recorded call as a call of the dispatcher. Includes torch.

#include <functional>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "worker/engine/program/program.h"

namespace strata::verify {

using ReadValue = std::function<absl::StatusOr<at::Tensor>(program::ValueId)>;

// Executes `call` on what `read` gives for its values. Its tensors in the order of Call::results, undefined
// ones in their place. InvalidArgument for an operator that this torch does not have, arguments that do not
// fit its schema, and what the operator itself raises.
absl::StatusOr<std::vector<at::Tensor>> CallBoxed(const program::Call& call, const ReadValue& read);

at::ScalarType ToScalarType(program::DType dtype);  // Undefined for kOther

}  // namespace strata::verify
