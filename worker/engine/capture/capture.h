#pragma once
// capture/: the torch seam. Runs inside a runner, beside user code, and writes a Program.
//
// The recorder is a builtin Python module, `_strata_capture`, plus a Python half (recording.py, settings.py,
// sources.py, embedded) that wraps nn.Module.__call__ for scopes, reads constructor settings of torch.nn
// leaves and maps source lines to the names they assign. A runner uses it like this:
//   from strata_capture import record_construction, record_forward
//   with record_construction() as built:                               # optional
//       model = Model(*init)                                           # the first module made is the model
//   output, program_bytes = record_forward(model, args, kwargs, source_file="mlp.py", built=built)
// program_bytes is program::Encode() of what ran. Record forward once per `built`. What forward raises
// passes through; torch is then as it was before. Construction and forward run on the calling thread; what
// user code runs on other threads is not seen, its tensors come out as constants.
//
// How files hang together: recorder (callbacks -> raw calls; tensor_table, arguments, operator_facts, frames
// below it) -> assemble (formulas, numbering) -> Encode. compare works on two finished Programs.

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
