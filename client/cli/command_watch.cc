#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/json.h"
#include "client/cli/progress.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {
namespace {

struct WatchOptions {
  Common common;
  uint64_t after = 0;
  uint32_t patience_seconds = 60;
};

absl::StatusOr<int> RunWatch(const WatchOptions& options) {
  Client client(options.common.server);
  STRATA_ASSIGN_OR_RETURN(const std::string id, ResolveId(client, options.common));
  v1::GetDecompositionRequest get;
  get.set_decomposition_id(id);
  STRATA_ASSIGN_OR_RETURN(const v1::Decomposition job, client.Call(&Client::Stub::GetDecomposition, get));
  Terminal terminal(stdout);
  Progress progress(&terminal);
  Client::Watch watch;
  watch.decomposition_id = id;
  watch.after_event = options.after;
  watch.patience = std::chrono::seconds(options.patience_seconds);
  if (options.common.json) {
    watch.on_event = [&](const v1::Event& event) { terminal.Print(Dump(ToJson(event), /*indented=*/false)); };
  } else {
    progress.set_why_queued([&] { return AskWhyQueued(client, id); });
    progress.SetState(job.state());
    watch.on_event = [&](const v1::Event& event) { progress.On(event); };
    watch.on_tick = [&] { progress.Tick(); };
  }
  STRATA_RETURN_IF_ERROR(client.Follow(watch));
  progress.Finish();
  STRATA_ASSIGN_OR_RETURN(const Results results, FetchResults(client, id, watch.patience));
  if (!options.common.json) {
    const v1::Decomposition& ended = results.decomposition;
    if (ended.has_failure()) terminal.Print(RenderFailure(terminal, ended.failure()));
    terminal.Print(ended.kind() == v1::JOB_KIND_JUDGE
                       ? RenderJudgement(terminal, ended, results.verdict)
                       : RenderVerdict(terminal, ended, results.steps, results.coverage));
  }
  return ExitCodeOf(results.decomposition);
}

}  // namespace

void AddWatch(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("watch", "follow a job to its end; Ctrl-C leaves it running");
  auto options = std::make_shared<WatchOptions>();
  AddId(*command, options->common);
  AddCommon(*command, options->common);
  command->add_option("--after", options->after, "only events with a higher number");
  command->add_option("--patience", options->patience_seconds, "seconds to wait for a server that went away")
      ->capture_default_str();
  command->callback([options, action] { *action = [options] { return RunWatch(*options); }; });
}

}  // namespace strata::cli
