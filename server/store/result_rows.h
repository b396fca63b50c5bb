#pragma once
// What finished tasks wrote, into tables. In the writer thread, inside its transaction; errors stick.

#include <string>
#include <vector>

#include "server/store/artifacts.h"
#include "server/store/sqlite.h"

namespace strata::store {

// Stores the files and findings of a task that passed or whose gate failed. Paths that another task wrote
// before keep their first content, but for publish, which replaces.
void RecordResult(Database& db, const std::string& job, const std::string& task, bool is_publish,
                  const std::vector<v1::File>& outputs, const Findings& findings);

// Whether RecordResult would succeed: a trial that leaves no trace. So no result, whatever is in it, can fail
// the other work of its group.
absl::Status TryRecordResult(Database& db, const std::string& job, const std::string& task, bool is_publish,
                             const std::vector<v1::File>& outputs, const Findings& findings);

// The first of `outputs` that would change a file of the job: two tasks wrote different bytes under one path,
// or a task wrote into source/. "" if none does. Files under .strata/ may differ: the first stays.
std::string ConflictingPath(Database& db, const std::string& job, bool is_publish,
                            const std::vector<v1::File>& outputs);

// Digests that are not stored.
std::vector<std::string> MissingBlobs(Database& db, const std::vector<std::string>& digests);

// What a task reads (docs/tasks.md), in path order.
std::vector<v1::File> InputsOf(Database& db, const std::string& job, jobs::TaskKind kind,
                               const std::string& step);

struct Removed {
  std::vector<std::string> digests;  // contents that nothing refers to any more; their rows are gone
  int64_t bytes = 0;
};
// Removes an ended job and all that belongs to it alone.
Removed DeleteJob(Database& db, const std::string& job);
// Removes contents older than `before` that nothing refers to (abandoned uploads, results of lost attempts).
Removed DeleteUnused(Database& db, absl::Time before);

}  // namespace strata::store
