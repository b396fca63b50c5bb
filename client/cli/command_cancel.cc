#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {

void AddCancel(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("cancel", "stop a job");
  struct Options {
    Common common;
    std::string reason;
  };
  auto options = std::make_shared<Options>();
  AddId(*command, options->common, /*newest=*/false);
  AddCommon(*command, options->common);
  command->add_option("--reason", options->reason, "for those who watch it")->check(Utf8());
  command->callback([options, action] {
    *action = [options]() -> absl::StatusOr<int> {
      Client client(options->common.server);
      v1::CancelDecompositionRequest request;
      request.set_decomposition_id(options->common.id);
      request.set_reason(options->reason);
      STRATA_ASSIGN_OR_RETURN(const auto answer, client.Call(&Client::Stub::CancelDecomposition, request));
      Print(options->common, answer,
            [&](const Terminal& terminal) { return RenderDecomposition(terminal, answer); });
      return kExitPass;
    };
  });
}

}  // namespace strata::cli
