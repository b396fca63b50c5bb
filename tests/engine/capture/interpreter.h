#pragma once
// CPython with torch and the recorder, started once per test program.

#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/program/program.h"

namespace strata::capture {

// Starts Python on first use. The interpreter is STRATA_PYTHON of the build.
absl::Status StartInterpreter();

// Loads a model file (Model, get_inputs, optional get_init_inputs and get_input_kwargs), builds Model in
// eval mode under seed 42, and captures one forward on inputs drawn under `seed`, construction included.
// The forward runs a second time without a recorder: InternalError if its numbers differ.
absl::StatusOr<program::Program> CaptureFile(const std::string& path, int seed = 42);
// The same from source text.
absl::StatusOr<program::Program> CaptureText(const std::string& text, int seed = 42);

// Runs the Program captured last as straight torch.ops calls on the same model and inputs; OK when every
// output tensor has the same bits.
absl::Status Replay(const program::Program& program);

// Runs `expression` with the names of `setup` (Python statements) and gives back str() of its value.
absl::StatusOr<std::string> Evaluate(const std::string& setup, const std::string& expression);

}  // namespace strata::capture
