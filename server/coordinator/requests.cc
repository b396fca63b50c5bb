// What clients ask for.
#include <openssl/rand.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "server/coordinator/coordinator.h"
#include "server/coordinator/request_check.h"
#include "server/error.h"
#include "server/store/job_queries.h"
#include "server/store/job_rows.h"
#include "server/store/result_rows.h"

namespace strata {
namespace {

std::string NewJobId() {
  unsigned char raw[8];
  RAND_bytes(raw, sizeof(raw));
  return "d-" + absl::BytesToHexString(std::string(reinterpret_cast<char*>(raw), sizeof(raw)));
}

absl::Status CheckUploaded(store::Database& db, const v1::CreateDecompositionRequest& request) {
  const v1::Source& source = request.source();
  uint64_t total_bytes = 0;
  for (int i = 0; i < source.files_size(); ++i) {
    const v1::File& file = source.files(i);
    const auto size = store::BlobSize(db, file.digest());
    if (!size) {
      return WithDetails(
          absl::FailedPreconditionError(
              absl::StrCat("the content of ", file.path(), " (", file.digest(),
                           ") is not uploaded; send StartUpload and UploadChunks first")),
          {.reason = "NOT_UPLOADED", .metadata = {{"path", file.path()}, {"digest", file.digest()}}});
    }
    if (file.path() == source.entry() && *size == 0) {
      return BadField("EMPTY_FILE", absl::StrCat("source.files[", i, "]"), "the file with Model is empty");
    }
    total_bytes += *size;
  }
  if (request.kind() == v1::JOB_KIND_JUDGE && total_bytes > kMaxFolderBytes) {
    return BadField("FOLDER_TOO_LARGE", "source.files",
                    absl::StrCat("the files have ", total_bytes, " bytes; at most ", kMaxFolderBytes,
                                 " (256 MiB) together are accepted"));
  }
  return absl::OkStatus();
}

}  // namespace

void Coordinator::Create(v1::CreateDecompositionRequest request, Done<v1::Decomposition> done) {
  if (absl::Status status = CheckCreate(request); !status.ok()) return done(status);
  request = Normal(std::move(request));
  Write<v1::Decomposition>(
      [this, request = std::move(request)](Turn& turn) -> absl::StatusOr<v1::Decomposition> {
        store::Database& db = *turn.db;
        const std::string digest = ContentDigest(request);
        if (const auto known = store::FindRequest(db, request.request_id())) {
          if (known->request_digest == digest) return store::GetDecomposition(db, known->job);
          return WithDetails(
              absl::AlreadyExistsError(absl::StrCat("request id ", request.request_id(),
                                                    " was used before for"
                                                    " decomposition ",
                                                    known->job, " with other content; choose a new one")),
              {.reason = "REQUEST_ID_REUSED", .metadata = {{"decomposition_id", known->job}}});
        }
        if (absl::Status status = StoreEmpty(turn, request.source()); !status.ok()) return status;
        if (absl::Status status = CheckUploaded(db, request); !status.ok()) return status;
        const std::string id = NewJobId();
        store::InsertJob(db, id, request, digest, turn.now);
        const bool judge = request.kind() == v1::JOB_KIND_JUDGE;
        Apply(turn, jobs::Submit{id, static_cast<jobs::Device>(request.device()),
                                 judge ? jobs::TaskKind::kJudge : jobs::TaskKind::kPrepare});
        return store::GetDecomposition(db, id);
      },
      std::move(done));
}

void Coordinator::Cancel(v1::CancelDecompositionRequest request, Done<v1::Decomposition> done) {
  if (request.reason().size() > 500) return done(BadField("BAD_REASON", "reason", "at most 500 bytes"));
  Write<v1::Decomposition>(
      [this, request = std::move(request)](Turn& turn) -> absl::StatusOr<v1::Decomposition> {
        const std::string& id = request.decomposition_id();
        if (absl::Status status = store::CheckJobExists(*turn.db, id); !status.ok()) return status;
        Apply(turn, jobs::Cancel{id, request.reason()});
        return store::GetDecomposition(*turn.db, id);
      },
      std::move(done));
}

void Coordinator::Delete(v1::DeleteDecompositionRequest request, Done<v1::DeleteDecompositionResponse> done) {
  Write<v1::DeleteDecompositionResponse>(
      [this, id = request.decomposition_id()](Turn& turn) -> absl::StatusOr<v1::DeleteDecompositionResponse> {
        if (absl::Status status = store::CheckJobExists(*turn.db, id); !status.ok()) return status;
        if (!store::HasEnded(*turn.db, id)) {
          return NotNow("STILL_RUNNING",
                        absl::StrCat("decomposition ", id, " has not ended; cancel it first"));
        }
        const store::Removed removed = store::DeleteJob(*turn.db, id);
        v1::DeleteDecompositionResponse response;
        response.set_files_removed(static_cast<uint32_t>(removed.digests.size()));
        response.set_bytes_removed(static_cast<uint64_t>(removed.bytes));
        RemoveLater(turn, removed.digests);
        turn.after_commit.push_back([this, id] { events_.Notify(id); });
        return response;
      },
      std::move(done));
}

void Coordinator::StartUpload(v1::StartUploadRequest request, Done<v1::Upload> done) {
  if (absl::Status status = CheckUpload(request); !status.ok()) return done(status);
  Write<v1::Upload>(
      [this, request](Turn& turn) -> absl::StatusOr<v1::Upload> {
        store::Database& db = *turn.db;
        v1::Upload upload;
        upload.set_digest(request.digest());
        upload.set_size_bytes(request.size_bytes());
        const auto stored = store::BlobSize(db, request.digest());
        const auto announced = store::UploadSize(db, request.digest());
        const uint64_t known = stored ? *stored : announced.value_or(request.size_bytes());
        if (known != request.size_bytes()) {
          return BadField("SIZE_DIFFERS", "size_bytes",
                          absl::StrCat("the file with this digest was announced with ", known, " bytes"));
        }
        if (stored) db.Run("UPDATE blobs SET stored_us=? WHERE digest=?", {turn.now, request.digest()});
        upload.set_complete(stored.has_value());
        upload.set_committed_bytes(stored ? *stored : blobs_->UploadedBytes(request.digest()));
        if (!stored && !announced) {
          db.Run("INSERT INTO uploads(digest, size, started_us) VALUES (?,?,?)",
                 {request.digest(), static_cast<int64_t>(request.size_bytes()), turn.now});
        }
        return upload;
      },
      std::move(done));
}

absl::Status Coordinator::StoreEmpty(Turn& turn, const v1::Source& source) {
  const std::string digest = Sha256Hex("");
  const bool needed = std::any_of(source.files().begin(), source.files().end(),
                                  [&](const v1::File& file) { return file.digest() == digest; });
  if (!needed || store::BlobSize(*turn.db, digest)) return absl::OkStatus();
  auto file = blobs_->NewTemporary();
  absl::Status status = file.ok() ? (*file)->Flush() : file.status();
  if (status.ok()) status = blobs_->Adopt(**file, digest);
  if (!status.ok()) return NotRecorded(absl::UnavailableError(status.message()));
  turn.db->Run("INSERT INTO blobs(digest, size, stored_us) VALUES (?,0,?)", {digest, turn.now});
  return absl::OkStatus();
}

void Coordinator::StoreBlob(std::shared_ptr<store::PartFile> file, const std::string& digest,
                            Done<Nothing> done) {
  Write<Nothing>(
      [this, file, digest](Turn& turn) -> absl::StatusOr<Nothing> {
        store::Database& db = *turn.db;
        if (!store::BlobSize(db, digest)) {
          // Nothing is in the database yet, so this concerns nobody else in the group.
          if (absl::Status status = blobs_->Adopt(*file, digest); !status.ok()) {
            return NotRecorded(absl::UnavailableError(status.message()));
          }
          db.Run("INSERT INTO blobs(digest, size, stored_us) VALUES (?,?,?)",
                 {digest, static_cast<int64_t>(file->size()), turn.now});
        }
        db.Run("DELETE FROM uploads WHERE digest=?", {digest});
        return Nothing{};
      },
      std::move(done));
}

}  // namespace strata
