#include "client/cli/run_job.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata::cli {
namespace {

constexpr auto kServerStart = std::chrono::seconds(20);

void CancelJob(Client& client, const std::string& id) {
  v1::CancelDecompositionRequest request;
  request.set_decomposition_id(id);
  request.set_reason("the client was interrupted");
  (void)client.Call(&Client::Stub::CancelDecomposition, request);
}

absl::Status FollowToEnd(Client& client, const std::string& id, std::chrono::seconds patience,
                         Progress& progress) {
  Client::Watch watch;
  watch.decomposition_id = id;
  watch.patience = patience;
  watch.on_event = [&](const v1::Event& event) { progress.On(event); };
  watch.on_tick = [&] { progress.Tick(); };
  const absl::Status status = client.Follow(watch);
  if (absl::IsCancelled(status)) CancelJob(client, id);
  return status;
}

}  // namespace

void AddRunOptions(CLI::App& command, RunOptions& options) {
  AddSubmitOptions(command, options.submit);
  command.add_option("--server", options.server, "do it there; default: a server and worker of its own");
  command.add_flag("--json", options.json, "print one JSON document, progress goes to stderr");
  command.add_option("--slots", options.embedded.slots, "tasks at a time of the own worker")
      ->check(CLI::Range(1, 256));
  command.add_option("--patience", options.patience_seconds, "seconds to wait for a server that went away")
      ->capture_default_str();
  command.add_flag("-v,--verbose", options.embedded.verbose, "logs of the own server and worker on stderr");
}

absl::StatusOr<EndedJob> RunJob(const RunOptions& options, const Submission& submission, Terminal& terminal,
                                Progress& progress) {
  EndedJob job;
  const bool own = options.server.empty();
  if (own) {
    progress.SetStage("starting a server and a worker");
    EmbeddedOptions embedded = options.embedded;
    embedded.device = options.submit.device;
    STRATA_ASSIGN_OR_RETURN(job.embedded, EmbeddedService::Start(embedded));
  }
  job.client = std::make_unique<Client>(own ? job.embedded->address() : options.server);
  Client& client = *job.client;
  if (own) {
    client.set_health([service = job.embedded.get()] { return service->Health(); });
    STRATA_RETURN_IF_ERROR(client.AwaitServer(kServerStart));
  }
  STRATA_ASSIGN_OR_RETURN(const v1::Decomposition submitted, Submit(client, submission));
  const std::string& id = submitted.id();
  if (!own) terminal.Print(absl::StrCat("job ", id, " on ", options.server));
  // A worker of our own has what was asked for, or ends.
  if (!own) progress.set_why_queued([&] { return AskWhyQueued(client, id); });
  progress.SetState(submitted.state());
  const auto patience = std::chrono::seconds(options.patience_seconds);
  STRATA_RETURN_IF_ERROR(FollowToEnd(client, id, patience, progress));
  progress.set_why_queued(nullptr);

  progress.SetStage("fetching the results");
  STRATA_ASSIGN_OR_RETURN(job.results, FetchResults(client, id, patience));
  return job;
}

}  // namespace strata::cli
