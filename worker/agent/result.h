#pragma once
// From what the agent saw of a task to what it tells the server.

#include "strata/v1/worker.pb.h"
#include "worker/agent/engine_process.h"

namespace strata::agent {

engine::v1::Task MakeTask(const v1::Lease& lease, const std::string& in, const std::string& out);

// Status, failure and figures of a task's end; outputs are not in it.
v1::TaskResult MakeResult(const v1::Lease& lease, const TaskEnd& end, bool stopped);

// A failure on the agent's own account that may pass: FAILED, kind ours, retryable.
v1::TaskResult MakeOurFailure(const v1::Lease& lease, const std::string& message);

v1::TaskOutput MakeOutput(const v1::Lease& lease, const engine::v1::Output& output);

}  // namespace strata::agent
