#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {

void AddCoverage(CLI::App& app, Action* action) {
  CLI::App* command =
      app.add_subcommand("coverage", "operators of the original against those of the kernels");
  struct Options {
    Common common;
    std::string step;
  };
  auto options = std::make_shared<Options>();
  AddId(*command, options->common);
  command
      ->add_option("--step", options->step,
                   "of one step (name, or id of its component) instead of the whole model")
      ->check(Utf8());
  AddCommon(*command, options->common);
  command->callback([options, action] {
    *action = [options]() -> absl::StatusOr<int> {
      Client client(options->common.server);
      v1::GetCoverageRequest request;
      STRATA_ASSIGN_OR_RETURN(*request.mutable_decomposition_id(), ResolveId(client, options->common));
      request.set_step(options->step);
      STRATA_ASSIGN_OR_RETURN(const auto answer, client.Call(&Client::Stub::GetCoverage, request));
      Print(options->common, answer,
            [&](const Terminal& terminal) { return RenderCoverage(terminal, answer); });
      return kExitPass;
    };
  });
}

}  // namespace strata::cli
