#pragma once
// Where a server may listen: until tokens and TLS exist, where only this machine's users reach it.

#include <string>

#include "absl/status/status.h"

namespace strata::api {

// OK for unix:PATH, 127.x.x.x:PORT, [::1]:PORT, localhost:PORT. Anything else is InvalidArgument with a
// sentence that says why and what to do.
absl::Status CheckListenAddress(const std::string& address);

// FailedPrecondition where a server answers on the Unix socket: listening would take it over in silence.
absl::Status CheckNobodyListens(const std::string& address);

// PATH of "unix:PATH", "" for another address.
std::string SocketPath(const std::string& address);

}  // namespace strata::api
