#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata {
namespace fs = std::filesystem;
namespace {

absl::Status PathError(int error, std::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(error, absl::StrCat(std::string(what), " ", path));
}

absl::Status PathError(const std::error_code& error, std::string_view what, const std::string& path) {
  return PathError(error.value(), what, path);
}

absl::Status WriteAll(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PathError(errno, "cannot write", path);
    content.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WriteNew(const std::string& path, std::string_view content, bool sync) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return PathError(errno, "cannot create", path);
  absl::Status status = WriteAll(fd, content, path);
  if (status.ok() && sync && fsync(fd) != 0) status = PathError(errno, "cannot sync", path);
  if (close(fd) != 0 && status.ok()) status = PathError(errno, "cannot write", path);
  return status;
}

absl::Status SyncDir(const std::string& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return PathError(errno, "cannot open", dir);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : PathError(error, "cannot sync", dir);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes) {
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return PathError(errno, "cannot open", path);
  absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return PathError(errno, "cannot read", path);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
  std::string content;
  content.reserve(static_cast<size_t>(std::min<int64_t>(info.st_size, max_bytes) + 1));
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PathError(errno, "cannot read", path);
    if (n == 0) return content;
    content.append(buffer, static_cast<size_t>(n));
    if (static_cast<int64_t>(content.size()) > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(path, " is larger than ", max_bytes, " bytes"));
    }
  }
}

absl::Status WriteFile(const std::string& path, std::string_view content) {
  return WriteNew(path, content, /*sync=*/false);
}

absl::Status WriteFileAtomic(const std::string& path, std::string_view content) {
  std::string temporary = absl::StrCat(path, ".XXXXXX");
  const int fd = mkstemp(temporary.data());
  if (fd < 0) return PathError(errno, "cannot create a file beside", path);
  close(fd);
  absl::Status status = WriteNew(temporary, content, /*sync=*/true);
  if (status.ok() && chmod(temporary.c_str(), 0644) != 0)
    status = PathError(errno, "cannot chmod", temporary);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = PathError(errno, "cannot replace", path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncDir(DirName(path));
}

absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> files;
  fs::recursive_directory_iterator it(dir, error), end;
  for (; !error && it != end; it.increment(error)) {
    if (fs::is_regular_file(it->symlink_status()))
      files.push_back(it->path().lexically_relative(dir).string());
  }
  if (error) return PathError(error, "cannot list", dir);
  std::sort(files.begin(), files.end());
  return files;
}

bool FileExists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

absl::Status MakeDirs(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? PathError(error, "cannot create folder", path) : absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? PathError(error, "cannot remove", path) : absl::OkStatus();
}

std::string JoinPath(std::string_view dir, std::string_view path) {
  return (fs::path(dir) / fs::path(path)).string();
}

std::string BaseName(std::string_view path) { return fs::path(path).filename().string(); }

std::string DirName(std::string_view path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

std::string Stem(std::string_view path) { return fs::path(path).stem().string(); }

absl::StatusOr<TempDir> TempDir::Create(const std::string& prefix, std::string parent) {
  if (parent.empty()) {
    const char* from_environment = getenv("TMPDIR");
    parent = from_environment != nullptr && *from_environment != '\0' ? from_environment : "/tmp";
  }
  std::string path = JoinPath(parent, absl::StrCat(prefix, "XXXXXX"));
  if (mkdtemp(path.data()) == nullptr) return PathError(errno, "cannot create a folder in", parent);
  return TempDir(std::move(path));
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, "")) {}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

TempDir::~TempDir() {
  if (!path_.empty()) RemoveTree(path_).IgnoreError();
}

}  // namespace strata
