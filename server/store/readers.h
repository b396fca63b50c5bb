#pragma once
// Read-only connections for any number of threads. Thread-safe.

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/store/sqlite.h"

namespace strata::store {

class Readers {
 public:
  explicit Readers(std::string path) : path_(std::move(path)) {}

  // Calls `read` with a connection inside one transaction, so all its queries see the same moment. `read`
  // returns an absl::Status or StatusOr; an error of the connection goes before it.
  template <typename Read>
  auto Do(Read read) -> decltype(read(std::declval<Database&>())) {
    auto db = Take();
    if (!db.ok()) return db.status();
    (*db)->Script("BEGIN");
    auto result = read(**db);
    absl::Status status = (*db)->TakeStatus();
    (*db)->Script("COMMIT");
    if (status.ok()) status = (*db)->TakeStatus();
    if (!status.ok()) return status;
    Give(std::move(*db));
    return result;
  }

 private:
  absl::StatusOr<std::unique_ptr<Database>> Take() ABSL_LOCKS_EXCLUDED(mutex_);
  void Give(std::unique_ptr<Database> db) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string path_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Database>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace strata::store
