#include "server/store/migrations.h"

#include "absl/strings/str_cat.h"

namespace strata::embedded {
extern const char migration_0001[];
extern const char migration_0002[];
extern const char migration_0003[];
}  // namespace strata::embedded

namespace strata::store {
namespace {

const char* const kSteps[] = {embedded::migration_0001, embedded::migration_0002, embedded::migration_0003};

}  // namespace

int SchemaVersion() { return static_cast<int>(std::size(kSteps)); }

absl::Status Migrate(Database& db) {
  const int64_t has = db.QueryInt("PRAGMA user_version");
  if (absl::Status status = db.TakeStatus(); !status.ok()) return status;
  if (has > SchemaVersion()) {
    return absl::FailedPreconditionError(absl::StrCat("the database has schema version ", has,
                                                      ", this program knows versions up to ", SchemaVersion(),
                                                      "; start a newer strata-server on it"));
  }
  for (int64_t version = has; version < SchemaVersion(); ++version) {
    db.Script("BEGIN IMMEDIATE");
    db.Script(kSteps[version]);
    db.Script(absl::StrCat("PRAGMA user_version=", version + 1));
    db.Script("COMMIT");
    if (absl::Status status = db.TakeStatus(); !status.ok()) {
      db.Script("ROLLBACK");
      (void)db.TakeStatus();
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace strata::store
