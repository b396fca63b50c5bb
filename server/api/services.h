#pragma once
// strata.v1.Strata and strata.v1.Worker over a Coordinator. Replies come from the rows (readers) or, where
// something changes, from the coordinator's writer thread; streams are in streams.h.

#include <memory>

#include <grpcpp/grpcpp.h>

#include "server/api/executor.h"
#include "server/coordinator/coordinator.h"

namespace strata::api {

// Both refer to `coordinator` and `executor`, which outlive them.
std::unique_ptr<grpc::Service> MakeStrataService(Coordinator& coordinator, Executor& executor);
std::unique_ptr<grpc::Service> MakeWorkerService(Coordinator& coordinator);

}  // namespace strata::api
