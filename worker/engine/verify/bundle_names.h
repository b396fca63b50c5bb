#pragma once
// What the file name of a kernel states, against what the file executed. Pure.

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "worker/engine/verify/bundle_program.h"

namespace strata::verify {

// OPERATION_SHAPES_DTYPE taken apart, as far as anyone's spelling can be.
struct StatedName {
  std::string operation;            // "layer_norm": what stands before the first number or dtype
  std::vector<std::string> tokens;  // all, in order
  std::vector<std::string> dtypes;  // those at the end: "i64", "fp32"
  bool numbered = false;            // ends in a number of a copy: relu_fp32_2
};
StatedName ReadName(const std::string& stem);

// What contradicts the recording, each as the end of a sentence: "says bf16; it executes fp32 alone". A file
// that spells a function otherwise may have the function's name; `respelled` as in BundleFacts.
std::vector<std::string> Contradictions(const StatedName& name, const ExecutedComponent& executed,
                                        const std::optional<std::set<std::string>>& respelled = {});

// Of a file that says no level: its name is one operator's, and it executes another that has a word of its
// own.
// "" where it does not.
std::string OperatorsNotNamed(const StatedName& name, const ExecutedComponent& executed);

// The workload is not in the name: no dtype, or no dimension although the kernel has some.
bool IsGeneric(const StatedName& name, const ExecutedComponent* executed);
bool SaysDims(const StatedName& name);

}  // namespace strata::verify
