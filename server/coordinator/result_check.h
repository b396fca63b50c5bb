#pragma once
// Whether what a task says of itself agrees with what it wrote. A worker's word alone passes no gate.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/types.h"
#include "server/store/artifacts.h"
#include "server/store/blob_store.h"
#include "strata/v1/worker.pb.h"

namespace strata {

constexpr size_t kMaxOutputs = 20000;

// Paths safe and each once, digests well-formed. InvalidArgument in words.
absl::Status CheckOutputs(const v1::TaskResult& result);

// Reads the JSON files among the outputs. For publish only those that it alone writes or replaces (the tree,
// the log, the coverage summary). InvalidArgument, in words, for what is not as bundle_format.md says.
absl::StatusOr<store::Findings> ReadFindings(const store::BlobStore& blobs, const v1::TaskResult& result,
                                             jobs::TaskKind kind);

// A passed task has written what its kind promises, a passed gate a verdict PASS for its own `step`; nobody
// judges another's step.
absl::Status CheckFindings(jobs::TaskKind kind, const std::string& step, jobs::Outcome outcome,
                           const store::Findings& findings);

}  // namespace strata
