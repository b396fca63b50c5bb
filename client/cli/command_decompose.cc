#include <stdlib.h>

#include <filesystem>

#include "base/files.h"
#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/embedded.h"
#include "client/cli/interrupt.h"
#include "client/cli/json.h"
#include "client/cli/progress.h"
#include "client/cli/render.h"
#include "client/cli/status.h"
#include "client/cli/unpack.h"

namespace strata::cli {
namespace {

constexpr auto kServerStart = std::chrono::seconds(20);

struct DecomposeOptions {
  SubmitOptions submit;
  EmbeddedOptions embedded;
  std::string server;  // empty: one of our own
  std::string out;
  bool force = false;
  bool json = false;
  uint32_t patience_seconds = 60;
};

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

// Into `out`. The message of a failure ends with where the bundle is: that of a server stays there, that of
// our own goes with it and is put into a temporary folder.
absl::Status Deliver(Client& client, const std::string& id, const std::string& out,
                     const DecomposeOptions& options) {
  const auto download = [&](const std::string& dir, bool force) {
    return client.Retry(std::chrono::seconds(options.patience_seconds),
                        [&] { return client.Download(id, dir, force); });
  };
  const absl::Status status = download(out, options.force);
  if (status.ok() || absl::IsCancelled(status)) return status;
  const auto with = [&](const std::string& rest) {
    return absl::Status(status.code(), absl::StrCat(status.message(), "; ", rest));
  };
  if (!options.server.empty()) {
    return with(absl::StrCat("the server keeps the bundle: strata get ", id, " --server ", options.server,
                             " -o DIR"));
  }
  std::error_code error;
  std::string dir = (std::filesystem::temp_directory_path(error) / "strata_bundle_XXXXXX").string();
  if (mkdtemp(dir.data()) != nullptr) {
    if (download(dir, false).ok()) return with("the bundle lies in " + dir);
    std::filesystem::remove(dir, error);
  }
  return with("the bundle is lost");
}

void PrintHuman(Terminal& terminal, const Results& results, const std::string& bundle) {
  const v1::Decomposition& job = results.decomposition;
  const auto section = [&](const std::string& text) { terminal.Print("\n" + text); };
  if (results.tree.nodes_size() > 0) section(RenderTree(terminal, results.tree));
  if (results.steps.steps_size() > 0) section(RenderSteps(terminal, results.steps));
  if (!results.coverage.status().empty()) section(RenderCoverage(terminal, results.coverage));
  if (job.has_failure()) section(RenderFailure(terminal, job.failure()));
  if (!bundle.empty()) section("bundle: " + bundle);
  terminal.Print(RenderVerdict(terminal, job, results.steps, results.coverage));
}

void PrintJson(const Results& results, const std::string& bundle) {
  nlohmann::ordered_json document;
  document["status"] = VerdictOf(results.decomposition);
  document["bundle"] = bundle;
  document["decomposition"] = ToJson(results.decomposition);
  document["steps"] = ToJson(results.steps)["steps"];
  document["coverage"] = ToJson(results.coverage);
  document["tree"] = ToJson(results.tree);
  std::puts(Dump(document).c_str());
}

absl::StatusOr<int> Decompose(const DecomposeOptions& options) {
  // With --json the document alone goes to stdout.
  Terminal terminal(options.json ? stderr : stdout);
  STRATA_ASSIGN_OR_RETURN(const Submission submission, ReadSubmission(options.submit));
  const std::string out = options.out.empty() ? BundleName(Stem(options.submit.file)) : options.out;
  STRATA_RETURN_IF_ERROR(CheckTarget(out, options.force));
  terminal.Print(absl::StrCat("strata: ", options.submit.file, ", ", FormatBytes(submission.content.size()),
                              ", sha256 ", submission.request.source().files(0).digest().substr(0, 12), "…"));
  Progress progress(&terminal);
  std::unique_ptr<EmbeddedService> embedded;
  if (options.server.empty()) {
    progress.SetStage("starting a server and a worker");
    STRATA_ASSIGN_OR_RETURN(embedded, EmbeddedService::Start(options.embedded));
  }
  Client client(embedded != nullptr ? embedded->address() : options.server);
  if (embedded != nullptr) {
    client.set_health([&embedded] { return embedded->Health(); });
    STRATA_RETURN_IF_ERROR(client.AwaitServer(kServerStart));
  }
  STRATA_ASSIGN_OR_RETURN(const v1::Decomposition job, Submit(client, submission));
  if (embedded == nullptr) terminal.Print(absl::StrCat("job ", job.id(), " on ", options.server));
  const auto patience = std::chrono::seconds(options.patience_seconds);
  // A worker of our own has what was asked for, or ends.
  if (embedded == nullptr) progress.set_why_queued([&] { return AskWhyQueued(client, job.id()); });
  progress.SetState(job.state());
  STRATA_RETURN_IF_ERROR(FollowToEnd(client, job.id(), patience, progress));

  progress.SetStage("fetching the results");
  STRATA_ASSIGN_OR_RETURN(const Results results, FetchResults(client, job.id(), patience));
  if (results.decomposition.has_bundle()) STRATA_RETURN_IF_ERROR(Deliver(client, job.id(), out, options));
  progress.Finish();
  const std::string bundle = results.decomposition.has_bundle() ? out : "";
  if (options.json) {
    PrintJson(results, bundle);
  } else {
    PrintHuman(terminal, results, bundle);
  }
  return ExitCodeOf(results.decomposition);
}

}  // namespace

void AddDecompose(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("decompose", "take FILE apart, prove the parts, write the bundle");
  auto options = std::make_shared<DecomposeOptions>();
  AddSubmitOptions(*command, options->submit);
  command->add_option("-o,--out", options->out, "folder for the bundle (default: FILE's name with _bundle)");
  command->add_flag("--force", options->force, "replace a bundle that lies there");
  command->add_option("--server", options->server, "do it there; default: a server and worker of its own");
  command->add_flag("--json", options->json, "print one JSON document, progress goes to stderr");
  command->add_option("--slots", options->embedded.slots, "tasks at a time of the own worker")
      ->check(CLI::Range(1, 256));
  command->add_option("--patience", options->patience_seconds, "seconds to wait for a server that went away")
      ->capture_default_str();
  command->add_flag("-v,--verbose", options->embedded.verbose, "logs of the own server and worker on stderr");
  command->callback([options, action] {
    options->embedded.device = options->submit.device;
    *action = [options] { return Decompose(*options); };
  });
}

}  // namespace strata::cli
