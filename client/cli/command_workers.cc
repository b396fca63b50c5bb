#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {

void AddWorkers(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("workers", "the workers of a server");
  auto options = std::make_shared<Common>();
  AddCommon(*command, *options);
  command->callback([options, action] {
    *action = [options]() -> absl::StatusOr<int> {
      Client client(options->server);
      STRATA_ASSIGN_OR_RETURN(const auto answer,
                              client.Call(&Client::Stub::ListWorkers, v1::ListWorkersRequest()));
      Print(*options, answer, [&](const Terminal& terminal) { return RenderWorkers(terminal, answer); });
      return kExitPass;
    };
  });
}

}  // namespace strata::cli
