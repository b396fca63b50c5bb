#include "worker/agent/blob_client.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"

namespace strata::agent {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kDigestsPerQuestion = 5000;
// One attempt; a stream that stands still that long is taken for dead.
constexpr auto kAttempt = std::chrono::seconds(60);
constexpr auto kBetween = std::chrono::milliseconds(200);

bool MayPass(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
         status.error_code() == grpc::StatusCode::ABORTED;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::Status BlobClient::Repeat(const Patience& patience,
                                const std::function<grpc::Status(grpc::ClientContext*)>& attempt) {
  for (;;) {
    if (!patience.go_on()) return absl::CancelledError("the task was given up");
    const auto left = patience.deadline - Clock::now();
    if (left <= Clock::duration::zero()) return absl::DeadlineExceededError("the server cannot be reached");
    grpc::ClientContext context;
    context.set_deadline(
        std::chrono::system_clock::now() +
        std::chrono::duration_cast<std::chrono::microseconds>(std::min<Clock::duration>(left, kAttempt)));
    const grpc::Status status = attempt(&context);
    if (!MayPass(status)) return FromGrpc(status);
    // Not a sleep: a channel makes progress only while somebody waits on it.
    channel_->WaitForConnected(std::chrono::system_clock::now() + kBetween);
    absl::SleepFor(absl::Milliseconds(20));
  }
}

absl::Status BlobClient::Get(const std::string& digest, const BlobCache::Sink& sink,
                             const Patience& patience) {
  v1::GetBlobRequest request;
  request.set_digest(digest);
  size_t delivered = 0;
  absl::Status refused;
  absl::Status status = Repeat(patience, [&](grpc::ClientContext* context) {
    auto reader = stub_->GetBlob(context, request);
    size_t at = 0;
    for (v1::GetBlobChunk chunk; reader->Read(&chunk);) {
      const size_t known = std::min(chunk.data().size(), delivered - std::min(delivered, at));
      at += chunk.data().size();
      if (known == chunk.data().size()) continue;
      refused = sink(std::string_view(chunk.data()).substr(known));
      if (!refused.ok()) {
        context->TryCancel();
        (void)reader->Finish();
        return grpc::Status::OK;
      }
      delivered = at;
    }
    return reader->Finish();
  });
  return refused.ok() ? status : refused;
}

absl::StatusOr<std::vector<std::string>> BlobClient::FindMissing(const std::vector<std::string>& digests,
                                                                 const Patience& patience) {
  std::vector<std::string> missing;
  for (size_t at = 0; at < digests.size(); at += kDigestsPerQuestion) {
    v1::FindMissingBlobsRequest request;
    const size_t end = std::min(digests.size(), at + kDigestsPerQuestion);
    for (size_t i = at; i < end; ++i) request.add_digests(digests[i]);
    v1::FindMissingBlobsResponse response;
    STRATA_RETURN_IF_ERROR(Repeat(patience, [&](grpc::ClientContext* context) {
      return stub_->FindMissingBlobs(context, request, &response);
    }));
    missing.insert(missing.end(), response.digests().begin(), response.digests().end());
  }
  return missing;
}

absl::Status BlobClient::Put(const std::string& digest, int64_t size_bytes, const std::string& path,
                             const Patience& patience) {
  return Repeat(patience, [&](grpc::ClientContext* context) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return grpc::Status(grpc::StatusCode::NOT_FOUND, absl::StrCat("cannot open ", path));
    v1::PutBlobResponse response;
    auto writer = stub_->PutBlob(context, &response);
    v1::PutBlobChunk chunk;
    chunk.set_digest(digest);
    chunk.set_size_bytes(size_bytes);
    std::string buffer(kPieceBytes, '\0');
    // At least one message, also for an empty file.
    do {
      file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      chunk.set_data(buffer.data(), file.gcount());
      if (!writer->Write(chunk)) break;
      chunk.Clear();
    } while (file);
    writer->WritesDone();
    return writer->Finish();
  });
}

}  // namespace strata::agent
