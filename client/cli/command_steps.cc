#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {

void AddSteps(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("steps", "the steps of a job and their verdicts, or one in full");
  struct Options {
    Common common;
    std::string step;
  };
  auto options = std::make_shared<Options>();
  AddId(*command, options->common);
  command->add_option("--step", options->step, "name of a step, or id of its component")->check(Utf8());
  AddCommon(*command, options->common);
  command->callback([options, action] {
    *action = [options]() -> absl::StatusOr<int> {
      Client client(options->common.server);
      STRATA_ASSIGN_OR_RETURN(const std::string id, ResolveId(client, options->common));
      if (options->step.empty()) {
        v1::ListStepsRequest request;
        request.set_decomposition_id(id);
        STRATA_ASSIGN_OR_RETURN(const auto answer, client.Call(&Client::Stub::ListSteps, request));
        Print(options->common, answer,
              [&](const Terminal& terminal) { return RenderSteps(terminal, answer); });
      } else {
        v1::GetStepResultRequest request;
        request.set_decomposition_id(id);
        request.set_step(options->step);
        STRATA_ASSIGN_OR_RETURN(const auto answer, client.Call(&Client::Stub::GetStepResult, request));
        Print(options->common, answer,
              [&](const Terminal& terminal) { return RenderStep(terminal, answer); });
      }
      return kExitPass;
    };
  });
}

}  // namespace strata::cli
