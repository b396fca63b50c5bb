#include <stdlib.h>

#include <filesystem>

#include "base/files.h"
#include "base/status.h"
#include "client/cli/json.h"
#include "client/cli/render.h"
#include "client/cli/run_job.h"
#include "client/cli/status.h"
#include "client/cli/unpack.h"

namespace strata::cli {
namespace {

struct DecomposeOptions {
  RunOptions run;
  std::string out;
  bool force = false;
};

// Into `out`. The message of a failure ends with where the bundle is: that of a server stays there, that of
// our own goes with it and is put into a temporary folder.
absl::Status Deliver(Client& client, const std::string& id, const std::string& out,
                     const DecomposeOptions& options) {
  const auto download = [&](const std::string& dir, bool force) {
    return client.Retry(std::chrono::seconds(options.run.patience_seconds),
                        [&] { return client.Download(id, dir, force); });
  };
  const absl::Status status = download(out, options.force);
  if (status.ok() || absl::IsCancelled(status)) return status;
  const auto with = [&](const std::string& rest) {
    return absl::Status(status.code(), absl::StrCat(status.message(), "; ", rest));
  };
  if (!options.run.server.empty()) {
    return with(absl::StrCat("the server keeps the bundle: strata get ", id, " --server ", options.run.server,
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
  const RunOptions& run = options.run;
  // With --json the document alone goes to stdout.
  Terminal terminal(run.json ? stderr : stdout);
  STRATA_ASSIGN_OR_RETURN(const Submission submission, ReadSubmission(run.submit));
  const std::string out = options.out.empty() ? BundleName(Stem(run.submit.path)) : options.out;
  STRATA_RETURN_IF_ERROR(CheckTarget(out, options.force));
  const v1::File& file = submission.request.source().files(0);
  terminal.Print(absl::StrCat("strata: ", run.submit.path, ", ", FormatBytes(file.size_bytes()), ", sha256 ",
                              file.digest().substr(0, 12), "…"));
  Progress progress(&terminal);
  STRATA_ASSIGN_OR_RETURN(const EndedJob job, RunJob(run, submission, terminal, progress));
  const v1::Decomposition& ended = job.results.decomposition;
  if (ended.has_bundle()) STRATA_RETURN_IF_ERROR(Deliver(*job.client, ended.id(), out, options));
  progress.Finish();
  const std::string bundle = ended.has_bundle() ? out : "";
  if (run.json) {
    PrintJson(job.results, bundle);
  } else {
    PrintHuman(terminal, job.results, bundle);
  }
  return ExitCodeOf(ended);
}

}  // namespace

void AddDecompose(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("decompose", "take FILE apart, prove the parts, write the bundle");
  auto options = std::make_shared<DecomposeOptions>();
  AddFile(*command, options->run.submit);
  AddRunOptions(*command, options->run);
  command->add_option("-o,--out", options->out, "folder for the bundle (default: FILE's name with _bundle)");
  command->add_flag("--force", options->force, "replace a bundle that lies there");
  command->callback([options, action] { *action = [options] { return Decompose(*options); }; });
}

}  // namespace strata::cli
