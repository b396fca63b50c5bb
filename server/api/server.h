#pragma once
// A listening server: coordinator, both services, health, reflection, and the limits on all of them.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/coordinator/coordinator.h"

namespace strata::api {

struct ServerOptions {
  std::string listen;
  Coordinator::Options coordinator;
};

class Server {
 public:
  // Listens when it returns; a Unix socket gets the mode that the process's umask leaves. InvalidArgument for
  // an address that is not allowed, FailedPrecondition for a socket or data folder that another server has.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options);
  // As Stop.
  ~Server();

  // What clients dial: the address given, with the port that was found for port 0.
  const std::string& address() const;

  // Takes nothing new, lets calls under way end for `grace`, then cancels them. All that was acknowledged is
  // on disk.
  void Stop(absl::Duration grace);

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace strata::api
