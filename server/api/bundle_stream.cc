#include "server/api/bundle_stream.h"

#include <archive.h>
#include <archive_entry.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata::api {
namespace {

constexpr size_t kPiece = 512 << 10;

v1::BundleStart StartOf(const std::vector<v1::File>& files) {
  v1::BundleStart start;
  start.set_file_count(static_cast<uint32_t>(files.size()));
  uint64_t total = 0;
  for (const v1::File& file : files) total += file.size_bytes();
  start.set_total_bytes(total);
  return start;
}

// The files' contents one after the other.
class FileWalk {
 public:
  FileWalk(const store::BlobStore& blobs, std::vector<v1::File> files)
      : blobs_(blobs), files_(std::move(files)) {}
  const std::vector<v1::File>& files() const { return files_; }

  // The next file, opened; nullptr after the last.
  absl::StatusOr<const v1::File*> NextFile() {
    if (next_ == files_.size()) return nullptr;
    STRATA_ASSIGN_OR_RETURN(open_, blobs_.OpenBlob(files_[next_].digest()));
    return &files_[next_++];
  }
  // The next piece of the open file; empty at its end.
  absl::StatusOr<std::string> NextPiece() { return open_->Read(kPiece); }

 private:
  const store::BlobStore& blobs_;
  const std::vector<v1::File> files_;
  size_t next_ = 0;
  std::unique_ptr<store::BlobFile> open_;
};

class Files : public BundleStream {
 public:
  Files(const store::BlobStore& blobs, std::vector<v1::File> files) : walk_(blobs, std::move(files)) {}

  absl::StatusOr<bool> Next(v1::BundleChunk* chunk) override {
    chunk->Clear();
    if (!started_) {
      started_ = true;
      *chunk->mutable_start() = StartOf(walk_.files());
      return true;
    }
    if (in_file_) {
      STRATA_ASSIGN_OR_RETURN(std::string piece, walk_.NextPiece());
      in_file_ = !piece.empty();
      if (in_file_) {
        chunk->set_data(std::move(piece));
        return true;
      }
    }
    STRATA_ASSIGN_OR_RETURN(const v1::File* file, walk_.NextFile());
    if (file == nullptr) return false;
    *chunk->mutable_file() = *file;
    in_file_ = true;
    return true;
  }

 private:
  FileWalk walk_;
  bool started_ = false;
  bool in_file_ = false;
};

class TarZst : public BundleStream {
 public:
  TarZst(const store::BlobStore& blobs, std::vector<v1::File> files)
      : walk_(blobs, std::move(files)), archive_(archive_write_new()) {
    archive_write_set_format_gnutar(archive_);  // takes names as bytes; pax converts them by the locale
    archive_write_add_filter_zstd(archive_);
    archive_write_set_bytes_per_block(archive_, 0);
    archive_write_open(archive_, this, nullptr, &TarZst::Take, nullptr);
  }
  ~TarZst() override { archive_write_free(archive_); }

  absl::StatusOr<bool> Next(v1::BundleChunk* chunk) override {
    chunk->Clear();
    if (!started_) {
      started_ = true;
      *chunk->mutable_start() = StartOf(walk_.files());
      return true;
    }
    while (!closed_ && ready_.size() < (64 << 10)) STRATA_RETURN_IF_ERROR(Feed());
    if (ready_.empty()) return false;
    chunk->set_data(ready_.substr(0, kPiece));
    ready_.erase(0, kPiece);
    return true;
  }

 private:
  static la_ssize_t Take(archive*, void* self, const void* data, size_t size) {
    static_cast<TarZst*>(self)->ready_.append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  }

  absl::Status Check(int code) {
    if (code == ARCHIVE_OK) return absl::OkStatus();
    const char* text = archive_error_string(archive_);
    return absl::InternalError(absl::StrCat("writing the tar.zst: ", text == nullptr ? "?" : text));
  }

  absl::Status Feed() {
    if (in_file_) {
      STRATA_ASSIGN_OR_RETURN(const std::string piece, walk_.NextPiece());
      in_file_ = !piece.empty();
      if (!in_file_) return absl::OkStatus();
      const bool whole =
          archive_write_data(archive_, piece.data(), piece.size()) == static_cast<la_ssize_t>(piece.size());
      return Check(whole ? ARCHIVE_OK : ARCHIVE_FATAL);
    }
    STRATA_ASSIGN_OR_RETURN(const v1::File* file, walk_.NextFile());
    if (file == nullptr) {
      closed_ = true;
      return Check(archive_write_close(archive_));
    }
    in_file_ = true;
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, file->path().c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(file->size_bytes()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 0, 0);
    const int code = archive_write_header(archive_, entry);
    archive_entry_free(entry);
    return Check(code);
  }

  FileWalk walk_;
  archive* archive_;
  std::string ready_;
  bool started_ = false;
  bool in_file_ = false;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<BundleStream> StreamFiles(const store::BlobStore& blobs, std::vector<v1::File> files) {
  return std::make_unique<Files>(blobs, std::move(files));
}

std::unique_ptr<BundleStream> StreamTarZst(const store::BlobStore& blobs, std::vector<v1::File> files) {
  return std::make_unique<TarZst>(blobs, std::move(files));
}

}  // namespace strata::api
