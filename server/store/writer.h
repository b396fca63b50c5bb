#pragma once
// The one thread that writes. It owns the one writing connection, and with it all checkpoints.
//
// Work that waits is taken together: one transaction, one fsync, then the callbacks. If any of it fails, or
// the commit does, the whole group is rolled back and every callback of the group gets the error.

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "server/store/sqlite.h"

namespace strata::store {

class Writer {
 public:
  // Runs in the writer thread inside the transaction. Errors of its statements stick to `db` and fail the
  // group.
  using Work = absl::AnyInvocable<void(Database& db)>;
  // Runs in the writer thread when the work is on disk, or with the error when it is not and never will be.
  using Then = absl::AnyInvocable<void(const absl::Status& status)>;

  // `before_commit`: runs in the writer thread before each commit; its error fails the group. `rolled_back`:
  // runs in the writer thread after a failed group, before its callbacks, outside of a transaction.
  struct Hooks {
    std::function<absl::Status()> before_commit;
    std::function<void(Database& db)> rolled_back;
  };

  // `db` is migrated already.
  Writer(std::unique_ptr<Database> db, Hooks hooks);
  // Does what waits, then ends the thread.
  ~Writer();

  // From any thread, the writer's own too. After Stop the callback gets Unavailable.
  void Post(Work work, Then then) ABSL_LOCKS_EXCLUDED(mutex_);

  // The thread ends when what waits is done. May be called more than once.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Item {
    Work work;
    Then then;
  };
  void Loop();
  absl::Status RunGroup(std::vector<Item>& group);

  const Hooks hooks_;
  std::unique_ptr<Database> db_;
  absl::Mutex mutex_;
  std::deque<Item> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace strata::store
