#include "server/store/blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace strata::store {
namespace {

namespace fs = std::filesystem;

absl::Status Errno(const std::string& what) {
  const int code = errno;
  return absl::ErrnoToStatus(code == ENOSPC || code == EDQUOT ? EAGAIN : code, what);
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Errno("open " + path);
  const int code = fsync(fd);
  const absl::Status status = code == 0 ? absl::OkStatus() : Errno("fsync " + path);
  close(fd);
  return status;
}

}  // namespace

PartFile::~PartFile() {
  close(fd_);
  if (!keep_) unlink(path_.c_str());
}

absl::Status PartFile::Append(const std::string& data) {
  for (size_t done = 0; done < data.size();) {
    const ssize_t n = write(fd_, data.data() + done, data.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno("write " + path_);
    done += static_cast<size_t>(n);
  }
  size_ += data.size();
  hash_.Update(data);
  return absl::OkStatus();
}

absl::Status PartFile::Flush() { return fsync(fd_) == 0 ? absl::OkStatus() : Errno("fsync " + path_); }

BlobFile::~BlobFile() { close(fd_); }

absl::StatusOr<std::string> BlobFile::Read(size_t max) {
  std::string data(max, '\0');
  ssize_t n;
  do {
    n = read(fd_, data.data(), max);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Errno("read a stored file");
  data.resize(static_cast<size_t>(n));
  return data;
}

absl::StatusOr<std::unique_ptr<BlobStore>> BlobStore::Open(const std::string& root) {
  std::error_code error;
  fs::remove_all(root + "/tmp", error);
  for (const char* folder : {"/blobs", "/uploads", "/tmp"}) {
    fs::create_directories(root + folder, error);
    if (error)
      return absl::UnavailableError(absl::StrCat("cannot make ", root, folder, ": ", error.message()));
  }
  if (absl::Status status = SyncFolder(root); !status.ok()) return status;
  return std::unique_ptr<BlobStore>(new BlobStore(root));
}

absl::StatusOr<std::unique_ptr<PartFile>> BlobStore::NewTemporary() {
  const std::string path = absl::StrCat(root_, "/tmp/", next_temporary_.fetch_add(1));
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return Errno("make " + path);
  return std::unique_ptr<PartFile>(new PartFile(path, fd));
}

absl::StatusOr<std::unique_ptr<PartFile>> BlobStore::OpenUpload(const std::string& digest) {
  const std::string path = root_ + "/uploads/" + digest;
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Errno("open " + path);
  std::unique_ptr<PartFile> file(new PartFile(path, fd));
  file->Keep(true);
  std::string buffer(1 << 20, '\0');
  for (ssize_t n; (n = read(fd, buffer.data(), buffer.size())) > 0;) {
    file->hash_.Update({buffer.data(), static_cast<size_t>(n)});
    file->size_ += static_cast<uint64_t>(n);
  }
  return file;
}

uint64_t BlobStore::UploadedBytes(const std::string& digest) const {
  struct stat info;
  return stat((root_ + "/uploads/" + digest).c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

void BlobStore::DropUpload(const std::string& digest) { unlink((root_ + "/uploads/" + digest).c_str()); }

absl::StatusOr<std::unique_ptr<BlobFile>> BlobStore::OpenBlob(const std::string& digest) const {
  if (!IsSha256Hex(digest)) return absl::InvalidArgumentError("no digest: " + digest.substr(0, 80));
  const int fd = open(PathOf(digest).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT)
    return absl::NotFoundError(absl::StrCat("no stored file has digest ", digest));
  if (fd < 0) return Errno("open stored file " + digest);
  return std::make_unique<BlobFile>(fd);
}

absl::StatusOr<std::string> BlobStore::ReadBlob(const std::string& digest, uint64_t limit) const {
  auto file = OpenBlob(digest);
  if (!file.ok()) return file.status();
  std::string all;
  for (;;) {
    auto piece = (*file)->Read(1 << 20);
    if (!piece.ok()) return piece.status();
    if (piece->empty()) return all;
    all += *piece;
    if (all.size() > limit) return absl::ResourceExhaustedError(absl::StrCat("over ", limit, " bytes"));
  }
}

absl::Status BlobStore::Adopt(const PartFile& file, const std::string& digest) {
  const std::string folder = FolderOf(digest);
  if (mkdir(folder.c_str(), 0700) == 0) {
    unsynced_.insert(root_ + "/blobs");
  } else if (errno != EEXIST) {
    return Errno("make " + folder);
  }
  if (rename(file.path().c_str(), PathOf(digest).c_str()) != 0) return Errno("rename to " + PathOf(digest));
  unsynced_.insert(folder);
  return absl::OkStatus();
}

absl::Status BlobStore::Sync() {
  for (const std::string& folder : unsynced_) {
    if (absl::Status status = SyncFolder(folder); !status.ok()) return status;
  }
  unsynced_.clear();
  return absl::OkStatus();
}

void BlobStore::Remove(const std::string& digest) { unlink(PathOf(digest).c_str()); }

}  // namespace strata::store
