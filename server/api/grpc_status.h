#pragma once
// The one border between absl::Status and gRPC. Every error leaves with a google.rpc.Status in its details:
// ErrorInfo always, BadRequest for wrong fields, RetryInfo where trying again can succeed.

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace strata::api {

grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace strata::api
