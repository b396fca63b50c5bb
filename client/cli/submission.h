#pragma once
// The file or folder a user names → what CreateDecomposition wants. Bad input is found here where it can be,
// before anything is started.

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/client.h"
#include "strata/v1/strata.pb.h"

namespace strata::cli {

// What to submit and how to run it, as said on the command line.
struct SubmitOptions {
  std::string path;  // the model's file, or the folder to judge
  std::string device = "auto";
  std::string name;
  std::vector<std::string> labels;  // KEY=VALUE
  uint32_t threads = 0;
  uint32_t wall_seconds = 0;
  uint64_t memory_bytes = 0;
  std::string request_id;  // empty: a new one
};

struct Submission {
  std::vector<std::string> contents;  // of request.source().files()
  v1::CreateDecompositionRequest request;
};

// InvalidArgument, naming the file: missing, a folder, empty, over 64 MiB, a name that is not UTF-8; a bad
// label.
absl::StatusOr<Submission> ReadSubmission(const SubmitOptions& options);

// Every file of a folder that is to be judged. InvalidArgument, naming the file: a symbolic link, or what is
// neither file nor folder; a name that is not UTF-8; over 64 MiB; more than 20000 files or 256 MiB together.
absl::StatusOr<Submission> ReadFolder(const SubmitOptions& options);

// Waits a few seconds for a server that is away or busy with the same file.
absl::StatusOr<v1::Decomposition> Submit(Client& client, const Submission& submission);

}  // namespace strata::cli
