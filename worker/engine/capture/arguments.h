#pragma once
// IValues of a schema as Arguments of the IR. Includes torch.

#include <functional>
#include <string>

#include "ATen/core/function_schema.h"
#include "ATen/core/ivalue.h"
#include "worker/engine/program/program.h"

namespace strata::capture {

using IdentifyTensor = std::function<program::ValueId(const at::Tensor&)>;

// By the schema's own type, because an IValue alone does not tell a dtype from an int.
program::Argument ToArgument(const c10::IValue& value, const c10::Type& type, const IdentifyTensor& identify);

// "Tensor?", "int[]", "ScalarType?": symbolic kinds spelled as the plain ones.
std::string SchemaType(const c10::Argument& argument);

// Calls `visit` for each defined tensor in `value`, lists included.
void ForEachTensor(const c10::IValue& value, const std::function<void(const at::Tensor&)>& visit);

}  // namespace strata::capture
