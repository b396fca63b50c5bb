#pragma once
// Spelling: class names, numbers and lists as parts of file names and sentences.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::plan {

// "CausalSelfAttention" -> "causal_self_attention", "RMSNorm" -> "rms_norm", "SwiGLU" -> "swiglu",
// "BatchNorm2d" -> "batch_norm2d". Anything that no identifier may hold becomes an underscore.
std::string SnakeCase(std::string_view name);
// A Python identifier: SnakeCase without leading digits and underscores; `fallback` where nothing is left
// or a keyword would be.
std::string Identifier(std::string_view name, std::string_view fallback);
// "0p1", "m1", "1em6", "2": a number inside a file name.
std::string NumberToken(double number);
// "64x128x3" of {64, 128, 3}; "scalar" of {}.
std::string Dims(const std::vector<int64_t>& sizes);
// "a", "a and b", "a, b and c".
std::string Enumerate(const std::vector<std::string>& items);
// "model.py:21" of a call: the innermost line outside of torch; "" where it has no frame.
std::string Place(const program::Call& call);
// Dotted path of the module that an invocation runs; "" for the submitted model.
const std::string& ModulePath(const program::Program& program, program::InvocationId invocation);
const program::Module& ModuleOf(const program::Program& program, program::InvocationId invocation);

}  // namespace strata::plan
