#pragma once
// What crosses the pipe between zygote and runner, and what the zygote makes of it. No torch, no Python.

#include <cstdint>
#include <string>

#include "worker/engine/host/supervisor.h"
#include "worker/engine/host/zygote.h"

namespace strata::host {

inline constexpr int64_t kMaxResultBytes = 1 << 20;

// The request as runner.py reads it.
std::string RequestJson(const RunRequest& request);

// The outcome of a run that ended like `end` when it stood in `stage`. `end.result` and `end.trace` come
// from a process that has run user code.
RunOutcome OutcomeOf(const RunRequest& request, const Limits& limits, const std::string& stage, ChildEnd end);

}  // namespace strata::host
