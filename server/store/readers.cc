#include "server/store/readers.h"

namespace strata::store {
namespace {

constexpr size_t kKeep = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Readers::Take() {
  {
    absl::MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      auto db = std::move(idle_.back());
      idle_.pop_back();
      return db;
    }
  }
  return Database::OpenReader(path_);
}

void Readers::Give(std::unique_ptr<Database> db) {
  absl::MutexLock lock(&mutex_);
  if (idle_.size() < kKeep) idle_.push_back(std::move(db));
}

}  // namespace strata::store
