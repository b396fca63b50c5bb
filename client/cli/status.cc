#include "client/cli/status.h"

namespace strata::cli {

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kResourceExhausted:
      return kExitUsage;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitUnavailable;
  }
}

int ExitCodeOf(const v1::Decomposition& decomposition) {
  if (decomposition.verdict() == "rejected") return kExitGateFailed;
  if (decomposition.verdict() == "cannot be judged") return kExitUsage;
  if (decomposition.state() == v1::STATE_SUCCEEDED) return kExitPass;
  if (decomposition.state() == v1::STATE_CANCELED) return kExitUsage;
  if (decomposition.state() != v1::STATE_FAILED) return kExitUnavailable;
  switch (decomposition.failure().kind()) {
    case v1::FAILURE_KIND_GATE:
      return kExitGateFailed;
    case v1::FAILURE_KIND_USER:
    case v1::FAILURE_KIND_LIMITS:
      return kExitUsage;
    default:
      return kExitUnavailable;
  }
}

}  // namespace strata::cli
