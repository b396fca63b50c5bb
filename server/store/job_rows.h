#pragma once
// Rows of jobs, tasks, attempts, workers, files, events: written by the writer thread, inside its
// transaction. Errors stick to the Database.

#include <string>
#include <vector>

#include "server/jobs/events.h"
#include "server/store/sqlite.h"
#include "strata/v1/strata.pb.h"
#include "strata/v1/worker.pb.h"

namespace strata::store {

// The row of a new job with its source and labels. `request` was checked; `model_name` and `entry` are set.
void InsertJob(Database& db, const std::string& id, const v1::CreateDecompositionRequest& request,
               const std::string& request_digest, absl::Time now);

void Save(Database& db, const jobs::SaveJob& save, absl::Time now);
void Save(Database& db, const jobs::SaveTask& save);
void Save(Database& db, const jobs::SaveAttempt& save);
// Connection and drain state only; what a worker says of itself comes with SaveRegister.
void Save(Database& db, const jobs::SaveWorker& save, absl::Time now);
void SaveRegister(Database& db, const v1::Register& worker, absl::Time now);

// Gives `event` its number (into event.number) and stores it. Its decomposition_id and time are set.
void InsertEvent(Database& db, v1::Event& event);

// A piece of what an attempt printed, after those before it.
void AppendLog(Database& db, const jobs::LeaseName& attempt, v1::Stream stream, const std::string& data);
// Bytes stored so far of one stream of an attempt.
int64_t LoggedBytes(Database& db, const jobs::LeaseName& attempt, v1::Stream stream);
void SetDropped(Database& db, const jobs::LeaseName& attempt, uint64_t stdout_bytes, uint64_t stderr_bytes);

// Jobs that have not ended, in the order they were submitted, with their tasks and leases.
std::vector<jobs::Job> LoadLiveJobs(Database& db);
// Nobody is connected when the server starts.
void DisconnectAllWorkers(Database& db);
void SetDisconnected(Database& db, const std::string& worker);

}  // namespace strata::store
