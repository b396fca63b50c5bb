#pragma once
// capture/: the torch seam. Runs inside a runner, beside user code, and writes a Program.
//
// The recorder is a builtin Python module, `_strata_capture`, plus a small Python half (recording.py,
// embedded) that wraps nn.Module.__call__ for scopes, reads constructor settings of torch.nn leaves and
// maps source lines to the names they assign. A runner uses it like this:
//   from strata_capture import record_construction, record_forward
//   with record_construction() as built: model = Model(*init)          # optional
//   output, program_bytes = record_forward(model, args, kwargs, source_file="mlp.py", built=built or None)
// program_bytes is program::Encode() of what ran.

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/program/program.h"

namespace strata::capture {

// Makes `_strata_capture` importable. Before Py_Initialize.
void RegisterPythonModule();
// Installs the Python half as module `strata_capture`. After Py_Initialize and `import torch`; GIL held.
absl::Status InstallPythonHalf();

// Two captures of one model with different inputs: the first one, with kDataDependent marks on every call
// whose operator, settings or shapes the second does not share, and a note for each place.
absl::StatusOr<program::Program> Compare(program::Program first, const program::Program& second);

}  // namespace strata::capture
