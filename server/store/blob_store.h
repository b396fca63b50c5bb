#pragma once
// Contents on disk, named by their digest:  ROOT/blobs/ab/abcdef…   ROOT/uploads/DIGEST (partial)   ROOT/tmp/
//
// A blob exists when its row in table `blobs` does. The order that makes this true after a power cut: bytes
// written and fsynced in tmp/ or uploads/ → renamed into blobs/ (Adopt) → folder fsynced (Sync) → row
// committed. Adopt, Sync and Remove belong to the writer thread, which so orders them against rows; all else
// may be called from any thread.

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sha256.h"

namespace strata::store {

// A file being written. Removed when destroyed, unless it was kept or adopted.
class PartFile {
 public:
  ~PartFile();
  PartFile(const PartFile&) = delete;

  absl::Status Append(const std::string& data);
  // On disk, fsynced; hashes what was written. After it only Adopt may follow.
  absl::Status Flush();
  // Whether the file stays when this object goes.
  void Keep(bool keep) { keep_ = keep; }
  uint64_t size() const { return size_; }
  // Digest of all bytes. Once, after the last Append.
  std::string Digest() { return hash_.HexDigest(); }
  const std::string& path() const { return path_; }

 private:
  friend class BlobStore;
  PartFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
  bool keep_ = false;
  uint64_t size_ = 0;
  Sha256 hash_;
};

// An open blob. Sequential; one thread at a time.
class BlobFile {
 public:
  explicit BlobFile(int fd) : fd_(fd) {}
  ~BlobFile();
  BlobFile(const BlobFile&) = delete;
  // Up to `max` further bytes; empty at the end.
  absl::StatusOr<std::string> Read(size_t max);

 private:
  int fd_;
};

class BlobStore {
 public:
  // Makes the folders; empties tmp/.
  static absl::StatusOr<std::unique_ptr<BlobStore>> Open(const std::string& root);

  absl::StatusOr<std::unique_ptr<PartFile>> NewTemporary();
  // The partial upload of `digest`, to be continued; kept until it is adopted or dropped.
  absl::StatusOr<std::unique_ptr<PartFile>> OpenUpload(const std::string& digest);
  // Bytes of a partial upload; 0 where there is none.
  uint64_t UploadedBytes(const std::string& digest) const;
  void DropUpload(const std::string& digest);

  // NotFound if there is none.
  absl::StatusOr<std::unique_ptr<BlobFile>> OpenBlob(const std::string& digest) const;
  // The whole content. ResourceExhausted if it is over `limit` bytes.
  absl::StatusOr<std::string> ReadBlob(const std::string& digest, uint64_t limit) const;

  // Takes the file over as the content of `digest`. REQUIRES: flushed, and it has this digest.
  absl::Status Adopt(const PartFile& file, const std::string& digest);
  // Makes all adoptions since the last call survive a power cut.
  absl::Status Sync();
  void Remove(const std::string& digest);

 private:
  explicit BlobStore(std::string root) : root_(std::move(root)) {}
  std::string FolderOf(const std::string& digest) const { return root_ + "/blobs/" + digest.substr(0, 2); }
  std::string PathOf(const std::string& digest) const { return FolderOf(digest) + "/" + digest; }

  const std::string root_;
  std::atomic<uint64_t> next_temporary_{0};
  std::set<std::string> unsynced_;  // folders
};

}  // namespace strata::store
