#include "worker/agent/blob_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/status.h"

namespace strata::agent {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kReadOnly = 0444;

// Writes a new read-only file and computes its digest on the way.
class HashingFile {
 public:
  static absl::StatusOr<HashingFile> Create(const std::string& path) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kReadOnly);
    if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", path));
    return HashingFile(fd, path);
  }
  HashingFile(HashingFile&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), sha_(std::move(other.sha_)) {}
  ~HashingFile() {
    if (fd_ >= 0) close(fd_);
  }

  absl::Status Write(std::string_view data) {
    sha_.Update(data);
    size_bytes_ += static_cast<int64_t>(data.size());
    while (!data.empty()) {
      const ssize_t put = write(fd_, data.data(), data.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path_));
      data.remove_prefix(put);
    }
    return absl::OkStatus();
  }
  std::string HexDigest() { return sha_.HexDigest(); }
  int64_t size_bytes() const { return size_bytes_; }

 private:
  HashingFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
  Sha256 sha_;
  int64_t size_bytes_ = 0;
};

// Copies `from` to the new file `to`; returns the digest of what was copied.
absl::StatusOr<std::string> HashingCopy(const std::string& from, const std::string& to) {
  const int in = open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (in < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", from));
  absl::Cleanup close_in = [in] { close(in); };
  STRATA_ASSIGN_OR_RETURN(HashingFile out, HashingFile::Create(to));
  std::vector<char> buffer(256 << 10);
  for (;;) {
    const ssize_t got = read(in, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", from));
    if (got == 0) return out.HexDigest();
    STRATA_RETURN_IF_ERROR(out.Write(std::string_view(buffer.data(), got)));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobCache>> BlobCache::Open(const std::string& dir, int64_t max_bytes) {
  std::unique_ptr<BlobCache> cache(new BlobCache(dir, max_bytes));
  STRATA_RETURN_IF_ERROR(RemoveTree(JoinPath(dir, "tmp")));
  STRATA_RETURN_IF_ERROR(MakeDirs(JoinPath(dir, "tmp")));
  STRATA_RETURN_IF_ERROR(MakeDirs(JoinPath(dir, "sha256")));
  struct Found {
    fs::file_time_type time;
    std::string digest;
    int64_t size_bytes;
  };
  std::vector<Found> found;
  std::error_code error;
  for (const auto& item : fs::recursive_directory_iterator(JoinPath(dir, "sha256"), error)) {
    const std::string digest = item.path().filename().string();
    if (!item.is_regular_file(error) || !IsSha256Hex(digest)) continue;
    found.push_back({item.last_write_time(error), digest, static_cast<int64_t>(item.file_size(error))});
  }
  if (error) return absl::InternalError(absl::StrCat("cannot read the cache ", dir, ": ", error.message()));
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.time < b.time; });
  for (const Found& blob : found) cache->Insert(blob.digest, blob.size_bytes);
  return cache;
}

std::string BlobCache::PathOf(const std::string& digest) const {
  return absl::StrCat(dir_, "/sha256/", digest.substr(0, 2), "/", digest);
}

std::string BlobCache::TemporaryPath() {
  absl::MutexLock lock(&mutex_);
  return absl::StrCat(dir_, "/tmp/", next_temporary_++);
}

bool BlobCache::CopyCached(const std::string& digest, const std::string& path) {
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(digest);
    if (it == entries_.end()) return false;
    by_age_.splice(by_age_.begin(), by_age_, it->second.age);
  }
  const auto copied = HashingCopy(PathOf(digest), path);
  if (copied.ok() && *copied == digest) return true;
  unlink(path.c_str());
  Remove(digest);  // damaged, or thrown away meanwhile
  return false;
}

absl::Status BlobCache::CopyTo(const std::string& digest, int64_t size_bytes, const std::string& path,
                               const Fetch& fetch) {
  if (!IsSha256Hex(digest)) return absl::InvalidArgumentError(absl::StrCat("'", digest, "' is no SHA-256"));
  if (CopyCached(digest, path)) return absl::OkStatus();
  {
    STRATA_ASSIGN_OR_RETURN(HashingFile file, HashingFile::Create(path));
    absl::Status status = fetch(digest, [&file, size_bytes, &digest](std::string_view piece) -> absl::Status {
      if (file.size_bytes() + static_cast<int64_t>(piece.size()) > size_bytes) {
        return absl::DataLossError(
            absl::StrCat("the server sends more than ", size_bytes, " bytes for ", digest));
      }
      return file.Write(piece);
    });
    if (status.ok() && (file.size_bytes() != size_bytes || file.HexDigest() != digest)) {
      status = absl::DataLossError(absl::StrCat("the server sends other bytes than ", digest));
    }
    if (!status.ok()) {
      unlink(path.c_str());
      return status;
    }
  }
  Keep(digest, path);
  return absl::OkStatus();
}

void BlobCache::Keep(const std::string& digest, const std::string& path) {
  {
    absl::MutexLock lock(&mutex_);
    if (entries_.contains(digest)) return;
  }
  const std::string temporary = TemporaryPath();
  const auto copied = HashingCopy(path, temporary);
  struct stat info {};
  if (!copied.ok() || *copied != digest || stat(temporary.c_str(), &info) != 0 || info.st_size > max_bytes_ ||
      !MakeDirs(DirName(PathOf(digest))).ok() || rename(temporary.c_str(), PathOf(digest).c_str()) != 0) {
    unlink(temporary.c_str());
    return;
  }
  Insert(digest, info.st_size);
}

void BlobCache::Insert(const std::string& digest, int64_t size_bytes) {
  absl::MutexLock lock(&mutex_);
  if (entries_.contains(digest)) return;
  by_age_.push_front(digest);
  entries_[digest] = {size_bytes, by_age_.begin()};
  size_bytes_ += size_bytes;
  while (size_bytes_ > max_bytes_) RemoveLocked(by_age_.back());
}

void BlobCache::Remove(const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  RemoveLocked(digest);
}

// A copy of the key: the caller may hand over a reference into what is erased here.
void BlobCache::RemoveLocked(const std::string& digest) {
  const std::string key = digest;
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  unlink(PathOf(key).c_str());
  size_bytes_ -= it->second.size_bytes;
  by_age_.erase(it->second.age);
  entries_.erase(it);
}

int64_t BlobCache::size_bytes() const {
  absl::MutexLock lock(&mutex_);
  return size_bytes_;
}

}  // namespace strata::agent
