#pragma once
// The connection to a server and the calls that need more than one message.
//
// Errors are absl::Status with the server's words; UNAVAILABLE names the address.
// Threading: one thread, but for Follow's ticks, which come from a thread of their own.

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/unpack.h"
#include "strata/v1/strata.grpc.pb.h"

namespace strata::cli {

class Client {
 public:
  using Stub = v1::Strata::Stub;

  // Does not connect yet. `address`: "unix:PATH" or "HOST:PORT".
  explicit Client(std::string address);

  const std::string& address() const { return address_; }

  // Asked while a call waits for long: an error ends the call with that error (an embedded service died).
  void set_health(std::function<absl::Status()> health) { health_ = std::move(health); }

  // One unary call: Call(&Client::Stub::GetTree, request).
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request,
                                std::chrono::seconds deadline = std::chrono::seconds(30)) {
    Response response;
    absl::Status status = Unary(
        [&](grpc::ClientContext* context) { return (stub_.get()->*method)(context, request, &response); },
        deadline);
    if (!status.ok()) return status;
    return response;
  }

  // Waits until a server answers. Unavailable after `patience`.
  absl::Status AwaitServer(std::chrono::milliseconds patience);

  // `attempt` again and again while its error may pass, at most for `patience`; ends early on an interrupt or
  // a failing health.
  absl::Status Retry(std::chrono::milliseconds patience, const std::function<absl::Status()>& attempt);

  // Sends one file's bytes if the server lacks them, from where it has them. Aborted where somebody else's
  // bytes of the same file got in between; every error that may pass is for Retry.
  absl::Status Upload(const std::string& digest, const std::string& content);

  struct Watch {
    std::string decomposition_id;  // empty: all
    uint64_t after_event = 0;
    // How long the server may be away before Follow gives up.
    std::chrono::seconds patience{60};
    std::function<void(const v1::Event&)> on_event;
    std::function<void()> on_tick = [] {};  // about ten times a second
  };
  // Every event until the job's last; reconnects and resumes. Cancelled on an interrupt.
  absl::Status Follow(const Watch& watch);

  // Into `dir`, see unpack.h.
  absl::Status Download(const std::string& decomposition_id, const std::string& dir, bool force);

 private:
  // Dials at once, whatever gRPC's own backoff says.
  bool Connect(std::chrono::milliseconds patience);
  absl::Status Unary(const std::function<grpc::Status(grpc::ClientContext*)>& call,
                     std::chrono::seconds deadline);
  // The stream until it ends, the health fails or an interrupt comes.
  absl::Status WatchOnce(const Watch& watch, uint64_t* last_event);
  absl::Status FromGrpc(const grpc::Status& status) const;

  const std::string address_;
  std::function<absl::Status()> health_ = [] { return absl::OkStatus(); };
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace strata::cli
