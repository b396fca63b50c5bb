#pragma once
// How the program ends.

#include "absl/status/status.h"
#include "strata/v1/strata.pb.h"

namespace strata::cli {

inline constexpr int kExitPass = 0;        // or accepted
inline constexpr int kExitGateFailed = 1;  // the bundle so far is delivered; or rejected
// Bad usage or input, also a submission that failed by its own fault, cannot be judged or was cancelled.
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnavailable = 3;  // no service, or a defect of it
inline constexpr int kExitInterrupted =
    130;  // by a signal of ours; `decompose` and `verify` cancel their job first

// REQUIRES: !status.ok().
int ExitCodeOf(const absl::Status& status);

// REQUIRES: the decomposition has ended.
int ExitCodeOf(const v1::Decomposition& decomposition);

inline bool IsFinal(v1::State state) {
  return state == v1::STATE_SUCCEEDED || state == v1::STATE_FAILED || state == v1::STATE_CANCELED;
}

}  // namespace strata::cli
