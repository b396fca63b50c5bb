#pragma once
// The schema, as a list of steps that only ever grows. PRAGMA user_version counts the steps a file has had.

#include "absl/status/status.h"
#include "server/store/sqlite.h"

namespace strata::store {

// Brings the file to this program's schema, each step in a transaction of its own. FailedPrecondition where
// the file was written by a newer program; it is left as it is.
absl::Status Migrate(Database& db);

// Version of the schema that Migrate leads to.
int SchemaVersion();

}  // namespace strata::store
