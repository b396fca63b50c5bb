#include "worker/agent/task_folder.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/status.h"

namespace strata::agent {

bool IsPlainRelativePath(std::string_view path) {
  for (char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  for (absl::string_view part : absl::StrSplit(absl::string_view(path.data(), path.size()), '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

absl::StatusOr<TaskFolder> TaskFolder::Create(const std::string& parent) {
  STRATA_RETURN_IF_ERROR(MakeDirs(parent));
  std::string root = JoinPath(parent, "task.XXXXXX");
  if (mkdtemp(root.data()) == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make a folder below ", parent));
  }
  TaskFolder folder(root);
  STRATA_RETURN_IF_ERROR(MakeDirs(folder.in()));
  STRATA_RETURN_IF_ERROR(MakeDirs(folder.out()));
  return folder;
}

TaskFolder::~TaskFolder() {
  if (!root_.empty()) (void)RemoveTree(root_);
}

absl::Status TaskFolder::LayOut(const google::protobuf::RepeatedPtrField<v1::File>& inputs, BlobCache& cache,
                                const BlobCache::Fetch& fetch) {
  std::set<std::string> folders;
  for (const v1::File& file : inputs) {
    if (!IsPlainRelativePath(file.path())) {
      return absl::InvalidArgumentError(absl::StrCat("the lease names the input path '", file.path(), "'"));
    }
    const std::string path = JoinPath(in(), file.path());
    if (folders.insert(DirName(path)).second) STRATA_RETURN_IF_ERROR(MakeDirs(DirName(path)));
    STRATA_RETURN_IF_ERROR(Annotate(
        cache.CopyTo(file.digest(), static_cast<int64_t>(file.size_bytes()), path, fetch), file.path()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::File>> TaskFolder::Outputs() const {
  STRATA_ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListFiles(out()));
  std::vector<v1::File> files;
  for (const std::string& path : paths) {
    v1::File& file = files.emplace_back();
    file.set_path(path);
    STRATA_ASSIGN_OR_RETURN(*file.mutable_digest(), Sha256File(JoinPath(out(), path)));
    struct stat info {};
    if (stat(JoinPath(out(), path).c_str(), &info) != 0) return absl::ErrnoToStatus(errno, path);
    file.set_size_bytes(info.st_size);
  }
  return files;
}

}  // namespace strata::agent
