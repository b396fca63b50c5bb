#include "server/api/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>

#include "absl/strings/str_cat.h"
#include "server/api/address.h"
#include "server/api/services.h"

namespace strata::api {
namespace {

constexpr int kMaxReceiveBytes = 16 << 20;  // a result with 20,000 outputs; chunks have their own limit
constexpr int kMaxSendBytes = 64 << 20;     // a tree with thousands of components
constexpr size_t kMemoryBytes = size_t{1} << 30;

void SetLimits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.SetMaxSendMessageSize(kMaxSendBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1000);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A client that died without a word is found within 40 s; one that pings more often than every 5 s is cut
  // off.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 3);
  builder.SetResourceQuota(grpc::ResourceQuota("strata").Resize(kMemoryBytes));
}

}  // namespace

struct Server::Parts {
  std::string address;
  std::unique_ptr<Coordinator> coordinator;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<grpc::Service> strata_service;
  std::unique_ptr<grpc::Service> worker_service;
  std::unique_ptr<grpc::Server> server;
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

const std::string& Server::address() const { return parts_->address; }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  if (absl::Status status = CheckListenAddress(options.listen); !status.ok()) return status;
  auto parts = std::make_unique<Parts>();
  auto coordinator = Coordinator::Start(std::move(options.coordinator));
  if (!coordinator.ok()) return coordinator.status();
  parts->coordinator = *std::move(coordinator);
  if (absl::Status status = CheckNobodyListens(options.listen); !status.ok()) return status;
  parts->executor = std::make_unique<Executor>(2);
  parts->strata_service = MakeStrataService(*parts->coordinator, *parts->executor);
  parts->worker_service = MakeWorkerService(*parts->coordinator);

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetLimits(builder);
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(parts->strata_service.get());
  builder.RegisterService(parts->worker_service.get());
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.listen, ": the address is in use or not allowed"));
  }
  parts->address = options.listen;
  if (SocketPath(options.listen).empty())
    parts->address = absl::StrCat(options.listen.substr(0, options.listen.rfind(':')), ":", port);
  for (const char* name : {"strata.v1.Strata", "strata.v1.Worker"}) {
    parts->server->GetHealthCheckService()->SetServingStatus(name, true);
  }
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

void Server::Stop(absl::Duration grace) {
  if (parts_->server == nullptr) return;
  parts_->server->GetHealthCheckService()->Shutdown();
  // Ends the workers' streams, which would hold Shutdown up until its deadline, and refuses further writes.
  parts_->coordinator->Stop();
  parts_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  parts_->server->Wait();
  parts_->server.reset();
  parts_->executor.reset();
}

Server::~Server() { Stop(absl::ZeroDuration()); }

}  // namespace strata::api
