#pragma once
// What clients ask about jobs, answered from the rows alone. For Readers::Do.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/types.h"
#include "server/store/sqlite.h"
#include "strata/v1/strata.pb.h"

namespace strata::store {

constexpr size_t kMaxLogAnswerBytes = 3 << 20;
constexpr uint32_t kMaxPage = 500;

// Each answers NOT_FOUND (DECOMPOSITION_NOT_FOUND) for an unknown id.
absl::Status CheckJobExists(Database& db, const std::string& id);
absl::StatusOr<v1::Decomposition> GetDecomposition(Database& db, const std::string& id);
absl::StatusOr<v1::GetJobLogsResponse> GetJobLogs(Database& db, const v1::GetJobLogsRequest& request);

// INVALID_ARGUMENT for a page token of another question.
absl::StatusOr<v1::ListDecompositionsResponse> ListDecompositions(
    Database& db, const v1::ListDecompositionsRequest& request);

// As much as is on disk: `busy`, tasks and drain state of connected workers come from the core.
std::vector<v1::WorkerInfo> ListWorkers(Database& db);

// Events after number `after`, of one job or (empty id) of all, at most `limit`.
std::vector<v1::Event> EventsAfter(Database& db, const std::string& id, uint64_t after, int limit);
// Whether the job has ended, or is gone.
bool HasEnded(Database& db, const std::string& id);

struct KnownRequest {
  std::string job;
  std::string request_digest;
};
std::optional<KnownRequest> FindRequest(Database& db, const std::string& request_id);

std::optional<uint64_t> BlobSize(Database& db, const std::string& digest);
std::optional<uint64_t> UploadSize(Database& db, const std::string& digest);

v1::Counts ToMessage(const jobs::Counts& counts);

}  // namespace strata::store
