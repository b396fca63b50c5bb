#pragma once
// What a job found, answered from the rows alone. For Readers::Do. Each answers NOT_FOUND for an unknown
// decomposition, step or component, and FAILED_PRECONDITION (NOT_READY) for what its tasks have not written
// yet.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store/sqlite.h"
#include "strata/v1/strata.pb.h"

namespace strata::store {

absl::StatusOr<v1::Tree> GetTree(Database& db, const std::string& job);
absl::StatusOr<v1::ListStepsResponse> ListSteps(Database& db, const std::string& job);
// `verdict_digest` gets the content of verification_result.json.
absl::StatusOr<v1::StepResult> GetStepResult(Database& db, const std::string& job, const std::string& step,
                                             std::string* verdict_digest);
// `verdict_digest` gets the content of verdict.json.
absl::StatusOr<v1::FolderVerdict> GetFolderVerdict(Database& db, const std::string& job,
                                                   std::string* verdict_digest);
absl::StatusOr<v1::ListLogEntriesResponse> ListLogEntries(Database& db,
                                                          const v1::ListLogEntriesRequest& request);
absl::StatusOr<v1::Coverage> GetCoverage(Database& db, const std::string& job, const std::string& step);

// The files to send, in path order. NOT_READY while the job runs, NO_BUNDLE where it ended without one.
absl::StatusOr<std::vector<v1::File>> BundleFiles(Database& db, const v1::DownloadBundleRequest& request);

}  // namespace strata::store
