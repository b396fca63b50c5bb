#include "server/api/services.h"

#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "server/api/bundle_stream.h"
#include "server/api/grpc_status.h"
#include "server/api/streams.h"
#include "server/coordinator/request_check.h"
#include "server/error.h"
#include "server/store/job_queries.h"
#include "server/store/result_queries.h"
#include "server/store/result_rows.h"
#include "strata/v1/strata.grpc.pb.h"
#include "strata/v1/worker.grpc.pb.h"

namespace strata::api {
namespace {

using grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

constexpr uint64_t kMaxVerdictBytes = 1 << 20;
constexpr uint64_t kMaxFolderVerdictBytes = 16 << 20;
constexpr int kMaxAskedDigests = 10000;

// Answers from the rows, in this thread.
template <typename Reply, typename Read>
Unary* Answer(Coordinator& coordinator, CallbackServerContext* context, Reply* reply, Read read) {
  auto result =
      coordinator.readers().Do([&](store::Database& db) -> absl::StatusOr<Reply> { return read(db); });
  if (result.ok()) *reply = *std::move(result);
  Unary* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(result.status()));
  return reactor;
}

// Answers when the coordinator is done.
template <typename Reply>
Done<Reply> Later(Unary* reactor, Reply* reply) {
  return [reactor, reply](absl::StatusOr<Reply> result) {
    if (result.ok()) *reply = *std::move(result);
    reactor->Finish(ToGrpcStatus(result.status()));
  };
}

template <typename Message>
Producer<Message> Failing(const absl::Status& status) {
  return [status](Message*) -> absl::StatusOr<bool> { return status; };
}

class StrataService : public v1::Strata::CallbackService {
 public:
  StrataService(Coordinator& coordinator, Executor& executor)
      : coordinator_(coordinator), executor_(executor) {}

  Unary* StartUpload(CallbackServerContext* context, const v1::StartUploadRequest* request,
                     v1::Upload* reply) override {
    Unary* reactor = context->DefaultReactor();
    coordinator_.StartUpload(*request, Later(reactor, reply));
    return reactor;
  }

  grpc::ServerReadReactor<v1::UploadChunk>* UploadChunks(CallbackServerContext*, v1::Upload* reply) override {
    return ReceiveUpload(coordinator_, uploads_, reply);
  }

  Unary* CreateDecomposition(CallbackServerContext* context, const v1::CreateDecompositionRequest* request,
                             v1::Decomposition* reply) override {
    Unary* reactor = context->DefaultReactor();
    coordinator_.Create(*request, Later(reactor, reply));
    return reactor;
  }

  Unary* GetDecomposition(CallbackServerContext* context, const v1::GetDecompositionRequest* request,
                          v1::Decomposition* reply) override {
    return Answer(coordinator_, context, reply, [&](store::Database& db) {
      return store::GetDecomposition(db, request->decomposition_id());
    });
  }

  Unary* ListDecompositions(CallbackServerContext* context, const v1::ListDecompositionsRequest* request,
                            v1::ListDecompositionsResponse* reply) override {
    return Answer(coordinator_, context, reply,
                  [&](store::Database& db) { return store::ListDecompositions(db, *request); });
  }

  grpc::ServerWriteReactor<v1::Event>* WatchDecomposition(
      CallbackServerContext*, const v1::WatchDecompositionRequest* request) override {
    return SendEvents(coordinator_, executor_, *request);
  }

  Unary* CancelDecomposition(CallbackServerContext* context, const v1::CancelDecompositionRequest* request,
                             v1::Decomposition* reply) override {
    Unary* reactor = context->DefaultReactor();
    coordinator_.Cancel(*request, Later(reactor, reply));
    return reactor;
  }

  Unary* DeleteDecomposition(CallbackServerContext* context, const v1::DeleteDecompositionRequest* request,
                             v1::DeleteDecompositionResponse* reply) override {
    Unary* reactor = context->DefaultReactor();
    coordinator_.Delete(*request, Later(reactor, reply));
    return reactor;
  }

  Unary* GetTree(CallbackServerContext* context, const v1::GetTreeRequest* request,
                 v1::Tree* reply) override {
    return Answer(coordinator_, context, reply,
                  [&](store::Database& db) { return store::GetTree(db, request->decomposition_id()); });
  }

  Unary* ListSteps(CallbackServerContext* context, const v1::ListStepsRequest* request,
                   v1::ListStepsResponse* reply) override {
    return Answer(coordinator_, context, reply,
                  [&](store::Database& db) { return store::ListSteps(db, request->decomposition_id()); });
  }

  Unary* GetStepResult(CallbackServerContext* context, const v1::GetStepResultRequest* request,
                       v1::StepResult* reply) override {
    return Answer(coordinator_, context, reply, [&](store::Database& db) -> absl::StatusOr<v1::StepResult> {
      std::string digest;
      auto result = store::GetStepResult(db, request->decomposition_id(), request->step(), &digest);
      if (!result.ok() || digest.empty()) return result;
      auto text = coordinator_.blobs().ReadBlob(digest, kMaxVerdictBytes);
      if (text.ok()) result->set_verification_result_json(*std::move(text));
      return result;
    });
  }

  Unary* GetFolderVerdict(CallbackServerContext* context, const v1::GetFolderVerdictRequest* request,
                          v1::FolderVerdict* reply) override {
    return Answer(coordinator_, context, reply,
                  [&](store::Database& db) -> absl::StatusOr<v1::FolderVerdict> {
                    std::string digest;
                    auto verdict = store::GetFolderVerdict(db, request->decomposition_id(), &digest);
                    if (!verdict.ok()) return verdict;
                    auto text = coordinator_.blobs().ReadBlob(digest, kMaxFolderVerdictBytes);
                    if (text.ok()) verdict->set_verdict_json(*std::move(text));
                    return verdict;
                  });
  }

  Unary* ListLogEntries(CallbackServerContext* context, const v1::ListLogEntriesRequest* request,
                        v1::ListLogEntriesResponse* reply) override {
    return Answer(coordinator_, context, reply,
                  [&](store::Database& db) { return store::ListLogEntries(db, *request); });
  }

  Unary* GetJobLogs(CallbackServerContext* context, const v1::GetJobLogsRequest* request,
                    v1::GetJobLogsResponse* reply) override {
    return Answer(coordinator_, context, reply,
                  [&](store::Database& db) { return store::GetJobLogs(db, *request); });
  }

  Unary* GetCoverage(CallbackServerContext* context, const v1::GetCoverageRequest* request,
                     v1::Coverage* reply) override {
    return Answer(coordinator_, context, reply, [&](store::Database& db) {
      return store::GetCoverage(db, request->decomposition_id(), request->step());
    });
  }

  grpc::ServerWriteReactor<v1::BundleChunk>* DownloadBundle(
      CallbackServerContext*, const v1::DownloadBundleRequest* request) override {
    auto files =
        coordinator_.readers().Do([&](store::Database& db) { return store::BundleFiles(db, *request); });
    if (!files.ok()) return SendBundle(Failing<v1::BundleChunk>(files.status()));
    const bool tar = request->format() == v1::BUNDLE_FORMAT_TAR_ZST;
    std::shared_ptr<BundleStream> stream = tar ? StreamTarZst(coordinator_.blobs(), *std::move(files))
                                               : StreamFiles(coordinator_.blobs(), *std::move(files));
    return SendBundle([stream](v1::BundleChunk* chunk) { return stream->Next(chunk); });
  }

  Unary* ListWorkers(CallbackServerContext* context, const v1::ListWorkersRequest*,
                     v1::ListWorkersResponse* reply) override {
    return Answer(coordinator_, context, reply,
                  [&](store::Database& db) -> absl::StatusOr<v1::ListWorkersResponse> {
                    v1::ListWorkersResponse response;
                    for (v1::WorkerInfo& worker : store::ListWorkers(db))
                      *response.add_workers() = std::move(worker);
                    return response;
                  });
  }

 private:
  Coordinator& coordinator_;
  Executor& executor_;
  OpenUploads uploads_;
};

class WorkerService : public v1::Worker::CallbackService {
 public:
  explicit WorkerService(Coordinator& coordinator) : coordinator_(coordinator) {}

  grpc::ServerBidiReactor<v1::WorkerMessage, v1::ServerMessage>* Session(CallbackServerContext*) override {
    return OpenSession(coordinator_);
  }

  Unary* FindMissingBlobs(CallbackServerContext* context, const v1::FindMissingBlobsRequest* request,
                          v1::FindMissingBlobsResponse* reply) override {
    return Answer(coordinator_, context, reply,
                  [&](store::Database& db) -> absl::StatusOr<v1::FindMissingBlobsResponse> {
                    if (request->digests_size() > kMaxAskedDigests) {
                      return BadField("TOO_MANY_DIGESTS", "digests",
                                      absl::StrCat("at most ", kMaxAskedDigests, " in one request"));
                    }
                    for (const std::string& digest : request->digests()) {
                      if (absl::Status status = CheckDigest("digests", digest); !status.ok()) return status;
                    }
                    v1::FindMissingBlobsResponse response;
                    for (const auto& digest :
                         store::MissingBlobs(db, {request->digests().begin(), request->digests().end()})) {
                      response.add_digests(digest);
                    }
                    return response;
                  });
  }

  grpc::ServerReadReactor<v1::PutBlobChunk>* PutBlob(CallbackServerContext*, v1::PutBlobResponse*) override {
    return ReceiveBlob(coordinator_);
  }

  grpc::ServerWriteReactor<v1::GetBlobChunk>* GetBlob(CallbackServerContext*,
                                                      const v1::GetBlobRequest* request) override {
    absl::Status status = CheckDigest("digest", request->digest());
    auto file = status.ok() ? coordinator_.blobs().OpenBlob(request->digest()) : status;
    if (!file.ok()) return SendBlob(Failing<v1::GetBlobChunk>(file.status()));
    std::shared_ptr<store::BlobFile> open = *std::move(file);
    return SendBlob([open](v1::GetBlobChunk* chunk) -> absl::StatusOr<bool> {
      auto piece = open->Read(512 << 10);
      if (!piece.ok()) return piece.status();
      chunk->set_data(*std::move(piece));
      return !chunk->data().empty();
    });
  }

 private:
  Coordinator& coordinator_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeStrataService(Coordinator& coordinator, Executor& executor) {
  return std::make_unique<StrataService>(coordinator, executor);
}

std::unique_ptr<grpc::Service> MakeWorkerService(Coordinator& coordinator) {
  return std::make_unique<WorkerService>(coordinator);
}

}  // namespace strata::api
