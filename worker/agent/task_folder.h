#pragma once
// The two folders of one task: `in`, laid out read-only from the lease's manifest, and `out`, empty.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "strata/v1/worker.pb.h"
#include "worker/agent/blob_cache.h"

namespace strata::agent {

class TaskFolder {
 public:
  // A new folder below `parent`, removed with everything in it by the destructor.
  static absl::StatusOr<TaskFolder> Create(const std::string& parent);
  TaskFolder(TaskFolder&& other) noexcept : root_(std::exchange(other.root_, "")) {}
  TaskFolder& operator=(TaskFolder&&) = delete;
  ~TaskFolder();

  std::string in() const { return root_ + "/in"; }
  std::string out() const { return root_ + "/out"; }

  // InvalidArgument for a path that is not a plain relative one.
  absl::Status LayOut(const google::protobuf::RepeatedPtrField<v1::File>& inputs, BlobCache& cache,
                      const BlobCache::Fetch& fetch);

  // What the task wrote: every regular file below out(), with digest and size, in path order.
  absl::StatusOr<std::vector<v1::File>> Outputs() const;

 private:
  explicit TaskFolder(std::string root) : root_(std::move(root)) {}
  std::string root_;
};

// Whether `path` is relative with plain parts: no empty, "." or ".." part, no control characters.
bool IsPlainRelativePath(std::string_view path);

}  // namespace strata::agent
