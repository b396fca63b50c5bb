#pragma once
// What the recorder has to know about operators beyond their schemas. Includes torch.

#include <cstdint>
#include <string>
#include <string_view>

#include "ATen/core/dispatch/Dispatcher.h"
#include "ATen/core/ivalue.h"
#include "worker/engine/program/program.h"

namespace strata::capture {

// Overwrites `self` without looking at its elements (copy_, fill_, normal_, ...).
bool OverwritesSelf(std::string_view op);
// Metadata only: no element changes, though the schema says that it writes (squeeze_, detach_, ...).
bool ChangesOnlyMetadata(std::string_view op);
// empty and its like.
bool MakesUnwrittenMemory(const std::string& op);
// How torch.tensor() ends: by then it has filled its memory.
bool EndsTensorFactory(std::string_view op);
// program::Mark bits that the operator's tags and arguments say; `call` has its arguments already. Dropout
// that its arguments switch off is not random.
uint32_t MarksOf(const c10::OperatorHandle& handle, const program::Call& call);
// The dtype of autocast for the device of the first tensor, kOther where it is off.
program::DType AutocastOf(c10::ArrayRef<const c10::IValue> inputs);

}  // namespace strata::capture
