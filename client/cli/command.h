#pragma once
// What a command is, and what all of them share. Each command_*.cc adds one subcommand to the program.

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/client.h"
#include "client/cli/submission.h"
#include "client/cli/terminal.h"
#include "google/protobuf/message.h"

namespace strata::cli {

// The chosen command: returns the exit code. An error is printed by main.
using Action = std::function<absl::StatusOr<int>()>;

void AddDecompose(CLI::App& app, Action* action);
void AddSubmit(CLI::App& app, Action* action);
void AddVerify(CLI::App& app, Action* action);
void AddWatch(CLI::App& app, Action* action);
void AddStatus(CLI::App& app, Action* action);
void AddList(CLI::App& app, Action* action);
void AddTree(CLI::App& app, Action* action);
void AddSteps(CLI::App& app, Action* action);
void AddLog(CLI::App& app, Action* action);
void AddCoverage(CLI::App& app, Action* action);
void AddGet(CLI::App& app, Action* action);
void AddCancel(CLI::App& app, Action* action);
void AddWorkers(CLI::App& app, Action* action);

// Options that most commands have.
struct Common {
  std::string server;
  bool json = false;
  std::string id;  // where the command is about one decomposition; empty: the newest
};

// --server (with STRATA_SERVER) and --json.
void AddCommon(CLI::App& command, Common& common);
// What goes to the server as text is UTF-8.
CLI::Validator Utf8();
// ID, which may be left out where `newest`.
void AddId(CLI::App& command, Common& common, bool newest = true);
// FILE, the model to submit.
void AddFile(CLI::App& command, SubmitOptions& options);
// How it is run.
void AddSubmitOptions(CLI::App& command, SubmitOptions& options);

// The id the user said, or that of the newest decomposition. NotFound where there is none.
absl::StatusOr<std::string> ResolveId(Client& client, const Common& common);

// The whole of a command that asks one question and prints the answer.
void Print(const Common& common, const google::protobuf::Message& answer,
           const std::function<std::string(const Terminal&)>& render);

// render.h's WhyQueued of the job as it is now; "" also where the server does not say.
std::string AskWhyQueued(Client& client, const std::string& decomposition_id);

// The results of an ended job, as far as there are any; waits `patience` for a server that went away.
struct Results {
  v1::Decomposition decomposition;
  v1::Tree tree;
  v1::ListStepsResponse steps;
  v1::Coverage coverage;
  v1::FolderVerdict verdict;
};
absl::StatusOr<Results> FetchResults(Client& client, const std::string& decomposition_id,
                                     std::chrono::seconds patience);

}  // namespace strata::cli
