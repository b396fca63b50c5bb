// Streams that bring contents: uploads of clients, outputs of workers.
#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "server/api/grpc_status.h"
#include "server/api/streams.h"
#include "server/coordinator/request_check.h"
#include "server/error.h"
#include "server/store/job_queries.h"

namespace strata::api {
namespace {

constexpr size_t kMaxPiece = 2 << 20;

absl::Status CheckPiece(const std::string& data) {
  if (data.size() <= kMaxPiece) return absl::OkStatus();
  return BadField("CHUNK_TOO_LARGE", "data",
                  absl::StrCat("has ", data.size(), " bytes; at most ", kMaxPiece, " go into one message"));
}

absl::Status Mismatch(const std::string& digest, const std::string& got) {
  return WithDetails(
      absl::InvalidArgumentError(absl::StrCat("the bytes sent for ", digest, " have SHA-256 ", got,
                                              "; they were thrown away, send the file again")),
      {.reason = "DIGEST_MISMATCH", .fields = {{"digest", "is not that of the bytes"}}});
}

class UploadReactor : public grpc::ServerReadReactor<v1::UploadChunk> {
 public:
  UploadReactor(Coordinator& coordinator, OpenUploads& uploads, v1::Upload* reply)
      : coordinator_(coordinator), uploads_(uploads), reply_(reply) {
    StartRead(&chunk_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return FinishPartial();
    absl::Status status = file_ == nullptr ? Open() : absl::OkStatus();
    if (status.ok()) status = Append();
    if (!status.ok()) return End(status);
    if (file_->size() < size_) return StartRead(&chunk_);
    Complete();
  }

  void OnDone() override { delete this; }

 private:
  absl::Status Open() {
    digest_ = chunk_.digest();
    if (absl::Status status = CheckDigest("digest", digest_); !status.ok()) return status;
    std::optional<uint64_t> announced, stored;
    const auto read = coordinator_.readers().Do([&](store::Database& db) {
      announced = store::UploadSize(db, digest_);
      stored = store::BlobSize(db, digest_);
      return absl::OkStatus();
    });
    if (!read.ok()) return read;
    if (stored) return NotNow("ALREADY_COMPLETE", "the file is complete; there is nothing to send");
    if (!announced) return NotNow("NOT_ANNOUNCED", "call StartUpload for this file first");
    if (!uploads_.Take(digest_)) {
      return TryAgain("UPLOAD_BUSY", "another stream sends this file at this moment", absl::Seconds(1));
    }
    taken_ = true;
    size_ = *announced;
    auto file = coordinator_.blobs().OpenUpload(digest_);
    if (!file.ok()) return file.status();
    file_ = std::move(*file);
    return absl::OkStatus();
  }

  absl::Status Append() {
    if (!chunk_.digest().empty() && chunk_.digest() != digest_) {
      return BadField("ONE_FILE_PER_STREAM", "digest",
                      "differs from that of the first message; open a stream per file");
    }
    if (absl::Status status = CheckPiece(chunk_.data()); !status.ok()) return status;
    if (chunk_.offset() != file_->size()) {
      return WithDetails(
          absl::OutOfRangeError(absl::StrCat("data for offset ", chunk_.offset(), ", but ", file_->size(),
                                             " bytes are committed; continue there")),
          {.reason = "WRONG_OFFSET", .metadata = {{"committed_bytes", absl::StrCat(file_->size())}}});
    }
    if (chunk_.data().size() > size_ - file_->size()) {
      return BadField("LONGER_THAN_ANNOUNCED", "data",
                      absl::StrCat("goes past the announced ", size_, " bytes"));
    }
    return file_->Append(chunk_.data());
  }

  void Complete() {
    absl::Status status = file_->Flush();
    const std::string digest = file_->Digest();
    if (status.ok() && digest != digest_) status = Mismatch(digest_, digest);
    if (!status.ok() || digest != digest_) {
      file_->Keep(false);
      return End(status);
    }
    coordinator_.StoreBlob(file_, digest_, [this](absl::StatusOr<Nothing> stored) {
      FillReply(stored.ok());
      End(stored.status());
    });
  }

  void FinishPartial() {
    if (file_ == nullptr) {
      return End(
          BadField("NO_CHUNK", "digest",
                   "the stream ended without a message; where all bytes are committed, one without data "
                   "completes the file"));
    }
    const absl::Status status = file_->Flush();
    FillReply(false);
    End(status);
  }

  void FillReply(bool complete) {
    reply_->set_digest(digest_);
    reply_->set_size_bytes(size_);
    reply_->set_committed_bytes(file_->size());
    reply_->set_complete(complete);
  }

  void End(const absl::Status& status) {
    // Before the client hears of it and opens the next stream.
    file_.reset();
    if (taken_) uploads_.Give(digest_);
    taken_ = false;
    Finish(ToGrpcStatus(status));
  }

  Coordinator& coordinator_;
  OpenUploads& uploads_;
  v1::Upload* reply_;
  v1::UploadChunk chunk_;
  std::string digest_;
  bool taken_ = false;
  uint64_t size_ = 0;
  std::shared_ptr<store::PartFile> file_;
};

class BlobReactor : public grpc::ServerReadReactor<v1::PutBlobChunk> {
 public:
  explicit BlobReactor(Coordinator& coordinator) : coordinator_(coordinator) { StartRead(&chunk_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Complete();
    absl::Status status = file_ == nullptr ? Open() : absl::OkStatus();
    if (status.ok()) status = CheckPiece(chunk_.data());
    if (status.ok() && file_->size() + chunk_.data().size() > size_) {
      status = BadField("LONGER_THAN_ANNOUNCED", "data",
                        absl::StrCat("goes past the announced ", size_, " bytes"));
    }
    if (status.ok()) status = file_->Append(chunk_.data());
    if (!status.ok()) return Finish(ToGrpcStatus(status));
    StartRead(&chunk_);
  }

  void OnDone() override { delete this; }

 private:
  absl::Status Open() {
    digest_ = chunk_.digest();
    size_ = chunk_.size_bytes();
    if (absl::Status status = CheckDigest("digest", digest_); !status.ok()) return status;
    if (size_ > kMaxBlobBytes) {
      return OverLimit("FILE_TOO_LARGE", absl::StrCat("a task's file has ", size_, " bytes; at most ",
                                                      kMaxBlobBytes, " are stored"));
    }
    auto file = coordinator_.blobs().NewTemporary();
    if (!file.ok()) return file.status();
    file_ = std::move(*file);
    return absl::OkStatus();
  }

  void Complete() {
    if (file_ == nullptr)
      return Finish(ToGrpcStatus(BadField("NO_CHUNK", "digest", "the stream ended without a message")));
    if (file_->size() != size_) {
      return Finish(ToGrpcStatus(absl::AbortedError(
          absl::StrCat("the stream ended after ", file_->size(), " of ", size_, " bytes"))));
    }
    absl::Status status = file_->Flush();
    const std::string digest = file_->Digest();
    if (status.ok() && digest != digest_) status = Mismatch(digest_, digest);
    if (!status.ok()) return Finish(ToGrpcStatus(status));
    coordinator_.StoreBlob(file_, digest_,
                           [this](absl::StatusOr<Nothing> stored) { Finish(ToGrpcStatus(stored.status())); });
  }

  Coordinator& coordinator_;
  v1::PutBlobChunk chunk_;
  std::string digest_;
  uint64_t size_ = 0;
  std::shared_ptr<store::PartFile> file_;
};

}  // namespace

grpc::ServerReadReactor<v1::UploadChunk>* ReceiveUpload(Coordinator& coordinator, OpenUploads& uploads,
                                                        v1::Upload* reply) {
  return new UploadReactor(coordinator, uploads, reply);
}

grpc::ServerReadReactor<v1::PutBlobChunk>* ReceiveBlob(Coordinator& coordinator) {
  return new BlobReactor(coordinator);
}

}  // namespace strata::api
