#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {

void AddStatus(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("status", "where a job stands");
  auto options = std::make_shared<Common>();
  AddId(*command, *options);
  AddCommon(*command, *options);
  command->callback([options, action] {
    *action = [options]() -> absl::StatusOr<int> {
      Client client(options->server);
      v1::GetDecompositionRequest request;
      STRATA_ASSIGN_OR_RETURN(*request.mutable_decomposition_id(), ResolveId(client, *options));
      STRATA_ASSIGN_OR_RETURN(const auto answer, client.Call(&Client::Stub::GetDecomposition, request));
      Print(*options, answer,
            [&](const Terminal& terminal) { return RenderDecomposition(terminal, answer); });
      return kExitPass;
    };
  });
}

}  // namespace strata::cli
