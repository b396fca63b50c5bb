#pragma once
// Contents by digest on the worker's disk, bounded in size, least recently used ones thrown away first.
//
// What leaves the cache is a copy whose SHA-256 was computed while it was copied. So neither a torn write
// nor a task that changes its files can hand wrong bytes to another task, and nothing needs an fsync. Copies
// rather than hard links for the same reason: user code could write through a link.
//
// Threading: all methods from any thread; fetching and copying happen outside the lock.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace strata::agent {

class BlobCache {
 public:
  using Sink = std::function<absl::Status(std::string_view piece)>;
  // Pours the content named `digest` into the sink, in order.
  using Fetch = std::function<absl::Status(const std::string& digest, const Sink& sink)>;

  // Takes over what an earlier agent left in `dir`.
  static absl::StatusOr<std::unique_ptr<BlobCache>> Open(const std::string& dir, int64_t max_bytes);

  // Writes the content to `path`, a new read-only file, from the cache or through `fetch`. DataLoss if
  // what `fetch` delivers has another digest or size.
  absl::Status CopyTo(const std::string& digest, int64_t size_bytes, const std::string& path,
                      const Fetch& fetch);

  // Takes a copy of a local file of known digest, so that the next task here need not fetch it. Best effort.
  void Keep(const std::string& digest, const std::string& path);

  int64_t size_bytes() const;

 private:
  struct Entry {
    int64_t size_bytes;
    std::list<std::string>::iterator age;
  };

  BlobCache(std::string dir, int64_t max_bytes) : dir_(std::move(dir)), max_bytes_(max_bytes) {}
  std::string PathOf(const std::string& digest) const;
  std::string TemporaryPath();
  bool CopyCached(const std::string& digest, const std::string& path);
  void Insert(const std::string& digest, int64_t size_bytes);
  void Remove(const std::string& digest);
  void RemoveLocked(const std::string& digest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string dir_;
  const int64_t max_bytes_;
  mutable absl::Mutex mutex_;
  std::unordered_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::list<std::string> by_age_ ABSL_GUARDED_BY(mutex_);  // front: used last
  int64_t size_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_temporary_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace strata::agent
