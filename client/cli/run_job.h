#pragma once
// A job that a command waits for, on the server that the user names or on a server and worker of its own.

#include <memory>

#include "client/cli/command.h"
#include "client/cli/embedded.h"
#include "client/cli/progress.h"

namespace strata::cli {

struct RunOptions {
  SubmitOptions submit;
  EmbeddedOptions embedded;
  std::string server;  // empty: one of our own
  bool json = false;
  uint32_t patience_seconds = 60;
};
// All but what is submitted.
void AddRunOptions(CLI::App& command, RunOptions& options);

struct EndedJob {
  std::unique_ptr<EmbeddedService> embedded;  // null where a server was named; ends with this
  std::unique_ptr<Client> client;
  Results results;
};
// From submission to end, whatever end. An interrupt cancels the job.
absl::StatusOr<EndedJob> RunJob(const RunOptions& options, const Submission& submission, Terminal& terminal,
                                Progress& progress);

}  // namespace strata::cli
