#pragma once
// The wire to the worker agent: length-delimited protobuf on a descriptor. Protobuf stays in wire.cc, so
// that whoever includes this may include torch.

#include "worker/engine/pipeline/task.h"

namespace strata::pipeline {

// Says Hello, then runs one task after the other until the agent says shutdown or closes its end. The
// descriptor is not passed on to runners. Exit code: 0, or 1 where the peer broke the protocol.
int Serve(host::Zygote& zygote, int fd);

}  // namespace strata::pipeline
