#pragma once
// Binary form of a Program for files and the wire. Not stable between engine versions: the first bytes
// carry a format number and Decode refuses another.
//
// Decode treats its input as hostile: it may come from a process that has run user code. It never reads
// past the end, never allocates more than the input could describe, and checks every id against its table.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/program/program.h"

namespace strata::program {

std::string Encode(const Program& program);
absl::StatusOr<Program> Decode(std::string_view bytes);  // DataLoss with the offset and what was wrong

// Every id of `program` names a row of its table, and invocations nest (not deeper than 1,000). Decode calls
// it; so may a pass that has rewritten a Program. DataLoss with the table, the row and the field.
absl::Status CheckIds(const Program& program);

}  // namespace strata::program
