#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {
namespace {

struct LogOptions {
  Common common;
  std::string step, type, task, component;
  bool output = false;
  bool failed_only = false;
};

absl::StatusOr<int> RunLog(const LogOptions& options) {
  Client client(options.common.server);
  STRATA_ASSIGN_OR_RETURN(const std::string id, ResolveId(client, options.common));
  if (options.output) {
    v1::GetJobLogsRequest request;
    request.set_decomposition_id(id);
    request.set_task_id(options.task);
    request.set_component(options.component);
    request.set_failed_only(options.failed_only);
    STRATA_ASSIGN_OR_RETURN(const auto answer, client.Call(&Client::Stub::GetJobLogs, request));
    Print(options.common, answer, [&](const Terminal& terminal) { return RenderAttempts(terminal, answer); });
    return kExitPass;
  }
  v1::ListLogEntriesRequest request;
  request.set_decomposition_id(id);
  request.set_step(options.step);
  request.set_type(options.type);
  STRATA_ASSIGN_OR_RETURN(const auto answer, client.Call(&Client::Stub::ListLogEntries, request));
  Print(options.common, answer, [&](const Terminal& terminal) { return RenderLog(terminal, answer); });
  return kExitPass;
}

}  // namespace

void AddLog(CLI::App& app, Action* action) {
  CLI::App* command =
      app.add_subcommand("log", "decisions and difficulties of a job, or what its code printed");
  auto options = std::make_shared<LogOptions>();
  AddId(*command, options->common);
  AddCommon(*command, options->common);
  command->add_option("--step", options->step, "entries of one step")->check(Utf8());
  command->add_option("--type", options->type)->check(CLI::IsMember({"decision", "difficulty", "deviation"}));
  CLI::Option* output =
      command->add_flag("--output", options->output, "stdout, stderr and traceback of every attempt instead");
  command->add_option("--task", options->task, "with --output: of one task, as verify/mlp")
      ->check(Utf8())
      ->needs(output);
  command->add_option("--component", options->component, "with --output: of one component")
      ->check(Utf8())
      ->needs(output);
  command->add_flag("--failed", options->failed_only, "with --output: attempts that did not pass")
      ->needs(output);
  command->callback([options, action] { *action = [options] { return RunLog(*options); }; });
}

}  // namespace strata::cli
