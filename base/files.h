#pragma once
// Files and folders as values. Errors name the path; NotFound where it does not exist.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace strata {

// The whole content. ResourceExhausted if there is more than `max_bytes`; never reads a device or pipe.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes = int64_t{1} << 30);

// Creates or replaces. A crash may leave a part of it: use WriteFileAtomic where that matters.
absl::Status WriteFile(const std::string& path, std::string_view content);

// Through a temporary file beside it, fsync and rename: after a crash there is the old content or the new,
// and a success means that the new content is on disk.
absl::Status WriteFileAtomic(const std::string& path, std::string_view content);

// Regular files below `dir` at any depth, as sorted paths relative to it. Symbolic links are not followed
// and not listed.
absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& dir);

bool FileExists(const std::string& path);  // of any type
absl::Status MakeDirs(const std::string& path);
// Missing is no error. Links are removed, not followed.
absl::Status RemoveTree(const std::string& path);

// "a/b" of "a" and "b", "a/" and "b"; an absolute `path` or an empty `dir` gives `path`.
std::string JoinPath(std::string_view dir, std::string_view path);
std::string BaseName(std::string_view path);  // "c.py" of "/a/b/c.py"
std::string DirName(std::string_view path);   // "/a/b" of "/a/b/c.py", "." of "c.py"
std::string Stem(std::string_view path);      // "c" of "/a/b/c.py"

// A new, empty folder, removed with everything in it by the destructor.
class TempDir {
 public:
  // Below `parent`, by default $TMPDIR or /tmp.
  static absl::StatusOr<TempDir> Create(const std::string& prefix, std::string parent = "");
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&& other) noexcept;
  ~TempDir();

  const std::string& path() const { return path_; }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace strata
